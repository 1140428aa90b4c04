"""What a person has consented to: decided by what was said and when, never by what arrived last.

| what comes | while no consent_change is on record | afterwards |
| --- | --- | --- |
| an enrolment that states a consent | of all that were stated the narrower holds | changes nothing |
| an enrolment that states none | changes nothing | changes nothing |
| a consent_change | holds | the newest `decided_at` holds; of two with the same the narrower |

Each rule gives the same in any order, so what holds does not depend on the order of arrival, and no enrolment ever
widens what was stated before. The narrower of two consents is what both allow. Where nothing was stated, a setting says
what that means (`unstated`); it is looked up with the person and never stored, so that any later statement replaces it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from biokeel.contracts.topics import Domain
from biokeel.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable

CONSENT: Final[dict[Domain, int]] = {Domain.GENOME: 1, Domain.CLINICAL: 2, Domain.LIFESTYLE: 4}


class Consent(NamedTuple):
    """What is on record of one person's consent.

    `domains` is a sum of `CONSENT`, None where nothing was stated or decided. `decided_at` (ms since 1970) is the
    newest consent_change's, None where there was none: then `domains` is what enrolments stated.
    """

    domains: int | None = None
    decided_at: int | None = None

    def stated(self, domains: int | None) -> Consent:
        """After an enrolment that states `domains`, or nothing (None)."""
        if domains is None or self.decided_at is not None:
            return self
        return Consent(_narrower(self.domains, domains))

    def decided(self, domains: int, decided_at: int) -> Consent:
        """After a consent_change to `domains`."""
        if self.decided_at is None or decided_at > self.decided_at:
            return Consent(domains, decided_at)
        return Consent(_narrower(self.domains, domains), decided_at) if decided_at == self.decided_at else self

    def merged(self, other: Consent) -> Consent:
        """Of two people who turn out to be one: the narrower, until the person decides anew.

        Where only one of them was ever asked, what that one said: who was not asked has not refused.
        """
        times = [each for each in (self.decided_at, other.decided_at) if each is not None]
        return Consent(_narrower(self.domains, other.domains), max(times, default=None))


def to_domains(words: Iterable[str]) -> int | None:
    """The sum of `CONSENT` of the domains that `words` name; None where a word is no domain."""
    known = {str(domain): value for domain, value in CONSENT.items()}
    wanted = set(words)
    return sum(known[word] for word in wanted) if wanted <= known.keys() else None


def to_words(domains: int | None) -> list[str] | None:
    """The names behind a sum of `CONSENT`, in alphabetical order; None for None."""
    return None if domains is None else sorted(str(domain) for domain, value in CONSENT.items() if domains & value)


def unstated(setting: str) -> int:
    """What a person who was never asked counts as consenting to: the setting BIOKEEL_UNSTATED_CONSENT, as a sum.

    Raises `SettingsError` where it names something that is no domain.
    """
    domains = to_domains(word.strip() for word in setting.split(",") if word.strip())
    if domains is None:
        raise SettingsError(
            "BIOKEEL_UNSTATED_CONSENT names something that is no domain.",
            f"Give a comma list of {', '.join(CONSENT)}; empty means that who was never asked consents to nothing.",
        )
    return domains


def _narrower(one: int | None, other: int | None) -> int | None:
    """What both allow; None stands for nothing said, which narrows nothing."""
    return one if other is None else other if one is None else one & other
