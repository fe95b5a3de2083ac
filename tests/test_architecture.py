"""The layers hold: import from lower rows only, never across folders of one row."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "mainstay"

LAYERS: tuple[tuple[str, ...], ...] = (
    ("core",),
    ("stats", "config"),
    ("store", "journal", "models", "notify", "data"),
    ("registry", "comparison", "features"),
    ("profiling",),
    ("delivery",),
    ("train", "serve", "watch", "retrain", "release", "score", "attach"),
    ("parts", "selftest", "beside"),
    ("alerting", "in_server", "artefacts"),
    (
        "candidate",
        "goldenset",
        "catalogue",
        "ingest",
        "labels",
        "status",
        "viewing",
        "container",
        "starter",
        "running",
        "subjects",
        "replay",
        "reproduce",
        "loadtest",
        "retention",
        "backtest",
        "oncall",
        "upkeep",
        "watchdog",
        "pulled",
        "online",
        "review",
        "exploring",
        "rollouts",
        "powerplan",
        "aliases",
    ),
    ("errands",),
    ("loop", "retraining"),
    ("wiring",),
    ("backup",),
    ("project",),
    ("adoption", "doctor", "scorecard", "modelcard"),
    ("api",),
    ("web",),
    ("drills",),
    ("cli",),
    ("testing", "__init__", "__main__"),
)
"""Lowest row first. `ARCHITECTURE.md` prints the same table."""

HEAVY_HOMES = {
    "mlflow": {"registry"},
    "sqlalchemy": {"store"},
    "alembic": {"store"},
    "sklearn": {"models", "train", "score", "watch", "retrain", "stats", "release", "comparison", "adoption"},
    "pandas": {"models", "train", "score", "watch", "retrain", "stats", "comparison", "adoption"},
    "scipy": {"stats", "models", "train", "score", "watch", "retrain", "delivery"},
    "fastapi": {"api", "web"},
    "typer": {"cli"},
    "rich": {"cli", "drills"},
    "pandera": {"data"},
    "optuna": {"train"},
}
"""Libraries with a home; imported nowhere else."""


def row_of(part: str) -> int:
    for number, row in enumerate(LAYERS):
        if part in row:
            return number
    raise AssertionError(f"{part!r} is in no row of LAYERS; put it there (and into ARCHITECTURE.md) or move it")


def part_of(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path, *, for_types: bool = True) -> list[tuple[int, str]]:
    """Every import of a file; without `for_types` only those that are really done."""
    tree = parsed(path)
    skipped = set() if for_types else {n for block in ast.walk(tree) if is_for_types(block) for n in ast.walk(block)}
    found = []
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found += [(node.lineno, f"{node.module}.{alias.name}") for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level:
            found.append((node.lineno, "RELATIVE"))
    return found


def is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


FILES = sorted(PACKAGE.rglob("*.py"))


def test_the_package_was_found() -> None:
    assert len(FILES) > 80


def test_every_import_goes_to_a_lower_row_or_stays_in_its_folder() -> None:
    wrong = []
    for path in FILES:
        here = part_of(path)
        for line, name in imports(path):
            if name == "RELATIVE":
                wrong.append(f"{path.relative_to(ROOT)}:{line}: relative import")
                continue
            if not name.startswith("mainstay."):
                continue
            there = name.split(".")[1]
            if there in (here, "__version__"):
                continue
            if here not in ("__init__", "__main__") and row_of(there) >= row_of(here):
                wrong.append(f"{path.relative_to(ROOT)}:{line}: {here} imports {name}")
    assert wrong == []


def test_heavy_libraries_stay_in_their_homes() -> None:
    wrong = []
    for path in FILES:
        here = part_of(path)
        for line, name in imports(path, for_types=False):
            library = name.split(".")[0]
            if library in HEAVY_HOMES and here not in HEAVY_HOMES[library]:
                wrong.append(f"{path.relative_to(ROOT)}:{line}: {library} in {here}")
    assert wrong == []


def test_folder_inits_hold_a_docstring_and_nothing_else() -> None:
    wrong = []
    for path in FILES:
        if path.name == "__init__.py" and path.parent != PACKAGE:
            body = parsed(path).body
            if len(body) != 1 or not isinstance(body[0], ast.Expr) or not isinstance(body[0].value, ast.Constant):
                wrong.append(str(path.relative_to(ROOT)))
    assert wrong == []


def test_architecture_page_prints_the_same_layers() -> None:
    page = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    for row in LAYERS[:-1]:
        assert "| " + " ".join(f"`{part}`" for part in row) + " |" in page


def test_only_the_clock_module_reads_the_time() -> None:
    wrong = []
    for path in FILES:
        if path == PACKAGE / "config" / "clocks.py":
            continue
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                called = f"{node.value.id}.{node.attr}"
                if called in {"datetime.now", "datetime.utcnow", "time.time", "time.time_ns"}:
                    wrong.append(f"{path.relative_to(ROOT)}:{node.lineno}: {called}")
    assert wrong == []


def test_no_word_of_the_examples_stands_in_the_package() -> None:
    words = (
        "support-desk",
        "support_desk",
        "banking77",
        "refund",
        "cancellation",
        "tenure_months",
        "hinglish",
        "spanglish",
    )
    wrong = []
    for path in sorted(PACKAGE.rglob("*")):
        if path.is_file() and path.suffix in {".py", ".html", ".toml", ".md", ".csv", ".css", ".js"}:
            text = path.read_text(encoding="utf-8").lower()
            wrong += [f"{path.relative_to(ROOT)}: {word}" for word in words if word in text]
    assert wrong == []


@pytest.mark.parametrize("heavy", ["pandas", "sklearn", "mlflow", "polars", "sqlalchemy", "fastapi", "numpy"])
def test_importing_mainstay_loads_nothing_heavy(heavy: str) -> None:
    code = f"import sys, mainstay; sys.exit({heavy!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT).returncode == 0


def test_scipy_is_loaded_where_it_is_used_and_not_by_a_status() -> None:
    parts = ["scipy.stats", "scipy.special", "scipy.optimize"]
    code = f"import sys, mainstay.status.read; sys.exit(bool(set({parts}) & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT).returncode == 0
