"""Rows of somebody else's database, by a query that is declared."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import create_engine, exc, text

from mainstay.core.errors import EnvironmentFault


def rows(url: str, query: str, after: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of a query, columns by name; `:after` in it is the high-water mark, or empty before the first.

    Raises EnvironmentFault where the database does not answer, or not to this query.
    """
    try:
        engine = create_engine(url)
        try:
            with engine.connect() as connection:
                statement = text(query)
                asked = {"after": after} if ":after" in query else {}
                found = connection.execution_options(stream_results=True).execute(statement, asked)
                for row in found.mappings():
                    yield dict(row)
        finally:
            engine.dispose()
    except (exc.SQLAlchemyError, ImportError) as error:
        why = str(error).splitlines()[0][:200]
        raise EnvironmentFault(f"the source's database did not answer its query: {why}") from error
