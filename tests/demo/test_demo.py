from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from biokeel.batch import RawBatch, RawPartition
from biokeel.contracts.catalogue import DirectoryCatalogue
from biokeel.contracts.codec import Codec
from biokeel.contracts.schema import EventSchema
from biokeel.contracts.sources import Register
from biokeel.contracts.topics import event_type
from biokeel.demo import ENROLMENT, DemoCorpus, Verdict, demo_corpus
from biokeel.demo.defects import DEFECTS, NOBODY
from biokeel.demo.programme import DEMO, institutions
from biokeel.reasons import Reason
from biokeel.source.columns import conform
from biokeel.source.files import DryRun, Source, find_files, publish_files
from tests.event_types import LANDED_EVENTS


@pytest.fixture(scope="module")
def corpus() -> DemoCorpus:
    return demo_corpus(300, seed=5)


def assert_is_of(schema: EventSchema, frame: pl.DataFrame) -> None:
    """`frame` has the schema's columns and types, but for nullable ones that the demo leaves out."""
    whole = conform(schema, frame)
    assert whole.select(frame.columns).equals(frame)
    left_out = whole.drop(frame.columns)
    assert all(left_out[name].null_count() == frame.height for name in left_out.columns)


def test_event_types_of_all_domains_are_there_in_the_form_of_their_schemas(
    corpus: DemoCorpus, catalogue: DirectoryCatalogue
) -> None:
    assert set(corpus.events) <= set(LANDED_EVENTS)
    assert {event.domain for event in corpus.events} == {event.domain for event in LANDED_EVENTS}
    for event, frame in corpus.events.items():
        assert_is_of(catalogue.reader(event).schema, frame)
        assert frame.height >= 100
    for frame in (corpus.enrolments, corpus.late_enrolments):
        assert_is_of(catalogue.reader(ENROLMENT).schema, frame)
        assert frame["occurred_at"].dtype == pl.Datetime("ms", "UTC")


def test_the_seed_decides_everything() -> None:
    one, two, other = (demo_corpus(40, seed) for seed in (1, 1, 2))
    assert all(one.events[event].equals(two.events[event]) for event in one.events)
    assert one.labels.equals(two.labels)
    assert not one.labels.equals(other.labels)


def test_every_event_has_one_label_and_every_kind_of_defect_occurs(corpus: DemoCorpus) -> None:
    ids = pl.concat([f["event_id"] for f in (corpus.enrolments, corpus.late_enrolments, *corpus.events.values())])
    assert ids.n_unique() == len(ids) == corpus.labels.height
    assert set(ids) == set(corpus.labels["event_id"])
    names = set(corpus.labels["defect"].drop_nulls())
    assert names == {defect.name for defect in DEFECTS} | {"never_enrolled", "no_consent"}


def test_whoever_sends_an_event_that_is_to_pass_is_registered_for_it_and_for_its_scheme(corpus: DemoCorpus) -> None:
    register = Register(institutions())
    passes = corpus.labels.filter(pl.col("verdict") != Verdict.SEALED)
    for event, frame in ((ENROLMENT, corpus.enrolments), *corpus.events.items()):
        sent = frame.join(passes, on="event_id", how="semi").select("source_id", "subject_scheme").unique()
        for source, scheme in sent.iter_rows():
            assert register[source].may_send(event)
            assert register[source].may_speak_of(scheme)


def test_the_share_of_defects_is_about_what_was_asked(corpus: DemoCorpus) -> None:
    bad = corpus.labels["defect"].is_not_null().sum() + corpus.broken
    assert 0.015 < bad / len(corpus) < 0.025
    clean = demo_corpus(50, 1, defects=0.0)
    assert clean.broken == 0
    assert set(clean.labels["verdict"]) == {"curated", "applied"}


def test_a_label_of_the_parked_is_true_to_the_enrolments(corpus: DemoCorpus) -> None:
    pairs = {}
    for name in ("enrolments", "late_enrolments"):
        frame: pl.DataFrame = getattr(corpus, name)
        parts = frame.select(pl.col("identifiers").explode()).unnest("identifiers")
        pairs[name] = set(parts.iter_rows())
    labels = corpus.labels.filter(pl.col("event") != str(ENROLMENT))
    for frame in corpus.events.values():
        joined = frame.join(labels, on="event_id").filter(
            pl.col("defect").is_null() | (pl.col("defect") == "never_enrolled")
        )
        for scheme, value, verdict, waits in joined.select(
            "subject_scheme", "subject_id", "verdict", "waits"
        ).iter_rows():
            on_time, late = ((scheme, value) in pairs[name] for name in ("enrolments", "late_enrolments"))
            assert (on_time, late) == (verdict == Verdict.CURATED and not waits, bool(waits))


def test_registration_numbers_agree_with_birth_date_and_sex_and_most_have_a_check_digit(corpus: DemoCorpus) -> None:
    weights = [2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5]
    checked = 0
    rows = corpus.enrolments.select("subject_scheme", "subject_id", "birth_date", "sex").rows()
    for scheme, number, born, sex in rows:
        digits = re.sub(r"\D", "", number)
        assert digits[:6] == born.strftime("%y%m%d")
        generation = 1 + (sex == "female") + 2 * (born.year >= 2000) + 4 * (scheme == "KR_FRN")
        assert digits[6] == str(generation)
        total = sum(int(d) * w for d, w in zip(digits, weights, strict=False))
        checked += (({"KR_RRN": 11, "KR_FRN": 13}[scheme] - total % 11) % 10) == int(digits[12])
    assert 0.8 < checked / len(rows) < 0.97
    assert len({number for _, number, _, _ in rows}) == len(rows)


def test_sleep_keeps_its_hours_and_pressure_rises_with_age(corpus: DemoCorpus) -> None:
    sleep = corpus.events[event_type("lifestyle.sleep")].filter(pl.col("is_main_sleep"))
    hours = sleep.select((pl.col("occurred_at") + pl.duration(hours=9)).dt.hour()).to_series()
    assert hours.is_in([20, 21, 22, 23, 0, 1, 2, 3]).mean() > 0.95  # type: ignore[operator]
    stages = sleep.select(pl.sum_horizontal("minutes_light", "minutes_deep", "minutes_rem") - pl.col("minutes_asleep"))
    good = sleep.join(corpus.labels.filter(pl.col("verdict") == "curated"), on="event_id", how="semi")
    assert stages.height
    assert (good["minutes_light"] + good["minutes_deep"] + good["minutes_rem"] == good["minutes_asleep"]).all()
    pressure = corpus.events[event_type("clinical.blood_pressure")]
    by_number = corpus.enrolments.select(
        pl.col("identifiers").list.eval(pl.element().struct.field("value")).list.first().alias("subject_id"),
        "birth_date",
    )
    known = pressure.join(by_number, on="subject_id").filter(pl.col("systolic") < 300)
    assert known.select(pl.corr("systolic", pl.col("birth_date").cast(pl.Int32))).item() < -0.3


def test_broken_messages_are_rejected_for_the_reason_they_are_labelled_with(
    corpus: DemoCorpus, catalogue: DirectoryCatalogue
) -> None:
    codec = Codec(catalogue, 1 << 20)
    made = corpus.raw_defects(codec)
    assert len(made) == corpus.broken
    for defect in made:
        batch = RawBatch.of(defect.event, [(RawPartition(DEMO, 0), np.array([0]), [defect.value])])
        (rejection,) = codec.decode(batch).rejected
        assert rejection.reason == defect.reason
    wire = {Reason.EMPTY, Reason.MALFORMED, Reason.NOT_FRAMED, Reason.TRAILING_BYTES, Reason.UNKNOWN_SCHEMA}
    assert {defect.reason for defect in demo_corpus(300, 5, 0.2).raw_defects(codec)} == wire


def test_the_written_files_publish_as_exactly_the_corpus(
    corpus: DemoCorpus, catalogue: DirectoryCatalogue, tmp_path: Path
) -> None:
    corpus.write(tmp_path, Codec(catalogue, 1 << 20))

    class Sink(DryRun):
        rows: dict[str, list[pl.DataFrame]] = {}  # noqa: RUF012 - one test, one sink

        def publish(self, event, rows, withheld=None) -> int:  # type: ignore[no-untyped-def]
            from biokeel.source.columns import frame_of

            self.rows.setdefault(str(event), []).append(frame_of(catalogue.reader(event).schema, rows))
            return super().publish(event, rows, withheld)

    sink = Sink(catalogue, 1 << 20)
    results = publish_files(find_files([tmp_path / "files"]), Source(DEMO, b""), sink)
    assert not [result for result in results if result.failure]
    reasons = {reason for result in results for reason in result.report.reasons}
    assert all(reason.endswith("it does not cross the privacy wall") for reason in reasons), "as was planted"
    assert sum(result.sent.total() for result in results) == len(corpus)
    for event, frame in corpus.events.items():
        # Whoever sends files sends them as itself; what names another is among the broken messages.
        mine = frame.filter(pl.col("source_id") != NOBODY).with_columns(source_id=pl.lit(DEMO))
        sent = pl.concat(sink.rows[str(event)]).select(mine.columns)
        assert sent.sort("event_id").equals(mine.sort("event_id"))
    assert pl.read_ndjson(tmp_path / "labels.jsonl", infer_schema_length=None).height == corpus.labels.height
