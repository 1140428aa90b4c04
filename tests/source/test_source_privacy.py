"""What the SDK's own errors and objects say."""

import polars as pl
import pytest

from biokeel.contracts.catalogue import DirectoryCatalogue
from biokeel.contracts.topics import event_type
from biokeel.contracts.version import VersionWriter
from biokeel.errors import ContractError, SourceError
from biokeel.settings import PROJECT_ROOT
from biokeel.source.columns import conform, frame_of
from biokeel.source.files import Source
from biokeel.testing.events import random_frame

CATALOGUE = DirectoryCatalogue(PROJECT_ROOT / "schemas")
GLUCOSE = event_type("clinical.glucose")
QUOTED = "Gildong Hong 77310042"


def chain(error):
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def test_a_value_that_does_not_fit_is_in_no_error_and_in_no_cause_of_one():
    schema = CATALOGUE.reader(GLUCOSE).schema
    with pytest.raises(SourceError) as caught:
        frame_of(schema, [{"event_id": "0" * 32, "value": QUOTED}])
    errors = list(chain(caught.value))
    with pytest.raises(SourceError) as caught:
        conform(schema, random_frame(schema, 1).with_columns(value=pl.lit(QUOTED)))
    errors += chain(caught.value)
    assert not any(QUOTED in str(error) for error in errors)


def test_a_record_that_is_keyed_by_person_is_refused_without_showing_the_key():
    schema = CATALOGUE.reader(GLUCOSE).schema
    for refuse in (
        lambda: frame_of(schema, [{"MRN-77310042": 98.0, "note_2": ""}]),
        lambda: conform(schema, pl.DataFrame({"MRN-77310042": [98.0], "note_2": [""]})),
    ):
        with pytest.raises(SourceError, match="note_2") as caught:
            refuse()
        assert "77310042" not in str(caught.value)


def test_what_an_encoder_says_of_a_value_is_in_no_cause_of_our_error():
    class Refuses:
        def encode(self, _table):
            raise ValueError(QUOTED)

    writer = VersionWriter(CATALOGUE.reader(GLUCOSE).schema, 1)
    writer._wire = Refuses()
    with pytest.raises(ContractError) as caught:
        writer.encode(random_frame(CATALOGUE.reader(GLUCOSE).schema, 1))
    assert not any(QUOTED in str(error) for error in chain(caught.value))


def test_a_source_does_not_show_its_key():
    assert "not to be seen" not in repr(Source("emr", b"not to be seen"))
