"""Finding participants by their identifiers, fast: two tables in memory before SQL. Nothing durable is in either.

| asked | found by | costs, a person | holds |
| --- | --- | --- | --- |
| the cache | the identifier as it was written | 0.2 µs | who was asked for lately |
| the index | the digest of its normal form under the current key | 2 µs more | whom the vault knew when it was loaded |
| SQL | the digest under each key | 15 µs more | everybody |

The cache keeps no identifier: an entry is found by two independent keyed 64-bit hashes of the identifier as it was
written (polars' under a random seed, and Python's SipHash under the process' own key), so a chance of mixing up two
persons is below 1e-20 for a million entries. The index keeps the first 16 bytes of each digest.

Only known people are in them: whoever is not is asked for in SQL each time, for any worker may have enrolled him since.
What is known changes only when the vault's generation moves (consent change, merge, withdrawal, enrolment of a known
participant); then both are emptied.

The index is loaded when that is cheaper than to go on asking: to load costs 3 µs a person. So it is at a worker's first
large batch, and later, once SQL found a quarter as many as were loaded before.
"""

from __future__ import annotations

import gc
import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl
import sqlalchemy as sa

from biokeel.rows import Rows
from biokeel.vault.database import chunks
from biokeel.vault.identifiers import digests, messages, normalise
from biokeel.vault.known import PERSON, Known, Words, are_somebody, to_frame, to_records
from biokeel.vault.tables import IDENTIFIER, PARTICIPANT

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    import numpy.typing as npt

    from biokeel.vault.database import Database
    from biokeel.vault.identifiers import Identifier
    from biokeel.vault.keys import Key
    from biokeel.vault.known import Keys, Records

CACHE_ENTRIES: Final = 1 << 20
"""About 60 MB."""
INDEX_ENTRIES: Final = 1 << 22
"""About 250 MB where a vault has so many identifiers. Of a larger one the rest is found by SQL."""
LEAST_TO_LOAD: Final = 1_000
"""People that are unknown at once; fewer are asked for in SQL, however small the vault is."""

_SEED: Final = secrets.randbits(63)
_AT_A_TIME: Final = 4_000
"""Rows that are read at a time while the index is loaded."""
_DIGEST: Final = 32


def _person(first: sa.Column[int]) -> tuple[sa.ColumnElement[Any], ...]:
    """The columns of `PERSON`, of which `_frame` makes what they are to be."""
    columns = PARTICIPANT.c
    return (
        columns.participant,
        # As text: days are cheaper to make by the column than one by one.
        sa.cast(columns.enrolled_on, sa.String(10)),
        columns.birth_year,
        columns.sex,
        columns.consent,
        first.label("first"),
        columns.withdrawal,
    )


_BY_DIGEST: Final = sa.select(IDENTIFIER.c.digest, *_person(IDENTIFIER.c.first)).join_from(
    IDENTIFIER, PARTICIPANT, IDENTIFIER.c.participant == PARTICIPANT.c.participant
)
_EVERYBODY: Final = sa.select(*_person(PARTICIPANT.c.participant))
_IDENTIFIERS: Final = sa.select(IDENTIFIER.c.digest, IDENTIFIER.c.participant, IDENTIFIER.c.first)


class People:
    """Look-ups of one process; not for several threads at once.

    `unstated` (a sum of `consent.CONSENT`) is what the consent of a person is who never stated one.
    """

    def __init__(
        self,
        database: Database,
        keys: tuple[Key, ...],
        unstated: int = 0,
        cache_entries: int = CACHE_ENTRIES,
        index_entries: int = INDEX_ENTRIES,
    ) -> None:
        self._database = database
        self._keys = keys
        self._unstated = unstated
        self._words = Words()
        self._cache = Known(cache_entries)
        self._index = Known(index_entries)
        self._index_entries = index_entries
        self._loaded = 0
        """People that were in the index when it was loaded last."""
        self._by_sql = 0
        """People whom SQL found since then."""
        self._generation = -1

    def look_up(self, schemes: pl.Series, ids: pl.Series, generation: int) -> pl.DataFrame:
        """Who each (scheme, identifier as written) is, as of at least `generation`: `PERSON`, and `valid` (Boolean).

        `valid` is false where the scheme is not known or the identifier has not the scheme's form.
        """
        if generation != self._generation:
            self._cache.clear()
            self._index.clear()
            self._generation = generation
        prints = _fingerprints(schemes, ids)
        rows = self._cache.find(prints)
        # Taken before anything is added: what is added may push out what these rows hold.
        records = self._cache.read(rows)
        valid = np.ones(len(records), dtype=np.bool_)
        missing = np.flatnonzero(rows == 0)
        if len(missing):
            records[missing], valid[missing] = self._search(schemes.gather(missing), ids.gather(missing))
            found = missing[are_somebody(records[missing])]
            self._cache.add(prints[found], records[found])
        return to_frame(records, self._words).with_columns(valid=pl.Series(valid))

    def _search(self, schemes: pl.Series, ids: pl.Series) -> tuple[Records, npt.NDArray[np.bool_]]:
        """The record of each, and whether it has a form: by the index, and by SQL where that does not know it."""
        said = messages(schemes, ids)
        valid = said.is_not_null().to_numpy()
        keys = np.zeros((len(ids), 2), np.uint64)
        keys[valid] = _keys(digests(said.drop_nulls(), self._keys[0]))
        asked = int(valid.sum())
        if self._by_sql + (0 if len(self._index) else asked) > max(LEAST_TO_LOAD, self._loaded // 4):
            self._load()
        rows = np.where(valid, self._index.find(keys), 0)
        records = self._index.read(rows)
        strangers = np.flatnonzero(valid & (rows == 0))
        if len(strangers):
            pairs = zip(schemes.gather(strangers), ids.gather(strangers), strict=True)
            forms = [form for pair in pairs if (form := normalise(*pair)) is not None]
            found = self.find(set(forms))
            self._by_sql += len(found)
            places = [place for place, form in zip(strangers, forms, strict=True) if form in found]
            people = [found[form] for form in forms if form in found]
            records[places] = self._records(zip(*people, strict=True))
        return records, valid

    def _load(self) -> None:
        """Read the index of the vault, or as much of it as there is room for: SQL finds the others."""
        self._index.clear()
        with _no_collection(), self._database.read() as connection:
            # Joined here: each table read in its order is three times as quick as a join by its keys.
            everybody = _EVERYBODY.limit(self._index_entries)
            parts = [self._records(some) for some in _columns(connection, everybody)]
            people = np.concatenate([*parts, self._index.read(np.zeros(1, np.int64))])
            rows = Rows(np.ascontiguousarray(people["participant"][:-1]))
            for found, participants, first in _columns(connection, _IDENTIFIERS):
                whose = rows.find(np.array(participants, np.int64))
                records = people.take(whose - 1)
                records["first"] = first
                here = np.flatnonzero(whose)[: self._index_entries - len(self._index)]
                self._index.add(_keys(b"".join(found))[here], records[here])
                if len(self._index) == self._index_entries:
                    break
        self._loaded, self._by_sql = len(self._index), 0

    def _records(self, columns: Iterable[Sequence[Any]]) -> Records:
        """What the tables in memory hold of people, from the columns of `_person`; consent is the one that counts."""
        people = _frame(columns).with_columns(pl.col("consent").fill_null(self._unstated))
        return to_records(people, self._words)

    def find(self, identifiers: Collection[Identifier]) -> dict[Identifier, tuple[Any, ...]]:
        """The person (values of `_person`) behind each identifier that is known, under any key.

        What is found under an older key only is indexed under the current one, too. A crash before that is no loss:
        the older index still finds it.
        """
        found: dict[Identifier, tuple[Any, ...]] = {}
        for age, key in enumerate(self._keys):
            wanted = {identifier: identifier.digest(key) for identifier in identifiers if identifier not in found}
            if not wanted:
                break
            with self._database.read() as connection:
                rows = find_digests(connection, [*set(wanted.values())])
            # RRN and FRN share digests: give every writing of the scheme its answer, and index one of them.
            answers = {each: rows[digest] for each, digest in wanted.items() if digest in rows}
            found |= answers
            hits = {wanted[each]: (each, person) for each, person in answers.items()}.values()
            if age and hits:
                current = self._keys[0]
                with self._database.write() as connection:
                    self._database.insert_new(connection, IDENTIFIER, [_indexed(i, current, p) for i, p in hits])
        return found


def find_digests(connection: sa.Connection, wanted: Sequence[bytes]) -> dict[bytes, tuple[Any, ...]]:
    """The person (values of `_person`) behind each digest that is known."""
    return {
        digest: tuple(person)
        for some in chunks(wanted)
        for digest, *person in connection.execute(_BY_DIGEST.where(IDENTIFIER.c.digest.in_(some)))
    }


def _indexed(identifier: Identifier, key: Key, person: tuple[Any, ...]) -> dict[str, Any]:
    """A row of the identifier table, from the values of `_person`."""
    names = list(PERSON)
    return {
        "digest": identifier.digest(key),
        "scheme": identifier.scheme,
        "key_id": key.id,
        "participant": person[names.index("participant")],
        "first": person[names.index("first")],
    }


def _columns(connection: sa.Connection, query: sa.Select[Any]) -> Iterator[tuple[tuple[Any, ...], ...]]:
    """The columns of some thousand rows at a time."""
    for some in connection.execute(query, execution_options={"yield_per": _AT_A_TIME}).partitions():
        yield tuple(zip(*some, strict=True))


def _frame(columns: Iterable[Sequence[Any]]) -> pl.DataFrame:
    """`PERSON` from its columns as `_person` names them; nobody, where there are none."""
    read = PERSON | {"enrolled_on": pl.String(), "withdrawn": pl.String()}
    series = [pl.Series(name, values, read[name]) for name, values in zip(PERSON, columns, strict=False)]
    return pl.DataFrame(series, schema=read).with_columns(
        pl.col("enrolled_on").str.to_date("%Y-%m-%d"), pl.col("withdrawn").is_not_null()
    )


@contextmanager
def _no_collection() -> Iterator[None]:
    """Without looks for cyclic garbage: rows hold none, but so many of them would make Python look all the time.

    That would cost as much as reading them.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _keys(joined: bytes) -> Keys:
    """The first 16 bytes of each of several digests, which stand one after the other."""
    return np.frombuffer(joined, np.uint64).reshape(-1, _DIGEST // 8)[:, :2]


def _fingerprints(schemes: pl.Series, ids: pl.Series) -> npt.NDArray[np.uint64]:
    """Two independent 64-bit hashes of each pair, as the two columns of an array."""
    prints = np.empty((len(ids), 2), dtype=np.uint64)
    scheme = schemes.hash(_SEED).to_numpy()
    prints[:, 0] = ids.hash(_SEED).to_numpy() ^ (scheme * np.uint64(0x9E3779B97F4A7C15))
    sip = np.fromiter(map(hash, ids.to_list()), dtype=np.int64, count=len(ids)).view(np.uint64)
    prints[:, 1] = sip ^ (scheme * np.uint64(0xC2B2AE3D27D4EB4F))
    return prints
