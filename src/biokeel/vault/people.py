"""Finding participants by their identifiers, fast: a bounded cache in memory before HMAC and SQL.

The cache keeps no identifier: an entry is found by two independent keyed 64-bit hashes of the identifier as it was
written (polars' under a random seed, and Python's SipHash under the process' own key), so a chance of mixing up two
persons is below 1e-20 for a million entries. Only known people are cached, and all are forgotten when the vault's
generation moves (consent change, merge, withdrawal, enrolment of a known participant).
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl
import sqlalchemy as sa

from biokeel.contracts.topics import Domain
from biokeel.vault.database import chunks
from biokeel.vault.identifiers import normalise
from biokeel.vault.tables import IDENTIFIER, PARTICIPANT

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt

    from biokeel.vault.database import Database
    from biokeel.vault.identifiers import Identifier
    from biokeel.vault.keys import Key

PERSON: Final[dict[str, pl.DataType]] = {
    "participant": pl.Int64(),
    "enrolled_on": pl.Date(),
    "birth_year": pl.Int32(),
    "sex": pl.String(),
    "consent": pl.Int32(),
    "first": pl.Int64(),
    "withdrawn": pl.Boolean(),
}
"""Columns of a look-up: one row for each row that was asked for, `participant` null where nobody was found.

`first` is the participant that the identifier belonged to before any merge; see `biokeel.vault.merges`."""

CONSENT: Final[dict[Domain, int]] = {Domain.GENOME: 1, Domain.CLINICAL: 2, Domain.LIFESTYLE: 4}
ALL_DOMAINS: Final = sum(CONSENT.values())
CACHE_ENTRIES: Final = 1 << 20
"""About 50 MB."""

_SEED: Final = secrets.randbits(63)


class People:
    """Look-ups of one process; not for several threads at once."""

    def __init__(self, database: Database, keys: tuple[Key, ...], cache_entries: int = CACHE_ENTRIES) -> None:
        self._database = database
        self._keys = keys
        self._cache = _Cache(cache_entries)
        self._generation = -1

    def look_up(self, schemes: pl.Series, ids: pl.Series, generation: int) -> pl.DataFrame:
        """Who each (scheme, identifier as written) is, as of at least `generation`: `PERSON`, and `valid` (Boolean).

        `valid` is false where the scheme is not known or the identifier has not the scheme's form.
        """
        if generation != self._generation:
            self._cache.clear()
            self._generation = generation
        prints = _fingerprints(schemes, ids)
        slots = self._cache.find(prints)
        missing = np.flatnonzero(slots < 0)
        # Taken before anything is added: what is added may push out what these slots hold.
        cached = self._cache.rows(slots).with_columns(valid=pl.lit(value=True))
        if not len(missing):
            return cached
        asked = pl.DataFrame({"scheme": schemes, "id": ids})[missing].with_row_index("row")
        distinct = asked.unique(["scheme", "id"], keep="first", maintain_order=True)
        forms = [normalise(scheme, text) for scheme, text in distinct.select("scheme", "id").iter_rows()]
        found = self.find([form for form in forms if form is not None])
        people = [found.get(form) if form is not None else None for form in forms]
        known = [place for place, person in enumerate(people) if person is not None]
        rows = missing[distinct["row"].to_numpy()]
        self._cache.add(prints[rows[known]], _frame([person for person in people if person is not None]))
        answers = _frame([person or (None,) * len(PERSON) for person in people]).with_columns(
            distinct["scheme"], distinct["id"], valid=pl.Series([form is not None for form in forms], dtype=pl.Boolean)
        )
        place = asked.join(answers.with_row_index("answer"), on=["scheme", "id"], how="left", maintain_order="left")
        result = pl.concat([cached, answers.drop("scheme", "id")])
        order = np.arange(len(slots))
        order[missing] = len(slots) + place["answer"].to_numpy()
        return result[order]

    def find(self, identifiers: Sequence[Identifier]) -> dict[Identifier, tuple[Any, ...]]:
        """The person (values of `PERSON`) behind each identifier that is known, under any key.

        What is found under an older key only is indexed under the current one, too. A crash before that is no loss:
        the older index still finds it.
        """
        found: dict[Identifier, tuple[Any, ...]] = {}
        for age, key in enumerate(self._keys):
            digests = {identifier: identifier.digest(key) for identifier in identifiers if identifier not in found}
            if not digests:
                break
            with self._database.read() as connection:
                rows = find_digests(connection, [*set(digests.values())])
            # RRN and FRN share digests: give every writing of the scheme its answer, and index one of them.
            answers = {each: rows[digest] for each, digest in digests.items() if digest in rows}
            found |= answers
            hits = {digests[each]: (each, person) for each, person in answers.items()}.values()
            if age and hits:
                current = self._keys[0]
                with self._database.write() as connection:
                    self._database.insert_new(connection, IDENTIFIER, [_indexed(i, current, p) for i, p in hits])
        return found


def find_digests(connection: sa.Connection, digests: Sequence[bytes]) -> dict[bytes, tuple[Any, ...]]:
    """The person (values of `PERSON`) behind each digest that is known."""
    found: dict[bytes, tuple[Any, ...]] = {}
    statement = sa.select(
        IDENTIFIER.c.digest,
        PARTICIPANT.c.participant,
        PARTICIPANT.c.enrolled_on,
        PARTICIPANT.c.birth_year,
        PARTICIPANT.c.sex,
        PARTICIPANT.c.consent,
        IDENTIFIER.c.first,
        PARTICIPANT.c.withdrawal,
    ).join_from(IDENTIFIER, PARTICIPANT, IDENTIFIER.c.participant == PARTICIPANT.c.participant)
    for some in chunks(digests):
        for digest, *person, withdrawal in connection.execute(statement.where(IDENTIFIER.c.digest.in_(some))):
            found[digest] = (*person, withdrawal is not None)
    return found


def _indexed(identifier: Identifier, key: Key, person: tuple[Any, ...]) -> dict[str, Any]:
    """A row of the identifier table, from the values of `PERSON`."""
    names = list(PERSON)
    return {
        "digest": identifier.digest(key),
        "scheme": identifier.scheme,
        "key_id": key.id,
        "participant": person[names.index("participant")],
        "first": person[names.index("first")],
    }


def _frame(people: Iterable[tuple[Any, ...]]) -> pl.DataFrame:
    return pl.DataFrame(list(people), schema=PERSON, orient="row")


def _fingerprints(schemes: pl.Series, ids: pl.Series) -> npt.NDArray[np.uint64]:
    """Two independent 64-bit hashes of each pair, as the two columns of an array."""
    prints = np.empty((len(ids), 2), dtype=np.uint64)
    scheme = schemes.hash(_SEED).to_numpy()
    prints[:, 0] = ids.hash(_SEED).to_numpy() ^ (scheme * np.uint64(0x9E3779B97F4A7C15))
    sip = np.fromiter(map(hash, ids.to_list()), dtype=np.int64, count=len(ids)).view(np.uint64)
    prints[:, 1] = sip ^ (scheme * np.uint64(0xC2B2AE3D27D4EB4F))
    return prints


class _Cache:
    """People by fingerprint: sorted arrays beside a frame, looked up by bisection for a whole batch at once."""

    def __init__(self, entries: int) -> None:
        self._entries = entries
        self.clear()

    def clear(self) -> None:
        self._first: npt.NDArray[np.uint64] = np.empty(0, dtype=np.uint64)
        self._second: npt.NDArray[np.uint64] = np.empty(0, dtype=np.uint64)
        self._slots: npt.NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._people = _frame([])

    def find(self, prints: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
        """The slot of each fingerprint, -1 where it is not cached."""
        if not len(self._first):
            return np.full(len(prints), -1, dtype=np.int64)
        place = np.searchsorted(self._first, prints[:, 0])
        place[place == len(self._first)] = 0
        hit = (self._first[place] == prints[:, 0]) & (self._second[place] == prints[:, 1])
        return np.where(hit, self._slots[place], -1)

    def rows(self, slots: npt.NDArray[np.int64]) -> pl.DataFrame:
        """The people in `slots`; a row of nulls for -1."""
        index = pl.Series(slots, dtype=pl.Int64)
        return self._people.select(pl.all().gather(index.zip_with(index >= 0, pl.Series([None], dtype=pl.Int64))))

    def add(self, prints: npt.NDArray[np.uint64], people: pl.DataFrame) -> None:
        """Add people that are not cached. When full, the older half is forgotten first."""
        prints, people = prints[-self._entries :], people.tail(self._entries)
        if len(self._first) + len(prints) > self._entries:
            keep = max(0, min(self._entries // 2, self._entries - len(prints)))
            oldest = len(self._first) - keep
            recent = self._slots >= oldest
            self._first, self._second = self._first[recent], self._second[recent]
            self._slots = self._slots[recent] - oldest
            self._people = self._people.tail(keep)
        slots = np.arange(len(self._first), len(self._first) + len(prints), dtype=np.int64)
        self._people = pl.concat([self._people, people], rechunk=True)
        first = np.concatenate([self._first, prints[:, 0]])
        order = np.argsort(first, kind="stable")
        self._first = first[order]
        self._second = np.concatenate([self._second, prints[:, 1]])[order]
        self._slots = np.concatenate([self._slots, slots])[order]
