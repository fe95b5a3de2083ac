"""Asks a Feast store for the features of rows as of their times; run as a script by the interpreter that has Feast.

Reads one JSON object from stdin (`repo`, `features` or `service`, `rows`, `out`), needs Feast and nothing of Mainstay,
and leaves a Parquet file with the join keys, `event_timestamp` and the features. Each feature view is asked by itself:
asked together, a row of which one view holds nothing in time would lose what the others hold.
"""

from __future__ import annotations

import json
import sys
from typing import Any


def main(asked: dict[str, Any]) -> None:
    """Retrieve and write."""
    import pyarrow.parquet
    from feast import FeatureStore

    store = FeatureStore(repo_path=asked["repo"])
    rows = pyarrow.parquet.read_table(asked["rows"]).to_pandas()
    keys = list(rows.columns)
    wanted = of_views(store, asked)
    for view in store.list_feature_views():
        for column in view.entity_columns if view.name in wanted else ():
            if column.name in rows and str(column.dtype).startswith("Int"):
                rows[column.name] = rows[column.name].astype("int64")
    made_on_demand = {view.name for view in store.list_on_demand_feature_views()} & set(wanted)
    together = [[one for some in wanted.values() for one in some]] if made_on_demand else list(wanted.values())
    out = rows
    for features in together:
        found = store.get_historical_features(entity_df=rows, features=features).to_df()
        out = out.merge(found.drop_duplicates(keys), on=keys, how="left")
    out.to_parquet(asked["out"], index=False)


def of_views(store: Any, asked: dict[str, Any]) -> dict[str, list[str]]:
    """Return the references `view:feature` that are asked for, by view."""
    if asked["service"]:
        projections = store.get_feature_service(asked["service"]).feature_view_projections
        return {one.name: [f"{one.name}:{feature.name}" for feature in one.features] for one in projections}
    out: dict[str, list[str]] = {}
    for reference in asked["features"]:
        out.setdefault(reference.partition(":")[0], []).append(reference)
    return out


if __name__ == "__main__":
    main(json.load(sys.stdin))
