"""Record what Great Expectations and dbt write, for tests/unit/delivery/results: `python tools/record_data_tests.py`.

Makes an environment for each (build/data-tests/NAME; they clash with ours and with one another), runs a suite and a
project that pass and that fail over the same rows, and keeps the files as they came, but for paths of this machine.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "tests" / "unit" / "delivery" / "results"
PLACE = ROOT / "build" / "data-tests"
NEEDS = {
    "great_expectations": ["great-expectations==1.24.1"],
    "dbt": ["dbt-core==1.11.16", "dbt-duckdb==1.11.1"],
}
"""dbt 1.12 builds a part of itself from a download; 1.11 writes the same run-results schema, v6."""
ROWS = "id,plan,months\n1,basic,3\n2,plus,14\n3,basic,\n4,plus,700\n"

SUITE = """
import json, pathlib, sys
import great_expectations as gx
import pandas as pd

folder = sys.argv[1]
context = gx.get_context(mode="ephemeral")
source = context.data_sources.add_pandas("rows")
batch = source.add_dataframe_asset("rows").add_batch_definition_whole_dataframe("all")
rows = pd.read_csv(f"{folder}/rows.csv")

def suite(name, *expectations):
    made = context.suites.add(gx.ExpectationSuite(name=name))
    for one in expectations:
        fresh = one.copy()
        fresh.id = None  # one belongs to one suite
        made.add_expectation(fresh)
    return context.validation_definitions.add(gx.ValidationDefinition(name=name, data=batch, suite=made))

ids = gx.expectations.ExpectColumnValuesToBeUnique(column="id")
plans = gx.expectations.ExpectColumnValuesToBeInSet(column="plan", value_set=["basic", "plus"])
months = gx.expectations.ExpectColumnValuesToBeBetween(column="months", min_value=0, max_value=600)
gone = gx.expectations.ExpectColumnValuesToNotBeNull(column="no_such_column")
for name, asked in {"passes": [ids, plans], "fails": [ids, plans, months], "raises": [ids, gone], "empty": []}.items():
    definition = suite(name, *asked)
    result = definition.run(batch_parameters={"dataframe": rows})
    open(f"{folder}/gx_{name}.json", "w").write(json.dumps(result.to_json_dict(), indent=1))

# What a checkpoint leaves in the store of a context on disk, and what it says of itself.
context = gx.get_context(mode="file", project_root_dir=folder)
source = context.data_sources.add_pandas("rows")
batch = source.add_csv_asset("rows", filepath_or_buffer=f"{folder}/rows.csv").add_batch_definition("all")
checkpoint = context.checkpoints.add(
    gx.Checkpoint(name="delivery", validation_definitions=[suite("stored", ids, plans)])
)
done = checkpoint.run()
(kept,) = pathlib.Path(folder).glob("gx/uncommitted/validations/**/*.json")
open(f"{folder}/gx_store.json", "w").write(json.dumps(json.loads(kept.read_text()), indent=1))
open(f"{folder}/gx_describe.json", "w").write(done.describe())
"""

PROJECT = {
    "dbt_project.yml": "name: shop\nversion: '1.0'\nprofile: shop\nseed-paths: [seeds]\nmodel-paths: [models]\n",
    "profiles.yml": "shop:\n  target: dev\n  outputs:\n    dev:\n      type: duckdb\n      path: shop.duckdb\n",
    "models/members.sql": "select * from {{ ref('rows') }}\n",
    "models/broken.sql": "select no_such_column from {{ ref('rows') }}\n",
    "models/tests.yml": """
version: 2
models:
  - name: members
    columns:
      - name: id
        data_tests: [unique, not_null]
      - name: plan
        data_tests:
          - accepted_values: {arguments: {values: [basic, plus]}}
      - name: months
        data_tests:
          - not_null: {config: {severity: warn}}
  - name: broken
    columns:
      - name: id
        data_tests: [not_null]
""",
    "tests/months_are_few.sql": "select * from {{ ref('members') }} where months > 600\n",
}
"""A test that warns, one that fails, and a model that cannot be built, whose test is skipped."""
RUNS = {
    "passes": ["test", "--select", "members,test_name:unique members,test_name:accepted_values"],
    "warns": ["test", "--select", "members,test_type:generic"],
    "fails": ["test", "--select", "members"],
    "skips": ["build", "--select", "broken"],
    "no_tests": ["run", "--select", "members"],
}


def main() -> int:
    """Record all files; return 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.parse_args()
    KEPT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "rows.csv").write_text(ROWS, encoding="utf-8")
        (folder / "suite.py").write_text(SUITE, encoding="utf-8")
        subprocess.run([python_of("great_expectations"), "suite.py", name], cwd=folder, check=True)
        record_dbt(folder)
        for path in sorted(folder.glob("*.json")):
            text = path.read_text(encoding="utf-8").replace(name, "/project")
            for place in (str(PLACE), str(ROOT), str(Path.home())):
                text = text.replace(place, "/somewhere")
            json.loads(text)
            (KEPT / path.name).write_text(text.rstrip() + "\n", encoding="utf-8")
            print(path.name)
    return 0


def record_dbt(folder: Path) -> None:
    """Run the dbt project as often as there are kinds of results."""
    for name, text in PROJECT.items():
        path = folder / "shop" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (folder / "shop" / "seeds").mkdir()
    shutil.copy(folder / "rows.csv", folder / "shop" / "seeds" / "rows.csv")
    dbt = str(Path(python_of("dbt")).with_name("dbt"))
    common = ["--profiles-dir", ".", "--no-send-anonymous-usage-stats"]
    subprocess.run([dbt, "seed", *common], cwd=folder / "shop", check=True, capture_output=True)
    subprocess.run([dbt, "run", "--select", "members", *common], cwd=folder / "shop", check=True, capture_output=True)
    for name, arguments in RUNS.items():
        command, flag, chosen = arguments
        subprocess.run(
            [dbt, command, flag, *chosen.split(), *common], cwd=folder / "shop", check=False, capture_output=True
        )
        shutil.copy(folder / "shop" / "target" / "run_results.json", folder / f"dbt_{name}.json")


def python_of(name: str) -> str:
    """Return the interpreter of an environment with what `name` needs, made where it is not there."""
    folder = PLACE / name
    if not (folder / "bin" / "python").exists():
        venv.create(folder, with_pip=True)
        pip = [sys.executable, "-m", "uv", "pip", "install", "-q", "--python", str(folder / "bin" / "python")]
        subprocess.run([*pip, *NEEDS[name]], check=True)
    return str(folder / "bin" / "python")


if __name__ == "__main__":
    sys.exit(main())
