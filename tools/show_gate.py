"""Show what the gate does, each part with the command that gives it: `make show-gate` or `python tools/show_gate.py`.

Projects are copied to build/show-gate/ and trained there: the support desk with its two pipelines, and where
`--data FOLDER` (else ../shared/data) holds them, Adult and Banking77. `--part NAME` shows one part alone; `--write`
puts the stress pictures into docs/images.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
HOME = ROOT / "build" / "show-gate"
ADULT = """
mainstay = 1
[project]
name = "adult"
task = "binary"
seed = 7
[data]
train = "data.parquet"
test = {{ share = 0.2, by = "row" }}
{fields}
[target]
field = "class"
classes = ["<=50K", ">50K"]
[audit]
favourable = ">50K"
[train]
pipeline = "logistic"
[train.pipelines]
logistic = {{ build = "model:build" }}
[gate]
floors = {{ accuracy = 0.8 }}
fairness = {{ true_positive_difference = 0.15 }}
worst_slice = {{ not_worse_by = 0.1 }}
"""
ADULT_MODEL = """
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

TEXTS = {texts}
NUMBERS = {numbers}


def build(params):
    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), TEXTS), (StandardScaler(), NUMBERS)
    )
    return make_pipeline(columns, LogisticRegression(max_iter=1000))
"""
TEXTS = ["workclass", "education", "marital-status", "occupation", "relationship"]
NUMBERS = ["age", "capital-gain", "capital-loss", "hours-per-week"]
PROTECTED = ["sex"]


def main() -> int:
    """Show the parts that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--part", choices=[*PARTS], action="append")
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    HOME.mkdir(parents=True, exist_ok=True)
    for name in given.part or PARTS:
        print(f"\n# {name}", flush=True)
        PARTS[name](given)
    return 0


def self_test_desk(_given: argparse.Namespace) -> None:
    """Tell what the gate says to each known-bad candidate of the support desk."""
    project = desk()
    run(project, "gate", "--self-test")


def self_test_adult(given: argparse.Namespace) -> None:
    """Tell the same of Adult."""
    if (project := adult(given.data)) is not None:
        run(project, "gate", "--self-test")


def audit_adult(given: argparse.Namespace) -> None:
    """Tell how the protected groups of Adult fare."""
    if (project := adult(given.data)) is None:
        return
    for check in asked(project, "gate")["checks"]:
        if check["name"] in ("fairness", "proxies"):
            print(f"{check['name']} ({check['verdict']}): {check['reason']}")


def stress(given: argparse.Namespace) -> None:
    """Draw what the two pipelines of the support desk keep under stress."""
    project = desk()
    for number, pipeline in ((1, "words"), (2, "robust")):
        kept = asked(project, "gate", str(number))["checks"]
        found = next(check for check in kept if check["name"] == "stress")["numbers"]["kept"]
        print(pipeline, ", ".join(f"{kind} {share:.3f}" for kind, share in found.items() if share is not None))
        digest = next(one for one in plots(project) if one.parent.name == short(project, number))
        print(f"  picture: {digest}")
        if given.write:
            shutil.copy(digest, ROOT / "docs" / "images" / f"stress-{pipeline}.png")


def scorecards(given: argparse.Namespace) -> None:
    """Score both examples by evidence."""
    for project in (desk(), adult(given.data)):
        if project is not None:
            card = asked(project, "scorecard")
            print(f"{card['version']}: {card['final']:g} of 7, {card['sections']}: {card['reading']}")


def reproduced(_given: argparse.Namespace) -> None:
    """Train the support desk's first version again."""
    run(desk(), "reproduce", "1")


def banking77(given: argparse.Namespace) -> None:
    """Time a training and a gate on Banking77, with their largest memory."""
    data = given.data / "banking77"
    if not (data / "train.csv").is_file():
        print(f"needs Banking77 in {data}")
        return
    project = HOME / "banking77"
    if not (project / ".mainstay").exists():
        sys.path.insert(0, str(ROOT / "examples" / "banking77"))
        from run import write_project  # type: ignore[import-not-found]

        shutil.rmtree(project, ignore_errors=True)
        write_project(data, given.data / "noise", project)
    for command in (("train", "--no-release"), ("gate", "--again")):
        wall, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        asked(project, *command)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        print(
            f"mainstay {' '.join(command)}: {time.perf_counter() - wall:.1f} s, {spent:.1f} s of processor time, "
            f"largest process so far {after.ru_maxrss / 1000:.0f} MB"
        )


PARTS = {
    "self-test: support desk": self_test_desk,
    "self-test: Adult": self_test_adult,
    "audit: Adult": audit_adult,
    "stress: the support desk's two pipelines": stress,
    "ML Test Score": scorecards,
    "reproduce": reproduced,
    "time and memory on Banking77": banking77,
}


def desk() -> Path:
    """Return the support desk, its two pipelines trained; the first answers."""
    project = HOME / "support-desk"
    if not (project / ".mainstay").exists():
        shutil.copytree(ROOT / "examples" / "support-desk", project, dirs_exist_ok=True)
        asked(project, "train", "--pipeline", "words")
        asked(project, "train", "--pipeline", "robust")
    return project


def adult(data: Path) -> Path | None:
    """Return a logistic regression on UCI's Adult, without sex among the features; None without the data."""
    import polars as pl

    file, project = data / "adult" / "adults.parquet", HOME / "adult"
    if not file.is_file():
        print(f"needs Adult in {file}")
        return None
    if not (project / ".mainstay").exists():
        project.mkdir(exist_ok=True)
        names = [*TEXTS, *NUMBERS, *PROTECTED, "class"]
        pl.read_parquet(file).tail(32_561).select(pl.col(names)).with_columns(
            pl.col([*TEXTS, *PROTECTED, "class"]).cast(pl.String)
        ).write_parquet(project / "data.parquet")
        fields = [f'[fields.{name}]\ntype = "category"\nrequired = false\n' for name in TEXTS]
        fields += [f'[fields.{name}]\ntype = "integer"\n' for name in NUMBERS]
        fields += [f'[fields.{name}]\ntype = "category"\nrole = "protected"\n' for name in PROTECTED]
        (project / "mainstay.toml").write_text(ADULT.format(fields="\n".join(fields)), encoding="utf-8")
        (project / "model.py").write_text(ADULT_MODEL.format(texts=TEXTS, numbers=NUMBERS), encoding="utf-8")
        asked(project, "train")
    return project


def short(project: Path, number: int) -> str:
    """Return the name of the folder of a version's plots."""
    tables = [table for part in asked(project, "card", str(number))["parts"] for table in part["tables"]]
    rows = [row for table in tables for row in table["rows"]]
    return str(next(row[1] for row in rows if row[0] == "bundle"))[:16]


def plots(project: Path) -> list[Path]:
    """Return the stress pictures of a project."""
    return sorted((project / ".mainstay" / "plots").glob("*/stress.png"))


def run(project: Path, *command: str) -> None:
    """Show what a command prints; a refusal is no failure here."""
    print(f"$ mainstay {' '.join(command)}", flush=True)
    subprocess.run([sys.executable, "-m", "mainstay", *command], cwd=project, check=False)


def asked(project: Path, *command: str) -> Any:
    """Return the document of a command."""
    done = subprocess.run(
        [sys.executable, "-m", "mainstay", *command, "--json"], cwd=project, check=False, capture_output=True, text=True
    )
    if done.returncode not in (0, 4, 5):
        raise SystemExit(f"mainstay {' '.join(command)} ended with {done.returncode}: {done.stderr[-2000:]}")
    return json.loads(done.stdout)


if __name__ == "__main__":
    sys.exit(main())
