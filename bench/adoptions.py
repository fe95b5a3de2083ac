"""Adopt real models as a notebook would and print the table of docs/adopt.md: `python bench/adoptions.py [NAME …]`.

Each runs in a process of its own whose __main__ is the notebook: classes and functions defined there are carried. The
largest difference is between what the notebook's own estimator says about the holdout and what the project's bundle
says about the same rows as requests, opened in a fresh process that has seen none of the notebook's code. With
`--train` each project is then trained again by `mainstay train`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data"

HEAD = """
import json, sys, warnings
import numpy as np, pandas as pd
import mainstay
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import train_test_split
from sklearn.multioutput import MultiOutputRegressor
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
DATA, FOLDER, NAME = sys.argv[1:4]
features, more = None, {}
"""
TAIL = """
import resource
def cpu():
    found = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in found)
before = cpu()
project = mainstay.adopt(model, X, y, name=NAME, holdout=(X2, y2), features=features, folder=FOLDER, say=None, **more)
rows = features(X2) if features else X2
column = more.get("input")
rows = rows[column] if column else rows
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    own = model.predict_proba(rows) if hasattr(model, "predict_proba") else model.predict(rows)
np.save(FOLDER + ".own.npy", np.asarray(own, dtype=float))
told = {"seconds": project.seconds, "cpu": cpu() - before, "stage": project.version.stage.value}
print(json.dumps(told | {"rows": len(X2), "train": len(X)}))
"""
ADULT = """
frame = pd.read_parquet(DATA + "/adult/adults.parquet").rename(columns=lambda c: c.replace("-", "_"))
frame = frame.sample(12000, random_state=0).reset_index(drop=True)
target = [c for c in frame.columns if "class" in c and "work" not in c][0]
y_all = frame.pop(target)
X, X2, y, y2 = train_test_split(frame, y_all, test_size=0.25, random_state=0)
words = [c for c in X.columns if X[c].dtype == object or str(X[c].dtype) == "category"]
numbers = [c for c in X.columns if c not in words]
"""

PIPELINES: dict[str, tuple[str, str]] = {
    "text": (
        "banking77: CountVectorizer + LogisticRegression, X a Series of texts",
        """
one, two = (pd.read_csv(DATA + f"/banking77/{part}.csv") for part in ("train", "test"))
X, y, X2, y2 = one["text"], one["category"], two["text"], two["category"]
model = make_pipeline(CountVectorizer(), LogisticRegression(max_iter=60)).fit(X, y)
""",
    ),
    "mixed": (
        "adult: ColumnTransformer with mixed types and gaps + LogisticRegression",
        ADULT
        + """
columns = ColumnTransformer([
    ("words", make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")), words),
    ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), numbers)])
model = make_pipeline(columns, LogisticRegression(max_iter=300)).fit(X, y)
""",
    ),
    "custom": (
        "breast cancer: a transformer class defined in the notebook + LogisticRegression",
        """
class LogRatios(TransformerMixin, BaseEstimator):
    def __init__(self, shift=1.0):
        self.shift = shift
    def fit(self, X, y=None):
        self.base_ = np.log(X.mean() + self.shift)
        return self
    def transform(self, X):
        return np.log(X + self.shift) - self.base_
X, X2, y, y2 = train_test_split(*load_breast_cancer(return_X_y=True, as_frame=True), random_state=0)
model = make_pipeline(LogRatios(), StandardScaler(), LogisticRegression(max_iter=500)).fit(X, y)
""",
    ),
    "forest": (
        "digits: random forest on a NumPy array",
        """
X, X2, y, y2 = train_test_split(*load_digits(return_X_y=True), random_state=0)
model = RandomForestClassifier(100, n_jobs=2, random_state=0).fit(X, y)
""",
    ),
    "boosting": (
        "adult: HistGradientBoosting on pandas categories",
        ADULT
        + """
for part in (X, X2):
    for name in words:
        part[name] = pd.Categorical(part[name], categories=sorted(frame[name].dropna().unique()))
model = HistGradientBoostingClassifier(categorical_features="from_dtype", max_iter=60, random_state=0).fit(X, y)
""",
    ),
    "calibrated": (
        "wine: CalibratedClassifierCV over naive Bayes",
        """
X, X2, y, y2 = train_test_split(*load_wine(return_X_y=True, as_frame=True), test_size=0.4, random_state=0)
names = np.array(["barolo", "grignolino", "barbera"])
y, y2 = names[y], names[y2]
model = CalibratedClassifierCV(GaussianNB(), cv=3).fit(X, y)
""",
    ),
    "regression": (
        "bike rentals: regression, columns made by a function of the notebook (features=)",
        """
SEASONS = {1: "winter", 2: "spring", 3: "summer", 4: "autumn"}
def angle(hours):
    return 2 * np.pi * hours / 24
def make(frame):
    out = pd.DataFrame(index=frame.index)
    out["cos"], out["sin"] = np.cos(angle(frame["hr"])), np.sin(angle(frame["hr"]))
    out["warm"] = (frame["season"].map(SEASONS).isin(["summer", "autumn"])).astype("int8")
    return out.join(frame[["temp", "hum", "workingday", "yr"]])
frame = pd.read_csv(DATA + "/bike/hour.csv").sample(6000, random_state=0)
sent = frame[["hr", "season", "temp", "hum", "workingday", "yr"]]
X, X2, y, y2 = train_test_split(sent, frame["cnt"], random_state=0)
features = make
model = HistGradientBoostingRegressor(max_iter=80, random_state=0).fit(make(X), y)
""",
    ),
    "multi-output": (
        "linnerud: several targets at once",
        """
from sklearn.datasets import load_linnerud
X, y = load_linnerud(return_X_y=True, as_frame=True)
X2, y2 = X[:5], y[:5]
model = MultiOutputRegressor(Ridge()).fit(X, y)
""",
    ),
    "xgboost": (
        "adult: XGBoost, classes 0 and 1, pandas categories",
        ADULT
        + """
import xgboost
y, y2 = (part.astype(str).str.contains(">50K|1").astype(int) for part in (y, y2))
for part in (X, X2):
    for name in words:
        part[name] = pd.Categorical(part[name], categories=sorted(frame[name].dropna().unique()))
model = xgboost.XGBClassifier(n_estimators=60, enable_categorical=True, random_state=0).fit(X, y)
""",
    ),
    "lightgbm": (
        "breast cancer: LightGBM, classes as text, narrow numbers",
        """
import lightgbm
X, X2, y, y2 = train_test_split(*load_breast_cancer(return_X_y=True, as_frame=True), random_state=0)
X, X2 = X.astype("float32"), X2.astype("float32")
X.columns = X2.columns = [c.replace(" ", "_") for c in X.columns]
y, y2 = (part.map({0: "malignant", 1: "benign"}) for part in (y, y2))
model = lightgbm.LGBMClassifier(n_estimators=60, verbose=-1, random_state=0).fit(X, y)
""",
    ),
}
ANSWERS = """
import json, sys, numpy as np
from pathlib import Path
from mainstay.config import load as config
from mainstay.data.frame_check import check_frame
from mainstay.data.source import read_frame
from mainstay.models import bundle, load
folder = Path(sys.argv[1])
loaded = config.load(folder, environ={})
path = next((folder / ".mainstay" / "bundles").iterdir())
model = load.load(bundle.open_bundle(path, path.name))
good = check_frame(loaded.contract, read_frame("data/test.parquet", folder), with_target=True).good
rows = json.loads(json.dumps(good.drop(loaded.contract.target).to_dicts(), default=str))
own = np.load(str(folder) + ".own.npy")
said = model.predict(rows)
size = lambda root: sum(p.stat().st_size for p in root.rglob("*") if p.is_file())
print(json.dumps({"difference": float(np.abs(said - own).max()), "rows": len(rows), "bundle": size(path),
                  "project": size(folder) - size(folder / ".mainstay"), "all": size(folder)}))
"""


def run(code: str, *arguments: str) -> tuple[int, str, str]:
    """Run a script as a notebook's kernel would: as __main__, in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "notebook.py"
        path.write_text(code, encoding="utf-8")
        done = subprocess.run([sys.executable, str(path), *arguments], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def adopt(name: str, folder: Path) -> tuple[int, str, str]:
    """Adopt one of the pipelines into `folder`, in a process of its own."""
    return run(HEAD + PIPELINES[name][1] + TAIL, str(DATA), str(folder), name)


def answers(folder: Path) -> dict[str, float]:
    """Ask the bundle in a process that knows nothing of the notebook; return differences and sizes."""
    code, out, err = run(ANSWERS, str(folder))
    if code:
        raise SystemExit(err)
    return dict(json.loads(out))


def main(wanted: list[str]) -> None:
    """Print one line of the table for each pipeline."""
    train = "--train" in wanted
    print("| model | rows | adopted in | processor time | bundle | project | answers compared | largest difference |")
    print("|---|---|---|---|---|---|---|---|")
    for name, (title, _) in PIPELINES.items():
        if [one for one in wanted if one != "--train"] and name not in wanted:
            continue
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / name
            code, out, err = adopt(name, folder)
            if code:
                print(f"| {title} | | | | | | | refused: {err.strip().splitlines()[-1]} |", flush=True)
                continue
            found, asked = json.loads(out.splitlines()[-1]), answers(folder)
            print(
                f"| {title} | {found['train']:,} | {found['seconds']:.1f} s | {found['cpu']:.1f} s "
                f"| {asked['bundle'] / 1e6:.2f} MB | {asked['project'] / 1e6:.2f} MB "
                f"| {asked['rows']:,} | {asked['difference']:.1g} |",
                flush=True,
            )
            if train:
                done = subprocess.run(
                    [sys.executable, "-m", "mainstay", "train", "--project", str(folder)],
                    capture_output=True,
                    text=True,
                    check=False,
                )
                print(done.returncode, done.stdout[-600:], done.stderr[-1500:], flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
