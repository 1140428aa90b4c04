import datetime as dt

import numpy as np
import polars as pl
import pytest

from biokeel.batch import COORDINATES, ENVELOPE, PseudonymisedBatch
from biokeel.console.topic import MASK, pseudo_events, raw_events
from biokeel.contracts.blocks import split_blocks
from biokeel.contracts.catalogue import DirectoryCatalogue
from biokeel.contracts.codec import Codec
from biokeel.contracts.ids import encode_id
from biokeel.contracts.schema import Tag
from biokeel.contracts.topics import event_type
from biokeel.engine.peek import Message
from biokeel.settings import Settings
from biokeel.testing.generate import generate

ENROLMENT = event_type("person.enrolment")
SLEEP = event_type("lifestyle.sleep")


@pytest.fixture(scope="module")
def catalogue():
    return DirectoryCatalogue(Settings().schemas_dir)
