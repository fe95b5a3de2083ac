"""A bundle of another scikit-learn, served by the real server from an environment of its own.

    python bench/runner_environment.py [--scikit-learn 1.5.2] [--folder FOLDER]

Makes (or takes from FOLDER) an environment with that scikit-learn, trains a bundle in it, and has a server of this
environment serve it three times: with `runner_python`, so that it answers as it did where it was trained; without, in a
runner of this environment; and inside the worker. Prints one JSON object for each.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

from mainstay.config.clocks import SystemClock
from mainstay.core.routes import BundleRef
from mainstay.models.answers import Answer
from mainstay.serve import trial

SOURCES = Path(__file__).parents[1] / "src"
NEEDED = ("msgspec", "threadpoolctl", "pandas<3")
"""What a runner needs beside the model's own libraries; Mainstay itself comes by PYTHONPATH here."""
TEXTS = ("snow day", "sun", "wind rain ice", "")
TRAIN = """
import json, random, sys
from pathlib import Path
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from mainstay.models import environment, pickles
from mainstay.testing.models import make_bundle
dice = random.Random(1)
words = "sun snow day night wind rain warm cold ice heat storm calm".split()
texts = [" ".join(dice.choices(words, k=dice.randint(3, 12))) for _ in range(400)]
model = make_pipeline(TfidfVectorizer(), GradientBoostingClassifier(n_estimators=20, random_state=0))
model.fit(texts, ["cold" if "snow" in text or "ice" in text else "warm" for text in texts])
lock = environment.lock_lines(pickles.dump(model))
bundle = make_bundle(Path(sys.argv[1]), model, environment=lock)
said = model.predict_proba(json.loads(sys.argv[2]))
print(json.dumps({"digest": bundle.digest, "classes": list(model.classes_), "said": said.tolist(), "lock": lock}))
"""


def environment(folder: Path, version: str) -> Path:
    """Return the interpreter of an environment with that scikit-learn; made where it is not there."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        wanted = [f"scikit-learn=={version}", "numpy<2", *NEEDED]
        subprocess.run([str(python), "-m", "pip", "install", "-q", *wanted], check=True, stderr=subprocess.DEVNULL)
    return python


def served(digest: str, expected: list[Answer], bundles: Path, runner: dict[str, Any]) -> dict[str, Any]:
    """Return how a real server answers with the bundle."""
    environ = os.environ | {"PYTHONPATH": str(SOURCES)}
    rows = [{"text": text} for text in TEXTS]
    check = trial.try_in_server(
        "weather",
        BundleRef(version=1, digest=digest),
        rows,
        expected,
        bundles=bundles,
        environ=environ,
        clock=SystemClock(),
        runner=runner,
    )
    return {"runner": runner, "verdict": check.verdict.value, "reason": check.reason[:600]}


def main() -> None:
    """Train there, serve here."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--scikit-learn", default="1.5.2", dest="version")
    options.add_argument("--folder", type=Path)
    told = options.parse_args()
    with tempfile.TemporaryDirectory() as name:
        python = environment(told.folder or Path(name) / "environment", told.version)
        bundles = Path(name) / "bundles"
        environ = os.environ | {"PYTHONPATH": str(SOURCES)}
        trained = subprocess.run(
            [str(python), "-c", TRAIN, str(bundles), json.dumps(TEXTS)],
            env=environ,
            check=True,
            capture_output=True,
            text=True,
        )
        made = json.loads(trained.stdout)
        sys.stdout.write(json.dumps({"trained_with": made["lock"]}) + "\n")
        answers = [dict(zip(made["classes"], one, strict=True)) for one in made["said"]]
        expected = [Answer(label=max(one, key=one.__getitem__), probabilities=one) for one in answers]
        ways: list[dict[str, Any]] = [
            {"runner": "auto", "runner_python": str(python)},
            {"runner": "auto"},
            {"runner": "never"},
        ]
        for way in ways:
            sys.stdout.write(json.dumps(served(made["digest"], expected, bundles, way)) + "\n")


if __name__ == "__main__":
    main()
