"""Real Great Expectations on a pandas frame, for the tests that hold the compiler to it."""

from __future__ import annotations

import logging
import os
from functools import cache
from typing import Any

import polars as pl


@cache
def _definition() -> Any:
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations as gx

    import biokeel.validate.registered  # noqa: F401 - ours are among its own from here on

    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    asset = context.data_sources.add_pandas("parity").add_dataframe_asset("frame")
    return asset.add_batch_definition_whole_dataframe("whole")


def load(document: dict[str, Any]) -> Any:
    """A suite as Great Expectations reads it; raises what it raises."""
    _definition()
    import great_expectations as gx

    suite = gx.ExpectationSuite(**document)
    assert len(suite.expectations) == len(document["expectations"]), "Great Expectations dropped an expectation"
    return suite


def unexpected_rows(frame: pl.DataFrame, kind: str, kwargs: dict[str, Any]) -> list[int]:
    """The numbers of the rows that Great Expectations calls unexpected."""
    suite = load({"name": "parity", "expectations": [{"type": kind, "kwargs": kwargs, "severity": "warning"}]})
    batch = _definition().get_batch({"dataframe": frame.to_pandas()})
    result = batch.validate(suite, result_format={"result_format": "COMPLETE"}).results[0]
    assert not result.exception_info.get("raised_exception"), result.exception_info
    return sorted(result.result.get("unexpected_index_list") or [])
