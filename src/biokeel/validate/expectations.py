"""What becomes of each expectation of Great Expectations: the one table.

Every core expectation of the installed release has one of three answers: `tests/validate/test_expectations.py` walks
the library's own list to hold that. What is written here beside a name is what a steward is told: by `biokeel suite
check`, and in `docs/stewards.md`, whose table is held to this one.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class How(StrEnum):
    """How an expectation runs: on every row, on a window beside the stream, or not at all."""

    ROW = "row"
    WINDOW = "window"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Answer:
    """How an expectation runs, and what can be written instead where it does not judge rows."""

    how: How
    instead: str = ""


_ROW: Final = Answer(How.ROW)
_MANY: Final = "It is about many rows together; no rule on a row says the same."
_ORDER: Final = "It is about the order in which rows came, which a stream with several partitions does not have."
_PAST: Final = "It needs the person's rows before this one; by row: a range."
_SCHEMA: Final = "Remove it: the event's schema holds its columns and their types (biokeel schema show EVENT)."
_PYTHON: Final = "Values are read by Python one at a time; a form in the schema or a regular expression says it by row."
_SQL: Final = "It is a query of SQL. Write the rule with expectations on columns, and a row_condition."
_REGEX: Final = "Great Expectations runs it on SQL only. Use expect_column_values_to_{}match_regex{}."


def _window(instead: str = _MANY) -> Answer:
    return Answer(How.WINDOW, instead)


def _refused(instead: str) -> Answer:
    return Answer(How.REFUSED, instead)


ANSWERS: Final[dict[str, Answer]] = {
    "expect_column_distinct_values_to_be_in_set": _window("By row: expect_column_values_to_be_in_set."),
    "expect_column_distinct_values_to_contain_set": _window(),
    "expect_column_distinct_values_to_equal_set": _window("By row, one half: expect_column_values_to_be_in_set."),
    "expect_column_kl_divergence_to_be_less_than": _window(),
    "expect_column_max_to_be_between": _window("By row: expect_column_values_to_be_between with its max_value."),
    "expect_column_mean_to_be_between": _window(),
    "expect_column_median_to_be_between": _window(),
    "expect_column_min_to_be_between": _window("By row: expect_column_values_to_be_between with its min_value."),
    "expect_column_most_common_value_to_be_in_set": _window(),
    "expect_column_pair_values_a_to_be_greater_than_b": _ROW,
    "expect_column_pair_values_to_be_equal": _ROW,
    "expect_column_pair_values_to_be_in_set": _ROW,
    "expect_column_proportion_of_non_null_values_to_be_between": _window(
        "By row: expect_column_values_to_not_be_null with severity warning."
    ),
    "expect_column_proportion_of_unique_values_to_be_between": _window(),
    "expect_column_quantile_values_to_be_between": _window(),
    "expect_column_stdev_to_be_between": _window(),
    "expect_column_sum_to_be_between": _window(),
    "expect_column_to_exist": _refused(_SCHEMA),
    "expect_column_type_to_be": _refused(_SCHEMA),
    "expect_column_unique_value_count_to_be_between": _window(),
    "expect_column_value_lengths_to_be_between": _ROW,
    "expect_column_value_lengths_to_equal": _ROW,
    "expect_column_value_z_scores_to_be_less_than": _window("By row: expect_column_values_to_be_between."),
    "expect_column_values_to_be_between": _ROW,
    "expect_column_values_to_be_dateutil_parseable": _window(_PYTHON),
    "expect_column_values_to_be_decreasing": _window(_ORDER),
    "expect_column_values_to_be_in_set": _ROW,
    "expect_column_values_to_be_in_type_list": _refused(_SCHEMA),
    "expect_column_values_to_be_increasing": _window(_ORDER),
    "expect_column_values_to_be_json_parseable": _window(_PYTHON),
    "expect_column_values_to_be_null": _ROW,
    "expect_column_values_to_be_of_type": _refused(_SCHEMA),
    "expect_column_values_to_be_unique": _window(),
    "expect_column_values_to_match_json_schema": _window(_PYTHON),
    "expect_column_values_to_match_like_pattern": _refused(_REGEX.format("", "")),
    "expect_column_values_to_match_like_pattern_list": _refused(_REGEX.format("", "_list")),
    "expect_column_values_to_match_regex": _ROW,
    "expect_column_values_to_match_regex_list": _ROW,
    "expect_column_values_to_match_strftime_format": _window(_PYTHON),
    "expect_column_values_to_not_be_in_set": _ROW,
    "expect_column_values_to_not_be_null": _ROW,
    "expect_column_values_to_not_be_outliers": _window("By row: expect_column_values_to_be_between."),
    "expect_column_values_to_not_match_like_pattern": _refused(_REGEX.format("not_", "")),
    "expect_column_values_to_not_match_like_pattern_list": _refused(_REGEX.format("not_", "_list")),
    "expect_column_values_to_not_match_regex": _ROW,
    "expect_column_values_to_not_match_regex_list": _ROW,
    "expect_compound_columns_to_be_unique": _window(),
    "expect_multicolumn_sum_to_equal": _ROW,
    "expect_multicolumn_values_to_be_equal": _ROW,
    "expect_query_results_to_match_comparison": _refused(_SQL),
    "expect_select_column_values_to_be_unique_within_record": _ROW,
    "expect_table_column_count_to_be_between": _refused(_SCHEMA),
    "expect_table_column_count_to_equal": _refused(_SCHEMA),
    "expect_table_columns_to_match_ordered_list": _refused(_SCHEMA),
    "expect_table_columns_to_match_set": _refused(_SCHEMA),
    "expect_table_row_count_to_be_between": _window(),
    "expect_table_row_count_to_equal": _window(),
    "expect_table_row_count_to_equal_other_table": _refused("A window has no other table. Remove it."),
    "unexpected_rows_expectation": _refused(_SQL),
}
"""By Great Expectations' name of the type."""

OURS: Final[dict[str, Answer]] = {
    "expect_column_pair_recorded_sex_to_match_genetic_sex": _ROW,
    "expect_column_pair_unit_to_suit_code": _ROW,
    "expect_multicolumn_change_from_last_value_to_be_at_most": _window(_PAST),
    "expect_multicolumn_key_to_have_one_owner": _window(),
    "expect_multicolumn_time_to_not_precede_birth": _ROW,
    "expect_multicolumn_time_to_not_precede_enrolment": _ROW,
}
"""What Great Expectations has no word for: ours, registered with it by `biokeel.validate.registered`."""

EVERY: Final = ANSWERS | OURS
"""Whatever may stand in a suite."""
