"""`row_condition`: which rows an expectation is about, in every form that Great Expectations 1.x writes.

- condition objects (`{"type": "comparison", ...}`, `nullity`, `and`, `or`, `pass_through`), what GX 1.x saves;
- `condition_parser` `great_expectations`: `col("x") > 5`, `col("x").notNull()`;
- `condition_parser` `pandas`: what `DataFrame.query` takes, of which comparisons (also chained, with the value first,
  or of two columns), `in`, `and`, `or`, `not`, `.isnull()`, `.notnull()` and `.isin([...])` are compiled, and the rest
  is refused. It is read as pandas reads it: `&` and `|` are `and` and `or`, with their precedence.

Missing values are pandas': a comparison with one is false, except `!=` and `not in`, which are true.
"""

from __future__ import annotations

import ast
import io
import operator
import re
import tokenize
from collections.abc import Callable, Mapping
from typing import Any, Final

import polars as pl

from biokeel.errors import SuiteError
from biokeel.validate.columns import Columns, Kind, kind_of
from biokeel.validate.values import column_of, every, is_one_of, matches_kind, shown, some

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
      |(?P<op>==|!=|<=|>=|<|>)\s*
       (?:(?P<number>[+-]?[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?)
         |(?P<quote>["'])[ ]*(?P<text>[0-9A-Za-zÀ-ÖØ-öø-ÿ!#$%&()*+,\-./:;<=>?@\[\\\]^_`{|}~\ \t]+)(?P=quote)))\s*""",
    re.VERBOSE | re.IGNORECASE,
)
"""`great_expectations.expectations.legacy_row_conditions`, which takes no letters beyond Latin-1 in a text."""
_FLIPPED: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
_LIKE_PANDAS: Final = {"&": (tokenize.NAME, "and"), "|": (tokenize.NAME, "or")}
_PARSERS: Final = ("pandas", "great_expectations")
_KEYS: Final = {
    "comparison": {"type", "column", "operator", "parameter"},
    "nullity": {"type", "column", "is_null"},
    "pass_through": {"type", "pass_through_filter"},
    "and": {"type", "conditions"},
    "or": {"type", "conditions"},
}
_LONGEST: Final = 2_000
"""Characters of a condition that is a text."""
_DEEPEST: Final = 20
_MOST_CONDITIONS: Final = 100
"""GX's own limit (`great_expectations.expectations.row_conditions.MAX_CONDITIONS`)."""


def compile_condition(condition: Any, parser: Any, columns: Columns) -> tuple[pl.Expr, frozenset[str]]:
    """The rows that `condition` selects (Boolean, never null) and the columns it reads.

    Raises `SuiteError` for what GX would refuse, and for what is not compiled.
    """
    used: set[str] = set()
    if isinstance(condition, Mapping):
        return _node(condition, columns, used), frozenset(used)
    if not isinstance(condition, str):
        raise SuiteError(
            "row_condition is neither a condition object nor a text.", 'Write {"type": "comparison", ...}.'
        )
    if len(condition) > _LONGEST:
        raise SuiteError(
            f"row_condition has {len(condition):,} characters, more than {_LONGEST:,}.", "Write two rules."
        )
    if parser == "pandas":
        return _query(condition, columns, used), frozenset(used)
    if parser in ("great_expectations", "great_expectations__experimental__"):
        return _legacy(condition, columns, used), frozenset(used)
    there = " or ".join(f'"condition_parser": "{each}"' for each in _PARSERS)
    if parser is None:
        raise SuiteError("row_condition is a text, and condition_parser is missing.", f"Write {there} beside it.")
    raise SuiteError("condition_parser is not known here.", f"Write {there}.")


def _node(node: Any, columns: Columns, used: set[str], depth: str = "") -> pl.Expr:
    kind = node.get("type") if isinstance(node, Mapping) else None
    if not isinstance(kind, str) or kind not in _KEYS:
        raise SuiteError("row_condition has a type that is not known.", "Use comparison, nullity, and, or.")
    if unknown := sorted(node.keys() - _KEYS[kind]):
        raise SuiteError(f"row_condition: {kind} takes no {shown(unknown)}.", f"It takes {shown(sorted(_KEYS[kind]))}.")
    if kind == "comparison":
        return _compare(_name(node), node.get("operator"), node.get("parameter"), columns, used)
    if kind == "nullity":
        if not isinstance(node.get("is_null"), bool):
            raise SuiteError("row_condition: is_null must be true or false.")
        return _nullity(_name(node), is_null=node["is_null"], columns=columns, used=used)
    if kind == "pass_through":
        text = node.get("pass_through_filter")
        if depth or not isinstance(text, str) or len(text) > _LONGEST:
            raise SuiteError(f"row_condition: pass_through stands alone, with a text of up to {_LONGEST:,} characters.")
        return _query(text, columns, used)
    parts = node.get("conditions")
    if not isinstance(parts, list) or not 0 < len(parts) <= _MOST_CONDITIONS:
        raise SuiteError(f"row_condition: {kind} needs a list of 1 to {_MOST_CONDITIONS} conditions.")
    if kind == "or" and depth:
        raise SuiteError("row_condition: Great Expectations takes no or inside and, nor or inside or.", "Split it.")
    compiled = [_node(part, columns, used, kind) for part in parts]
    return every(compiled) if kind == "and" else some(compiled)


def _name(node: Mapping[str, Any]) -> str:
    column = node.get("column")
    if not isinstance(column, Mapping) or not isinstance(column.get("name"), str):
        raise SuiteError("row_condition lacks its column.", 'Write "column": {"name": "..."}.')
    return str(column["name"])


def _nullity(name: str, *, is_null: bool, columns: Columns, used: set[str]) -> pl.Expr:
    column = column_of(name, columns, used)
    return column.is_null() if is_null else column.is_not_null()


def _compare(name: str, sign: Any, value: Any, columns: Columns, used: set[str]) -> pl.Expr:
    column = column_of(name, columns, used)
    kind = kind_of(columns.types[name])
    if kind not in {Kind.NUMBER, Kind.TEXT, Kind.TRUTH}:
        raise SuiteError(
            f"row_condition compares {name}, which is a {kind}; only numbers, texts and truth values are compiled.",
            "Use a derived column, for example age_years.",
        )
    if sign in ("IN", "NOT_IN"):
        inside = is_one_of(name, value, columns).fill_null(False)
        return inside if sign == "IN" else ~inside
    if not isinstance(sign, str) or sign not in _OPERATORS:
        raise SuiteError("row_condition has an operator that is not known.", "Use == != < <= > >= IN NOT_IN.")
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
    value: Any = match["text"]
    if match["number"]:
        value = float(match["number"]) if set(match["number"]) & set(".eE") else int(match["number"])
    return _compare(match["column"], match["op"], value, columns, used)


def _query(text: str, columns: Columns, used: set[str]) -> pl.Expr:
    malformed = SuiteError(
        "row_condition is malformed.", "Write it like: value > 5 and status in ['final', 'amended']."
    )
    try:
        tree = ast.parse(_as_pandas_reads(text), mode="eval").body
    except SyntaxError as error:
        raise SuiteError(f"row_condition is malformed at character {error.offset}.", malformed.todo) from None
    except (tokenize.TokenError, ValueError, RecursionError, MemoryError):  # ast: a text nested too deeply
        raise malformed from None
    return _query_node(tree, columns, used)


def _as_pandas_reads(text: str) -> str:
    """Python that means what pandas reads in `text` (`pandas.core.computation.expr._preparse`).

    Raises `SuiteError` for what pandas has beyond Python, and `TokenError` or `SyntaxError` for no Python.
    """
    if len([line for line in text.splitlines() if line.strip()]) != 1:
        raise SuiteError("row_condition has several lines, or none.", "Write it on one line.")
    tokens = []
    for kind, value, *_ in tokenize.generate_tokens(io.StringIO(text.strip()).readline):
        if kind == tokenize.ERRORTOKEN or (kind == tokenize.OP and value == "@"):
            raise SuiteError(f"row_condition has a {value!r}, which is not compiled.", "Write column names plainly.")
        tokens.append(_LIKE_PANDAS.get(value, (kind, value)) if kind == tokenize.OP else (kind, value))
    return str(tokenize.untokenize(tokens)).strip()


def _query_node(node: ast.expr, columns: Columns, used: set[str], depth: int = 0) -> pl.Expr:
    if depth > _DEEPEST:
        raise SuiteError(f"row_condition is nested more than {_DEEPEST} deep.", "Write it more plainly.")
    match node:
        case ast.BoolOp(op=op, values=values):
            parts = [_query_node(each, columns, used, depth + 1) for each in values]
            return every(parts) if isinstance(op, ast.And) else some(parts)
        case ast.UnaryOp(op=ast.Not() | ast.Invert(), operand=operand):
            return ~_query_node(operand, columns, used, depth + 1)
        case ast.Call(
            func=ast.Attribute(value=ast.Name(id=name), attr="isnull" | "notnull" | "isna" | "notna" as test),
            args=[],
            keywords=[],
        ):
            return _nullity(name, is_null=test in {"isnull", "isna"}, columns=columns, used=used)
        case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="isin"), args=[right], keywords=[]):
            return _compare(name, "IN", _literal(right), columns, used)
        case ast.Compare(left=left, ops=signs, comparators=others):
            sides = [left, *others]
            parts = [
                _query_comparison(sides[at], _AST.get(type(sign), ""), sides[at + 1], columns, used)
                for at, sign in enumerate(signs)
            ]
            return every(parts)
    raise SuiteError(
        "row_condition has a part of pandas' query language that is not compiled.",
        "Compare a column with a value; join with and, or, not, in brackets; or write a condition object.",
    )


def _query_comparison(left: ast.expr, sign: str, right: ast.expr, columns: Columns, used: set[str]) -> pl.Expr:
    match left, right:
        case ast.Name(id=first), ast.Name(id=second):
            return _compare_columns(first, sign, second, columns, used)
        case ast.Name(id=name), _:
            value = _literal(right)
            if isinstance(value, list) and sign in ("==", "!="):  # pandas: one of them, none of them
                sign = "IN" if sign == "==" else "NOT_IN"
            return _compare(name, sign, value, columns, used)
        case _, ast.Name(id=name) if sign in _FLIPPED and not isinstance(left, ast.List):
            return _compare(name, _FLIPPED[sign], _literal(left), columns, used)
    raise SuiteError("row_condition compares something that is no column.", "Compare a column with a value.")


def _compare_columns(first: str, sign: str, second: str, columns: Columns, used: set[str]) -> pl.Expr:
    left, right = column_of(first, columns, used), column_of(second, columns, used)
    kinds = {kind_of(columns.types[name]) for name in (first, second)}
    if len(kinds) != 1 or not kinds <= {Kind.NUMBER, Kind.TEXT, Kind.TIME} or sign not in _OPERATORS:
        raise SuiteError(
            f"row_condition compares {first} with {second} in a way that is not compiled.",
            "Use == != < <= > >= on two numbers, two texts or two times.",
        )
    compared: pl.Expr = _OPERATORS[sign](left, right)
    return compared.fill_null(sign == "!=")


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        raise SuiteError(
            "row_condition compares a column with something that is no plain value.", "Write a number, text or list."
        ) from None
