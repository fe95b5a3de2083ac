"""Declared features as feature code: their columns, made of rows by the same lines in training and in serving.

The bundle's features.py holds the files that the features stand in, as texts, and names which are used; `assemble` runs
each as a module of its own and returns the function over a frame that everything else calls.
"""

from __future__ import annotations

import ast
import linecache
import operator
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from types import ModuleType
from typing import TYPE_CHECKING, Any

from mainstay.core.contracts import FieldType
from mainstay.core.errors import ModelOutputInvalid, ProjectFileError
from mainstay.core.features import COLLECTED, Feature, Over

if TYPE_CHECKING:
    import polars as pl

NAME = "features"
"""Of the function in the text that `written` returns."""
_TEXT = '''"""The features {names}: written by Mainstay, with the files that they stand in."""

from mainstay.models import featured

SOURCES = {{
{sources}}}
features = featured.assemble(SOURCES, uses={uses!r}, beside={beside!r}, where=__file__)
'''


def written(sources: Mapping[str, str], *, uses: Sequence[str], beside: Sequence[str] | None) -> str:
    """Return the text of a features.py that stands alone; `sources` are the texts of files by the name to show."""
    parts = []
    for name, text in sorted(sources.items()):
        lines = "".join(f"        {line!r}\n" for line in text.splitlines(keepends=True)) or "        ''\n"
        parts.append(f"    {name!r}: (\n{lines}    ),\n")
    kept = None if beside is None else tuple(beside)
    return _TEXT.format(names=", ".join(uses), sources="".join(parts), uses=tuple(uses), beside=kept)


def sources_of(text: str) -> dict[str, str]:
    """Return the files that a text from `written` holds; none for feature code that somebody wrote."""
    found = _assigned(text, "SOURCES")
    return dict(ast.literal_eval(found)) if isinstance(found, ast.Dict) else {}


def uses_of(text: str) -> list[str]:
    """Return the names of the features that a text from `written` uses, in order; none for code that somebody wrote."""
    found = _assigned(text, NAME)
    given = {one.arg: one.value for one in found.keywords} if isinstance(found, ast.Call) else {}
    return list(ast.literal_eval(given["uses"])) if "uses" in given and sources_of(text) else []


def _assigned(text: str, name: str) -> ast.expr | None:
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return None
    for node in tree.body:
        if isinstance(node, ast.Assign) and [getattr(target, "id", "") for target in node.targets] == [name]:
            return node.value
    return None


def assemble(
    sources: Mapping[str, str], *, uses: Sequence[str], beside: Sequence[str] | None, where: str = ""
) -> Callable[[pl.DataFrame], pl.DataFrame]:
    """Run the files and return the function that adds the columns of the features `uses` to a frame, in that order.

    `beside`: the fields that are passed on; None: all. `where` is the name of the file that holds the sources. Raises
    ProjectFileError where a name is declared twice or not at all.
    """
    found = declared(sources, where=where)
    absent = [name for name in uses if name not in found]
    if absent:
        raise ProjectFileError(f"no feature is named {', '.join(absent)}; there are {sorted(found)}")
    chosen = [found[name][0] for name in uses]

    def features(frame: pl.DataFrame) -> pl.DataFrame:
        made = [column(feature, frame) for feature in chosen]
        return (frame if beside is None else frame.select(beside)).with_columns(made)

    return features


def declared(sources: Mapping[str, str], *, where: str = "") -> dict[str, tuple[Feature, str]]:
    """Return the features that files declare, by name, each with the file it stands in; the files are run.

    Raises ProjectFileError for two of one name, with both places.
    """
    found: dict[str, tuple[Feature, str]] = {}
    folder = where.rpartition("/")[0] if where.startswith("<") else ""
    for number, (name, text) in enumerate(sorted(sources.items())):
        for feature in _run(text, f"mainstay_features_{number}", f"{folder}/{name}" if folder else name):
            if feature.name in found:
                other, file = found[feature.name]
                raise ProjectFileError(
                    f"the feature {feature.name!r} is defined twice: {file}:{other.line} and {name}:{feature.line}",
                    remedy="Give one of them another name (name=…), or remove it.",
                )
            found[feature.name] = (feature, name)
    return found


def column(feature: Feature, frame: pl.DataFrame) -> pl.Series:
    """Return the column that a feature makes of a frame.

    Raises ModelOutputInvalid, with feature, row and value, for a value that is not of its type.
    """
    import polars as pl

    cells = [frame.get_column(name) for name in feature.inputs]
    if feature.over is Over.COLUMNS:
        return _checked(feature, feature.function(*cells), frame.height)
    values = [feature.function(*row) for row in zip(*(one.to_list() for one in cells), strict=True)]
    read = _READ[feature.type]
    out = []
    for number, value in enumerate(values):
        try:
            out.append(None if value is None and feature.type in _MAY_MISS else read(value))
        except (TypeError, ValueError) as error:
            raise _wrong(feature, f"{value!r} for row {number}") from error
    return pl.Series(feature.name, out, dtype=dtype_of(feature.type))


def dtype_of(kind: FieldType) -> pl.DataType:
    """Return the type of the column of a feature; it never depends on the rows."""
    import polars as pl

    found = {
        FieldType.NUMBER: pl.Float64(),
        FieldType.INTEGER: pl.Int64(),
        FieldType.BOOLEAN: pl.Boolean(),
        FieldType.TIMESTAMP: pl.Datetime("us", "UTC"),
    }
    return found.get(kind, pl.String())


def _checked(feature: Feature, made: Any, rows: int) -> pl.Series:
    import polars as pl

    if not isinstance(made, pl.Series) or len(made) != rows:
        seen = f"{len(made)} values for {rows} rows" if isinstance(made, pl.Series) else f"a {type(made).__name__}"
        raise _wrong(feature, seen)
    try:
        column = made.cast(dtype_of(feature.type)).alias(feature.name)
    except pl.exceptions.PolarsError as error:
        raise _wrong(feature, f"a column of {made.dtype}") from error
    if feature.type not in _MAY_MISS and column.null_count():
        raise _wrong(feature, f"None for row {int(column.is_null().arg_max() or 0)}")
    return column


def _number(value: Any) -> float:
    if isinstance(value, bool | str):
        raise TypeError(value)
    return float(value)


def _boolean(value: Any) -> bool:
    if str(value) not in ("True", "False"):  # NumPy's too
        raise TypeError(value)
    return bool(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _moment(value: Any) -> datetime:
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise TypeError(value)
    return value


_READ: Mapping[FieldType, Callable[[Any], Any]] = {
    FieldType.NUMBER: _number,
    FieldType.INTEGER: operator.index,
    FieldType.BOOLEAN: _boolean,
    FieldType.TEXT: _text,
    FieldType.CATEGORY: _text,
    FieldType.TIMESTAMP: _moment,
}
_MAY_MISS = frozenset(_READ) - {FieldType.INTEGER, FieldType.BOOLEAN}
_EXPECTED = {
    FieldType.INTEGER: "an integer (a number may be missing: dtype number)",
    FieldType.BOOLEAN: "True or False",
    FieldType.TIMESTAMP: "a datetime with a time zone",
}


def _wrong(feature: Feature, seen: str) -> ModelOutputInvalid:
    expected = _EXPECTED.get(feature.type, f"a {feature.type.value}")
    return ModelOutputInvalid(
        f"the feature {feature.name} gave {seen}; {expected} is expected",
        remedy="Correct the function, or declare the dtype that it gives.",
    )


def _run(text: str, name: str, shown: str) -> list[Feature]:
    """Run a file and return what it declares, in order."""
    module = ModuleType(name)
    module.__file__ = shown
    linecache.cache[shown] = (len(text), None, text.splitlines(keepends=True), shown)
    collected: list[Feature] = []
    token = COLLECTED.set(collected)
    try:
        exec(compile(text, shown, "exec", dont_inherit=True), module.__dict__)  # noqa: S102 - the project's own code
    finally:
        COLLECTED.reset(token)
    return [one for one in collected if one.function.__module__ == name]  # not those of a package that it imports
