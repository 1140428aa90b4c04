"""Each stage by itself, without a broker: events a second of wall time and of CPU time, medians of several runs.

Every stage gets what it gets in a worker: micro-batches of `rows` blood pressures (settings: 20,000), a landing of
`flush_rows`. CPU seconds are the process's, with all threads of polars, pyarrow and delta-rs. What is not here, because
it needs a broker: fetching, producing, committing.
"""

from __future__ import annotations

import json
import statistics
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from bench.made import ENROLMENT, PRESSURE, enrolments, pressures
from bench.registers import CLINIC_ID, OFFICE_ID, of_a_clinic
from biokeel.batch import DecodedBatch, PseudonymisedBatch, RawBatch, ValidatedBatch
from biokeel.contracts.blocks import Block, read_block, split_blocks
from biokeel.contracts.catalogue import DirectoryCatalogue
from biokeel.contracts.codec import Codec
from biokeel.contracts.schema import load_schema, parse_schema
from biokeel.contracts.sources import Register
from biokeel.engine.curate.reading import Placed, blocks_of
from biokeel.land.lake import Lake
from biokeel.land.tables import EventTables
from biokeel.link.repeats import Window, remembered, sent_again
from biokeel.link.stage import drop_repeats, link
from biokeel.link.state import RECORD, PersonState, Run
from biokeel.pseudonymise.leaks import find_leaks
from biokeel.pseudonymise.policy import Policy
from biokeel.pseudonymise.stage import Gate, pseudonymise
from biokeel.pseudonymise.wall import Wall
from biokeel.settings import Settings
from biokeel.source.columns import conform
from biokeel.testing.events import raw_batch
from biokeel.validate.lint import read_suite
from biokeel.validate.stage import validate
from biokeel.validate.suites import suite_path
from biokeel.vault.keys import create_key_file
from biokeel.vault.store import Vault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from biokeel.contracts.schema import EventSchema
    from biokeel.validate.rules import CompiledSuite

RULES: Final = 8
MANY_RULES: Final = 80
FEW_PEOPLE: Final = 1_000
MANY_PEOPLE: Final = 1_000_000
LEAST_SECONDS: Final = 0.15
"""A run repeats a quick stage until it took this long."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """`people` are enrolled in the vault; `land_rows` land at a time."""

    rows: int = 20_000
    people: int = 100_000
    land_rows: int = 262_144
    partitions: int = 4
    runs: int = 5


@dataclass(frozen=True, slots=True)
class StageFigure:
    """One stage: `events` a call, and medians over the runs of seconds an event, of the clock's and of all CPUs'."""

    stage: str
    what: str
    events: int
    wall_microseconds: float
    cpu_microseconds: float

    @property
    def per_second(self) -> float:
        """Events a second of the clock."""
        return 1e6 / self.wall_microseconds

    @property
    def per_cpu_second(self) -> float:
        """Events a CPU second."""
        return 1e6 / self.cpu_microseconds


@dataclass(frozen=True, slots=True)
class Subject:
    """A stage to measure. `prepare` is called before each call, outside the clock, and makes its argument."""

    stage: str
    what: str
    events: int
    prepare: Callable[[], Any]  # whatever the stage takes
    call: Callable[[Any], object]


def measure(subject: Subject, runs: int) -> StageFigure:
    """The medians of `runs` runs after one that does not count."""
    walls, cpus = [], []
    for run in range(runs + 1):
        wall = cpu = 0.0
        calls = 0
        while not calls or wall < LEAST_SECONDS:
            argument = subject.prepare()
            began, used = time.perf_counter(), time.process_time()
            subject.call(argument)
            wall += time.perf_counter() - began
            cpu += time.process_time() - used
            calls += 1
        if run:
            walls.append(wall / calls)
            cpus.append(cpu / calls)
    each = 1e6 / subject.events
    return StageFigure(
        subject.stage, subject.what, subject.events, statistics.median(walls) * each, statistics.median(cpus) * each
    )


def stages(folder: Path, sizes: Sizes) -> Iterator[StageFigure]:
    """Measure every stage, in the order of an event's way; `folder` is for the vault and the table."""
    settings = Settings(
        state_dir=folder, vault_url=f"sqlite:///{folder / 'vault.sqlite'}", vault_key_file=folder / "vault.keys"
    )
    create_key_file(folder / "vault.keys")
    vault = Vault.open(settings)
    try:
        bench = _Bench(folder, sizes, settings, vault)
        yield bench.enrol()
        for subject in bench.subjects():
            yield measure(subject, sizes.runs)
    finally:
        vault.close()


def _of_six(rows: int) -> tuple[EventSchema, pl.DataFrame]:
    """An event type with six kept texts (four closed sets, two code systems) and six kept numbers, and `rows` of it."""
    rng = np.random.default_rng(6)
    words = [[f"word-{number}" for number in range(count)] for count in (3, 8, 20, 200)]
    codes = {
        "loinc": ["2339-0", "8480-6", "8462-4", "4548-4"],
        "kcd": [f"E{n:02}.{k}" for n in range(99) for k in "0139"],
    }
    forms = [*({"values": each, "of": "the benchmark"} for each in words), *({"codes": [name]} for name in codes)]
    choices = [*words, *codes.values()]
    described = {"doc": "of the benchmark", "confluent:tags": ["NONE"]}
    texts = [
        {"name": f"text_{number}", "type": ["null", "string"], "default": None, "biokeel:form": form, **described}
        for number, form in enumerate(forms)
    ]
    numbers = [
        {"name": f"number_{number}", "type": ["null", "double"], "default": None, "unit": "1", **described}
        | {"biokeel:range": [-1e6, 1e6]}
        for number in range(6)
    ]
    envelope = load_schema(Settings().schemas_dir, PRESSURE)
    head = list(envelope.avro["fields"])[: len(envelope.fields) - len(envelope.payload)]
    schema = parse_schema(PRESSURE, {**envelope.avro, "fields": [*head, *texts, *numbers]})
    columns = {f"text_{number}": rng.choice(each, rows) for number, each in enumerate(choices)}
    columns |= {f"number_{number}": rng.normal(100, 20, rows).round(1) for number in range(6)}
    return schema, pl.DataFrame(columns)


class _Bench:
    """What the stages need of each other, made once."""

    def __init__(self, folder: Path, sizes: Sizes, settings: Settings, vault: Vault) -> None:
        self.folder, self.sizes, self.settings, self.vault = folder, sizes, settings, vault
        self.catalogue = DirectoryCatalogue(settings.schemas_dir)
        self.codec = Codec(self.catalogue, settings.max_event_bytes)
        self.schema = self.catalogue.reader(PRESSURE).schema
        schemas = {event: self.catalogue.reader(event).schema for event in (PRESSURE, ENROLMENT)}
        register = Register(of_a_clinic())
        self.wall = Wall(self.codec, vault, schemas, lambda: register)
        self.gate = Gate(lambda: register, vault.event_ids)
        self.next_offset = 0

    def enrol(self) -> StageFigure:
        """Enrol everybody as the worker does; once, because it can be done once."""
        everybody = conform(self.catalogue.reader(ENROLMENT).schema, enrolments(self.sizes.people))
        batches = [
            raw_batch(
                self.codec, ENROLMENT, everybody[start : start + self.sizes.rows], first_offset=start, source=OFFICE_ID
            )
            for start in range(0, everybody.height, self.sizes.rows)
        ]
        began, used = time.perf_counter(), time.process_time()
        for batch in batches:
            self.wall.process(batch)
        wall, cpu = time.perf_counter() - began, time.process_time() - used
        each = 1e6 / self.sizes.people
        return StageFigure(
            "enrol", "enrolments into an empty vault, one run", self.sizes.people, wall * each, cpu * each
        )

    def subjects(self) -> Iterator[Subject]:
        """Every other stage."""
        rows = self.sizes.rows
        frame = conform(self.schema, pl.concat(pressures(rows, self.sizes.people)))
        raw = raw_batch(self.codec, PRESSURE, frame, source=CLINIC_ID)
        yield Subject(
            "encode", "the source's side", rows, lambda: frame, lambda columns: self.codec.encode(PRESSURE, columns)
        )
        yield Subject("decode", "framed Avro to columns", rows, lambda: raw, self.codec.decode)
        decoded = self.codec.decode(raw).accepted
        yield from self._before_the_wall(raw, decoded)
        people = self.vault.look_up(decoded.frame["subject_scheme"], decoded.frame["subject_id"], 0)
        passed = pseudonymise(decoded, people, Policy.of(self.schema), self.gate).outcome.accepted
        yield from self._after_the_wall(passed)

    def _before_the_wall(self, raw: RawBatch, decoded: DecodedBatch) -> Iterator[Subject]:
        rows, policy = self.sizes.rows, Policy.of(self.schema)
        schemes, ids = decoded.frame["subject_scheme"], decoded.frame["subject_id"]
        people = self.vault.look_up(schemes, ids, 0)
        yield Subject("look-up", "people in the cache", rows, _nothing, lambda _: self.vault.look_up(schemes, ids, 0))
        cold = Vault.open(self.settings)
        generations = iter(range(1, 1 << 30))  # a generation that moves empties the cache
        yield Subject(
            "look-up, cold",
            "empty cache",
            rows,
            lambda: next(generations),
            lambda generation: cold.look_up(schemes, ids, generation),
        )
        cold.close()
        yield Subject("forms", "3 texts and 3 numbers", rows, _nothing, lambda _: policy.withhold.apply(decoded.frame))
        schema, frame = _of_six(rows)
        six = Policy.of(schema).withhold
        assert not six.apply(frame).misfits
        yield Subject("forms, six", "6 texts and 6 numbers", rows, _nothing, lambda _: six.apply(frame))
        ids = decoded.frame["event_id"]
        yield Subject("event ids", "hidden", rows, _nothing, lambda _: self.vault.event_ids.hide(ids))
        texts = frame.select(field.name for field in schema.kept() if field.form)
        subjects = decoded.frame["subject_id"]
        yield Subject("scan", "leak scan of 6 texts", rows, _nothing, lambda _: find_leaks(texts, subjects))
        yield Subject(
            "stage",
            "pure stage, forms within",
            rows,
            _nothing,
            lambda _: pseudonymise(decoded, people, policy, self.gate),
        )
        yield Subject(
            "wall", "decode to stage, and the vault's commit", rows, lambda: self._fresh(raw), self.wall.process
        )

    def _fresh(self, raw: RawBatch) -> RawBatch:
        """The same events at offsets that the vault has not seen."""
        offsets = np.arange(self.next_offset, self.next_offset + len(raw), dtype=np.int64)
        self.next_offset += len(raw)
        return replace(raw, offsets=offsets)

    def _after_the_wall(self, passed: PseudonymisedBatch) -> Iterator[Subject]:
        rows, partitions = self.sizes.rows, self.sizes.partitions
        fingerprint = self.catalogue.reader(PRESSURE).fingerprint
        blocks = split_blocks(passed, partitions, fingerprint, self.vault.signer)
        yield Subject(
            "blocks, split",
            f"{partitions} blocks",
            rows,
            _nothing,
            lambda _: split_blocks(passed, partitions, fingerprint, self.vault.signer),
        )
        yield Subject("blocks, read", f"{partitions} blocks", rows, lambda: blocks, self._read)
        read = blocks_of(PRESSURE, [Placed(0, 0, passed.frame)])
        yield Subject("repeats", "", rows, lambda: read, lambda batch: drop_repeats(batch, {0: {}}))
        yield Subject("sent again", "new events, empty window", rows, lambda: read, _sent_again)
        for count in (RULES, MANY_RULES):
            suite = self._suite(count)
            yield Subject("validate", f"{count} rules", rows, lambda: read, _judge(suite))
        judged = validate(read, self._suite(RULES)).accepted
        for people in (FEW_PEOPLE, MANY_PEOPLE):
            state, batch = _known(people), _of_people(judged, people)
            yield Subject("link", f"{people:,} participants known", len(batch), _nothing, _linked(batch, state))
        yield self._land(judged)

    def _read(self, blocks: list[Block]) -> pl.DataFrame:
        keys = self.vault.block_keys
        frames = [read_block(PRESSURE, each.partition, each.value, each.headers, keys).frame for each in blocks]
        return pl.concat(frames)

    def _suite(self, count: int) -> CompiledSuite:
        reading = read_suite(suite_of(self.settings, count), self.schema)
        if reading.suite is None:
            raise ValueError("; ".join(str(finding) for finding in reading.findings))
        return reading.suite

    def _land(self, judged: ValidatedBatch) -> Subject:
        """One landing in a table on the local disk: columns, Parquet, both commits."""
        tables = EventTables(Lake.local(self.folder / "lake"), self.schema)
        tables.positions(0)
        linked = link(judged, {0: PersonState()})[0].frame
        copies = -(-self.sizes.land_rows // linked.height)
        rows = pl.concat([linked] * copies)[: self.sizes.land_rows]
        offsets = iter(range(1 << 30))
        return Subject(
            "land",
            "one landing in a local folder",
            rows.height,
            lambda: (offset := next(offsets), rows.with_columns(pseudo_offset=pl.lit(offset, pl.Int64))),
            lambda flush: tables.land(flush[1], None, {0: flush[0]}),
        )


SAMPLES = '{"samples": [{"why": "a good one", "row": {"systolic": 120, "diastolic": 80}}]}'
"""What stands beside a suite of the benchmark."""


def suite_of(settings: Settings, count: int) -> str:
    """A suite of `count` rules: the first `RULES` of blood pressures with a lower bound, each copy with its own."""
    whole = json.loads(suite_path(settings.expectations_dir, PRESSURE).read_text("utf-8"))
    rules = [rule for rule in whole["expectations"] if "min_value" in rule["kwargs"]][:RULES]
    assert len(rules) == RULES
    several = [_variant(rules[number % RULES], number // RULES) for number in range(count)]
    return json.dumps({**whole, "expectations": several})


def _nothing() -> None:
    return None


def _sent_again(batch: PseudonymisedBatch) -> object:
    windows = {0: Window()}
    found = sent_again(batch, windows)
    return remembered(windows, (found.rest.frame,), batch.frame.height)


def _judge(suite: CompiledSuite) -> Callable[[PseudonymisedBatch], object]:
    return lambda batch: validate(batch, suite)


def _linked(batch: ValidatedBatch, state: PersonState) -> Callable[[None], None]:
    states = {0: state}

    def call(_: None) -> None:
        nonlocal states
        # The newest state each time, as in a worker: an older one has to be copied first.
        _, states = link(batch, states)

    return call


def _variant(rule: dict[str, Any], number: int) -> dict[str, Any]:
    """`rule` with an id of its own, and from the second copy on another bound, so that nothing is computed twice."""
    kwargs = dict(rule["kwargs"])
    if isinstance(kwargs["min_value"], int | float):
        kwargs["min_value"] -= number
    else:
        kwargs["min_value"] = f"{1900 - number}-01-01T00:00:00+00:00"
    return {**rule, "kwargs": kwargs, "meta": {**rule["meta"], "rule": f"{rule['meta']['rule']}.copy{number}"}}


def _known(people: int) -> PersonState:
    """A state that knows the participants 0, 7, 14, …"""
    records = np.ones((people, len(RECORD)), dtype=np.int64)
    return PersonState(Run(np.arange(people, dtype=np.int64) * 7, records))


def _of_people(batch: ValidatedBatch, people: int) -> ValidatedBatch:
    """`batch` with its rows given to the participants that `_known` knows."""
    rng = np.random.default_rng(people)
    participants = rng.integers(0, people, len(batch)) * 7
    return ValidatedBatch(batch.event, batch.frame.with_columns(pl.Series("participant", participants)))
