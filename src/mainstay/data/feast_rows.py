"""Asks a Feast store for the features of rows as of their times; run as a script by the interpreter that has Feast.

Reads one JSON object from stdin (`repo`, `features` or `service`, `on`, `rows`, `out`), needs Feast and
nothing of Mainstay, and leaves a Parquet file with the join keys, `event_timestamp` and the features.
"""

from __future__ import annotations

import json
import sys
from typing import Any


def main(asked: dict[str, Any]) -> None:
    """Retrieve and write."""
    import pyarrow.parquet
    from feast import FeatureStore  # type: ignore[import-not-found]

    store = FeatureStore(repo_path=asked["repo"])
    rows = pyarrow.parquet.read_table(asked["rows"]).to_pandas()
    wanted: Any = store.get_feature_service(asked["service"]) if asked["service"] else list(asked["features"])
    if asked["service"]:
        views = {projection.name for projection in wanted.feature_view_projections}
    else:
        views = {reference.partition(":")[0] for reference in wanted}
    for view in store.list_feature_views():
        for column in view.entity_columns if view.name in views else ():
            if column.name in rows and str(column.dtype).startswith("Int"):
                rows[column.name] = rows[column.name].astype("int64")
    found = store.get_historical_features(entity_df=rows, features=wanted).to_df()
    found.to_parquet(asked["out"], index=False)


if __name__ == "__main__":
    main(json.load(sys.stdin))
