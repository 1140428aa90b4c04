"""A state of one kind as numbered objects in the lake: the last two, each under a number that only one writer can take.

An object is whole or not there at all, and each has the next number, under which only one writer can put its own: who
works beside another, or slept while another took over, hears that its number is taken, and begins from what is there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from biokeel.errors import CommitConflict

if TYPE_CHECKING:
    from biokeel.land.objects import Objects

KEPT: Final = 2


@dataclass(frozen=True, slots=True)
class Numbered:
    """The objects `<prefix><number><suffix>`; `who` says in an error that somebody else writes them, too."""

    objects: Objects
    prefix: str
    suffix: str
    who: str

    def newest(self) -> tuple[int, bytes | None]:
        """Number and content of the newest; 0 and None where there is none."""
        numbers = self._numbers()
        return (numbers[-1], self.objects.get(self.key(numbers[-1]))) if numbers else (0, None)

    def save(self, number: int, data: bytes) -> None:
        """Put `data` after the one of `number`, and delete what is older than both.

        Raises `CommitConflict` where somebody else went on from there. Dying in here leaves it saved or not, and
        perhaps an object too many, until the next time.
        """
        if not self.objects.put_new(self.key(number + 1), data):
            raise CommitConflict(self.who, "One is enough: this one goes on from what that one saved.")
        for old in self._numbers()[:-KEPT]:
            self.objects.delete(self.key(old))

    def key(self, number: int) -> str:
        """Of one of them; twenty digits, so that names sort as the numbers do."""
        return f"{self.prefix}{number:020d}{self.suffix}"

    def _numbers(self) -> list[int]:
        keys = (key for key in self.objects.keys(self.prefix) if key.endswith(self.suffix))
        return [int(key.removeprefix(self.prefix).removesuffix(self.suffix)) for key in keys]
