"""Fields of a row as columns: numbers (filled, centred, scaled) and categories (one-hot, ordinal)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mainstay.models.compiled.parts import Floats, Row

NAN = float("nan")


class NumberBlock:
    """Numeric fields, one column each, through steps that treat every column by itself.

    A missing value is NaN until a step fills it.
    """

    def __init__(self, fields: Sequence[str], steps: Sequence[tuple[str, Floats]]) -> None:
        """Take steps in order: ("fill", values), ("subtract", values), ("divide", values), ("multiply", …), ("add", …).

        Each holds an array of one value for each column. ("indicate", numbers) adds a column for each numbered one: 1
        where that is missing, else 0.
        """
        self.fields = tuple(fields)
        self._steps = tuple((name, np.asarray(values)) for name, values in steps)
        indicated = [int(number) for name, values in self._steps if name == "indicate" for number in values]
        self._names = [*self.fields, *(self.fields[number] for number in indicated)]
        self.width = len(self._names)

    def names(self) -> list[str]:
        """Return the field of each column."""
        return list(self._names)

    def fill(self, rows: Sequence[Row], out: Floats) -> None:
        """Write the columns into `out`."""
        out[:] = self._matrix(rows)

    def scores(self, rows: Sequence[Row], weights: Floats, out: Floats) -> None:
        """Add the columns times `weights` to `out`."""
        out += self._matrix(rows) @ weights

    def _matrix(self, rows: Sequence[Row]) -> Floats:
        names = self.fields
        cells = [NAN if (value := row.get(name)) is None else value for row in rows for name in names]
        matrix = np.array(cells, dtype=np.float64).reshape(len(rows), len(names))
        for step, values in self._steps:
            if step == "indicate":
                matrix = np.concatenate((matrix, np.isnan(matrix[:, values])), axis=1)
            elif step == "fill":
                matrix = np.where(np.isnan(matrix), values, matrix)
            elif step == "subtract":
                matrix -= values
            elif step == "divide":
                matrix /= values
            elif step == "multiply":
                matrix *= values
            else:
                matrix += values
        return matrix


class CodeBlock:
    """Categorical fields, one column each: the number of the category."""

    def __init__(self, fields: Sequence[str], codes: Sequence[Mapping[Any, float]], unknown: float | None) -> None:
        """Take for each field category -> number, None for a missing value, and the number of what is not known.

        Without a number, what is not known is an error.
        """
        self.fields = tuple(fields)
        self.width = len(self.fields)
        self._codes = tuple(codes)
        self._unknown = unknown

    def fill(self, rows: Sequence[Row], out: Floats) -> None:
        """Write the columns into `out`."""
        unknown = self._unknown
        for column, (name, codes) in enumerate(zip(self.fields, self._codes, strict=True)):
            if unknown is None:
                out[:, column] = [codes[row.get(name)] for row in rows]
            else:
                out[:, column] = [codes.get(row.get(name), unknown) for row in rows]

    def scores(self, rows: Sequence[Row], weights: Floats, out: Floats) -> None:
        """Add the columns times `weights` to `out`."""
        matrix = np.zeros((len(rows), self.width))
        self.fill(rows, matrix)
        out += matrix @ weights


class FlagBlock:
    """Categorical fields as one column for each category: 1 in the column of the value, else 0."""

    def __init__(
        self, fields: Sequence[str], places: Sequence[Mapping[Any, int]], width: int, *, refuses_unknown: bool
    ) -> None:
        """Take for each field category -> column, −1 for one that sets none.

        `refuses_unknown`: a category that is not among them is an error; else it sets no column.
        """
        self.fields = tuple(fields)
        self.width = width
        self._places = tuple(places)
        self._refuses_unknown = refuses_unknown

    def names(self) -> list[str]:
        """Return the field of each column."""
        names = [""] * self.width
        for name, places in zip(self.fields, self._places, strict=True):
            for place in places.values():
                if place >= 0:
                    names[place] = name
        return names

    def _found(self, places: Mapping[Any, int], name: str, rows: Sequence[Row]) -> list[int]:
        if self._refuses_unknown:
            return [places[row.get(name)] for row in rows]
        return [places.get(row.get(name), -1) for row in rows]

    def fill(self, rows: Sequence[Row], out: Floats) -> None:
        """Write the flags into `out`."""
        for name, places in zip(self.fields, self._places, strict=True):
            for index, place in enumerate(self._found(places, name, rows)):
                if place >= 0:
                    out[index, place] = 1.0

    def scores(self, rows: Sequence[Row], weights: Floats, out: Floats) -> None:
        """Add the weights of the columns that are set to `out`."""
        for name, places in zip(self.fields, self._places, strict=True):
            found = np.array(self._found(places, name, rows), dtype=np.int64)
            if (found >= 0).all():
                out += weights[found]
            else:  # a value that sets no column
                set_ = np.flatnonzero(found >= 0)
                out[set_] += weights[found[set_]]
