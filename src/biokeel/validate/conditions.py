"""`row_condition`: which rows an expectation is about, in every form that Great Expectations 1.x writes.

- condition objects (`{"type": "comparison", ...}`, `nullity`, `and`, `or`, `pass_through`), what GX 1.x saves;
- `condition_parser` `great_expectations`: `col("x") > 5`, `col("x").notNull()`;
- `condition_parser` `pandas`: what `DataFrame.query` takes, of which comparisons, `in`, `and`, `or`, `not`, `.isnull()`
  and `.notnull()` are compiled, and everything else is refused.

Missing values are pandas': a comparison with one is false, except `!=` and `not in`, which are true.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import polars as pl

from biokeel.errors import SuiteError
from biokeel.validate.columns import Columns, Kind, kind_of
from biokeel.validate.values import column_of, every, is_one_of, matches_kind, some

_OPERATORS: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_AST: Final[dict[type[ast.cmpop], str]] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.In: "IN",
    ast.NotIn: "NOT_IN",
}
_LEGACY: Final = re.compile(
    r"""\s*col\("(?P<column>[^"]+)"\)\s*
    (?:(?P<notnull>\.notnull\(\))
      |(?P<op>==|!=|<=|>=|<|>)\s*(?:(?P<number>[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)|"(?P<double>[^"']+)"|'(?P<single>[^"']+)'))\s*""",
    re.VERBOSE | re.IGNORECASE,
)
_MOST_CONDITIONS: Final = 100
"""GX's own limit (`great_expectations.expectations.row_conditions.MAX_CONDITIONS`)."""


def compile_condition(condition: Any, parser: str | None, columns: Columns) -> tuple[pl.Expr, frozenset[str]]:
    """The rows that `condition` selects (Boolean, never null) and the columns it reads.

    Raises `SuiteError` for what GX would refuse, and for what is not compiled.
    """
    used: set[str] = set()
    if isinstance(condition, Mapping):
        return _node(condition, columns, used), frozenset(used)
    if isinstance(condition, str) and parser in {"great_expectations", "great_expectations__experimental__"}:
        return _legacy(condition, columns, used), frozenset(used)
    if isinstance(condition, str) and parser == "pandas":
        return _query(condition, columns, used), frozenset(used)
    raise SuiteError(
        "row_condition has no form that Great Expectations knows.",
        'Write a condition object, or a text with condition_parser "pandas" or "great_expectations".',
    )


def _node(node: Any, columns: Columns, used: set[str], depth: str = "") -> pl.Expr:
    kind = node.get("type") if isinstance(node, Mapping) else None
    if kind == "comparison":
        return _compare(_name(node), str(node.get("operator")), node.get("parameter"), columns, used)
    if kind == "nullity":
        return _nullity(_name(node), is_null=bool(node.get("is_null")), columns=columns, used=used)
    if kind == "pass_through" and not depth:
        return _query(str(node.get("pass_through_filter", "")), columns, used)
    if kind in {"and", "or"}:
        parts = node.get("conditions")
        if not isinstance(parts, list) or not 0 < len(parts) <= _MOST_CONDITIONS:
            raise SuiteError(f"row_condition: {kind} needs a list of 1 to {_MOST_CONDITIONS} conditions.")
        if kind == "or" and depth:
            raise SuiteError("row_condition: Great Expectations takes no or inside and, nor or inside or.", "Split it.")
        compiled = [_node(part, columns, used, kind) for part in parts]
        return every(compiled) if kind == "and" else some(compiled)
    raise SuiteError(f"row_condition of type {kind!r} is not known.", "Use comparison, nullity, and, or.")


def _name(node: Mapping[str, Any]) -> str:
    column = node.get("column")
    if not isinstance(column, Mapping) or not isinstance(column.get("name"), str):
        raise SuiteError("row_condition lacks its column.", 'Write "column": {"name": "..."}.')
    return str(column["name"])


def _nullity(name: str, *, is_null: bool, columns: Columns, used: set[str]) -> pl.Expr:
    column = column_of(name, columns, used)
    return column.is_null() if is_null else column.is_not_null()


def _compare(name: str, sign: str, value: Any, columns: Columns, used: set[str]) -> pl.Expr:
    column = column_of(name, columns, used)
    kind = kind_of(columns.types[name])
    if kind not in {Kind.NUMBER, Kind.TEXT, Kind.TRUTH}:
        raise SuiteError(
            f"row_condition compares {name}, which is a {kind}; only numbers, texts and truth values are compiled.",
            "Use a derived column, for example age_years.",
        )
    if sign in {"IN", "NOT_IN"}:
        inside = is_one_of(name, value, columns).fill_null(False)
        return inside if sign == "IN" else ~inside
    if sign not in _OPERATORS:
        raise SuiteError(f"row_condition: the operator {sign!r} is not known.", "Use == != < <= > >= IN NOT_IN.")
    if not matches_kind(value, kind):
        raise SuiteError(f"row_condition compares {name}, a {kind}, with something else.", f"Write a {kind}.")
    if kind is Kind.TRUTH and sign not in {"==", "!="}:
        raise SuiteError(f"row_condition: {name} is a truth value, which has no order.", "Use == or !=.")
    compared: pl.Expr = _OPERATORS[sign](column, value)
    return compared.fill_null(sign == "!=")


def _legacy(text: str, columns: Columns, used: set[str]) -> pl.Expr:
    match = _LEGACY.fullmatch(text)
    if match is None:
        raise SuiteError(
            "row_condition is not in the language of Great Expectations.",
            'Write col("name") > 5, col("name") == "text" or col("name").notNull(); or a condition object.',
        )
    if match["notnull"]:
        return _nullity(match["column"], is_null=False, columns=columns, used=used)
    value: Any = match["double"] or match["single"]
    if match["number"]:
        value = float(match["number"]) if set(match["number"]) & set(".eE") else int(match["number"])
    return _compare(match["column"], match["op"], value, columns, used)


def _query(text: str, columns: Columns, used: set[str]) -> pl.Expr:
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        raise SuiteError(f"row_condition is malformed at character {error.offset}.") from None
    return _query_node(tree, columns, used)


def _query_node(node: ast.expr, columns: Columns, used: set[str]) -> pl.Expr:
    match node:
        case ast.BoolOp(op=op, values=values):
            parts = [_query_node(each, columns, used) for each in values]
            return every(parts) if isinstance(op, ast.And) else some(parts)
        case ast.BinOp(left=left, op=ast.BitAnd() | ast.BitOr() as op, right=right):
            parts = [_query_node(left, columns, used), _query_node(right, columns, used)]
            return every(parts) if isinstance(op, ast.BitAnd) else some(parts)
        case ast.UnaryOp(op=ast.Not() | ast.Invert(), operand=operand):
            return ~_query_node(operand, columns, used)
        case ast.Call(
            func=ast.Attribute(value=ast.Name(id=name), attr="isnull" | "notnull" | "isna" | "notna" as test),
            args=[],
            keywords=[],
        ):
            return _nullity(name, is_null=test in {"isnull", "isna"}, columns=columns, used=used)
        case ast.Compare(left=ast.Name(id=name), ops=[op], comparators=[right]):
            return _compare(name, _AST.get(type(op), type(op).__name__), _literal(right), columns, used)
    raise SuiteError(
        "row_condition has a part of pandas' query language that is not compiled.",
        "Compare a column with a value; join with and, or, not, in brackets; or write a condition object.",
    )


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        raise SuiteError(
            "row_condition compares a column with something that is no plain value.", "Write a number, text or list."
        ) from None
