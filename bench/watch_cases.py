"""The cases of bench/watch.py: which jobs there are, and what the answers mean."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import watch_data

SIZES = ((1_000, 1_000), (1_000, 10_000), (1_000, 100_000), (250, 10_000))
"""Rows of a window and of the reference."""
LARGE = 100_000
"""A reference of so many rows is asked for a fifth of the stationary windows: Evidently tests one window of 20 columns
in half a second there."""
SHIFTS = (0.1, 0.25, 0.5)
QUIET = 10
DEFAULT_HOURS = 720.0
"""One false page in 30 days, a window an hour."""
MATCHED = 1_000.0
"""Windows in which everybody is tuned to one false one."""
SET = "set"
"""Mainstay as `[watch] false_pages` says one in MATCHED windows, without looking at the windows."""
BARS = (10.0, 30.0, 100.0, 300.0)
CURVE = (1_000, 10_000)
"""Window and reference of the operating curves."""
CURVE_SHIFTS = (0.1, 0.25)
SHARES = (0.0, 0.05, 0.10, 0.20)
TOPIC = "kitchen_and_dining"
ESTIMATE_ROWS = 1_000
Job = dict[str, Any]
Answers = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cases:
    """What is asked."""

    folder: Path
    quick: bool
    with_texts: bool

    def references(self, rows: int) -> int:
        """Return how many references of so many rows are drawn for the stationary windows."""
        return 2 if rows >= LARGE else 4 if self.quick else 10

    @property
    def windows(self) -> int:
        """Return the stationary windows for each reference."""
        return 25 if self.quick else 100

    @property
    def runs(self) -> int:
        """Return the runs of each shift."""
        return 5 if self.quick else 10

    @property
    def most(self) -> int:
        """Return the windows after a change in which it may be found."""
        return 20

    def jobs(self, name: str) -> list[Job]:
        """Return everything but the timed jobs."""
        ours = name == "mainstay"
        found: list[Job] = []
        for rows, reference in SIZES:
            case = {"rows": rows, "reference_rows": reference}
            bars = [None, MATCHED, *(BARS if (rows, reference) == CURVE else ())]
            allowed = math.floor(self.references(reference) * self.windows / MATCHED)
            extra = {"references": self.references(reference), "windows": self.windows, "bars": bars}
            extra |= {"allowed": allowed} if ours else {}
            found.append({"id": f"stationary {rows} {reference}", "what": "stationary", "case": case | extra})
            for shift in SHIFTS:
                for quiet in (QUIET, 0) if ours and rows == CURVE[0] else (QUIET,):
                    change = {"shift": shift, "runs": self.runs, "most": self.most, "quiet": quiet}
                    id_ = f"shift {rows} {reference} {shift} {quiet}"
                    found.append({"id": id_, "what": "shift", "case": case | change})
        if self.with_texts:
            for share in SHARES:
                path = str(self.folder / f"texts-{share}.json")
                found.append({"id": f"text {share}", "what": "text", "case": {"texts": path}})
        for kind in ("covariate", "concept"):
            files = {part: str(self.folder / f"{kind}-{part}.parquet") for part in ("reference", "analysis")}
            found.append({"id": f"estimate {kind}", "what": "estimate", "case": {**files, "rows": ESTIMATE_ROWS}})
        return found

    def speed(self) -> list[Job]:
        """Return the timed jobs."""
        return [
            {
                "id": f"speed {rows}",
                "what": "speed",
                "case": {part: str(self.folder / f"wide-{rows}-{part}.parquet") for part in ("reference", "current")},
            }
            for rows in ((10_000, 100_000) if self.quick else (100_000, 1_000_000))
        ]


def prepare(folder: Path, data: Path, *, quick: bool) -> Cases:
    """Write the files that the jobs name."""
    clinc = data / "clinc150"
    cases = Cases(folder=folder, quick=quick, with_texts=clinc.is_dir())
    if cases.with_texts:
        _texts(folder, clinc, runs=3 if quick else 8, most=2 if quick else 4)
    for kind in ("covariate", "concept"):
        _estimates(folder, kind)
    for job in cases.speed():
        rows = int(job["id"].split()[1])
        rng = np.random.default_rng(7)
        for part in ("reference", "current"):
            wide(rng, rows).write_parquet(job["case"][part])
    return cases


def wide(rng: np.random.Generator, rows: int) -> pl.DataFrame:
    """Return 26 columns: 18 numbers, 5 categories, 2 integers and a boolean."""
    columns: dict[str, Any] = {f"x{i}": rng.standard_normal(rows) for i in range(18)}
    columns |= {f"c{i}": rng.choice(list("abcdefgh"), rows) for i in range(5)}
    columns |= {f"n{i}": rng.integers(0, 1000, rows) for i in range(2)}
    return pl.DataFrame(columns | {"yes": rng.random(rows) < 0.3})


def _texts(folder: Path, clinc: Path, *, runs: int, most: int) -> None:
    """Write windows of 1,000 texts in which a share is of a topic that the reference never held."""
    given = json.loads((clinc / "data_full.json").read_text(encoding="utf-8"))
    topic = set(json.loads((clinc / "domains.json").read_text(encoding="utf-8"))[TOPIC])
    pairs = [pair for part in ("train", "val", "test") for pair in given[part]]
    old = [text for text, intent in pairs if intent not in topic]
    new = [text for text, intent in pairs if intent in topic]
    rng = np.random.default_rng(11)
    old = [old[i] for i in rng.permutation(len(old))]
    reference, pool = old[:5_000], old[5_000:]
    for share in SHARES:
        count = round(1_000 * share)
        windows = [
            [pool[i] for i in rng.choice(len(pool), 1_000 - count, replace=False)]
            + [new[i] for i in rng.choice(len(new), count, replace=False)]
            for _ in range(runs * most)
        ]
        order = [list(range(run * most, (run + 1) * most)) for run in range(runs)]
        out = {"reference": reference, "windows": windows, "runs": order}
        (folder / f"texts-{share}.json").write_text(json.dumps(out), encoding="utf-8")


def _estimates(folder: Path, kind: str) -> None:
    """Write predictions of a logistic model whose inputs move (covariate), or whose truth does (concept)."""
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(5)
    law = np.array([1.5, -1.0, 0.7, 0.0, 0.4])

    def draw(rows: int, *, moved: float = 0.0, turned: float = 0.0) -> tuple[Any, Any]:
        x = rng.standard_normal((rows, 5))
        x[:, 0] += moved
        truth = rng.random(rows) < 1.0 / (1.0 + np.exp(-(x @ (law * np.array([1.0 - turned, 1, 1, 1, 1])))))
        return x, truth.astype(int)

    model = LogisticRegression().fit(*draw(20_000))
    chunks = 30
    parts = [draw(10_000)]
    parts += [
        draw(ESTIMATE_ROWS, **{"moved" if kind == "covariate" else "turned": 1.5 * i / (chunks - 1)})
        for i in range(chunks)
    ]
    frames = []
    for x, truth in parts:
        proba = model.predict_proba(x)[:, 1]
        columns = {f"x{i}": x[:, i] for i in range(5)}
        frames.append(pl.DataFrame(columns | {"proba": proba, "pred": (proba > 0.5).astype(int), "truth": truth}))
    frames[0].write_parquet(folder / f"{kind}-reference.parquet")
    pl.concat(frames[1:]).write_parquet(folder / f"{kind}-analysis.parquet")


MEASURED = tuple(f"{when}{what}" for when in ("", "warm_") for what in ("seconds", "cpu_seconds", "peak_mb"))


def judge(cases: Cases, found: Mapping[str, Answers]) -> list[dict[str, Any]]:
    """Return the rows of the results."""
    rows: list[dict[str, Any]] = []
    for name, told in found.items():
        rows += _numbers(cases, name, told)
        rows += _of_texts(cases, name, told)
        rows += _of_estimates(cases, name, told)
        for job in cases.speed():
            answer = told.get(job["id"], {})
            if "seconds" in answer:
                size = int(job["id"].split()[1])
                figures = {key: round(float(answer[key]), 3) for key in MEASURED if key in answer}
                rows.append(_row(name, "report", rows=size, columns=26, reference_rows=size, **figures))
    return rows


def _row(name: str, case: str, **given: Any) -> dict[str, Any]:
    empty = dict.fromkeys(
        ("rows", "columns", "reference_rows", "seconds", "peak_mb", "false_incidents", "windows", "shift_sigma",
         "delay_windows_median", "missed_share")
    )  # fmt: skip
    return {"name": name, "case": case, **empty, **given}


def _numbers(cases: Cases, name: str, told: Answers) -> list[dict[str, Any]]:
    out = []
    for rows, reference in SIZES:
        size = {"rows": rows, "reference_rows": reference, "columns": watch_data.COLUMNS}
        still = told.get(f"stationary {rows} {reference}", {})
        total = cases.references(reference) * cases.windows
        if not still or "failed" in still:
            continue
        rules: dict[str, float | str | None] = {"default": None, "matched": MATCHED}
        rules |= {SET: SET} if "incidents" in still else {}
        for case, rule in rules.items():
            false = _false(still, rule)
            out.append(_row(name, f"stationary, {case}", **size, false_incidents=false, windows=total))
        for shift, quiet in ((shift, quiet) for shift in SHIFTS for quiet in (QUIET, 0)):
            moved = told.get(f"shift {rows} {reference} {shift} {quiet}", {})
            if not moved or "failed" in moved:
                continue
            at_once = "" if quiet else ", at once"
            for case, rule in rules.items():
                median, missed = delays(still, moved, rule)
                out.append(
                    _row(
                        name, f"shift, {case}{at_once}", **size, windows=cases.most, shift_sigma=shift,
                        delay_windows_median=median, missed_share=missed,
                    )
                )  # fmt: skip
    return out


def _false(still: Mapping[str, Any], rule: float | str | None) -> int:
    """Return the false alarms with the defaults, tuned to one in so many windows, or as set to one in MATCHED."""
    if "incidents" in still:
        return int(still["tuned"] if rule == MATCHED else still["incidents"][str(MATCHED if rule == SET else rule)])
    if rule is None:
        return int(sum(still["flags"]))
    least = threshold(still["top"], float(rule))
    return int(sum(top > least for top in still["top"]))


def threshold(tops: Sequence[float], bar: float) -> float:
    """Return the smallest threshold that at most one in `bar` of the windows passes."""
    return sorted(tops, reverse=True)[math.floor(len(tops) / bar)]


def delays(still: Mapping[str, Any], moved: Mapping[str, Any], rule: float | str | None) -> tuple[float | None, float]:
    """Return the median windows until the change is found (None: never in half of the runs) and the share missed."""
    if "log" in moved:
        least = _log_bar(still, rule)
        # A run that cries before its change would begin anew; it says nothing about the delay.
        runs = [run for run in moved["log"] if not any(log >= least for log in run[: moved["quiet"]])]
        hits = [[log >= least for log in run[moved["quiet"] :]] for run in runs]
    elif rule is None:
        hits = moved["flags"]
    else:
        least = threshold(still["top"], float(rule))
        hits = [[top > least for top in run] for run in moved["top"]]
    first = sorted(next((i + 1 for i, hit in enumerate(run) if hit), math.inf) for run in hits)
    middle = first[(len(first) - 1) // 2]
    return (None if math.isinf(middle) else middle), float(np.isinf(first).mean())


def _log_bar(still: Mapping[str, Any], rule: float | str | None) -> float:
    """Return the logarithm of Mainstay's bar; the operating curve's are set, as they are few."""
    if rule == MATCHED:
        return float(still["tuned_log"])
    return math.log(DEFAULT_HOURS if rule is None else MATCHED if rule == SET else float(rule))


def _of_texts(cases: Cases, name: str, told: Answers) -> list[dict[str, Any]]:
    out = []
    for share in SHARES:
        answer = told.get(f"text {share}", {})
        if "flags" not in answer:
            continue
        runs = json.loads((cases.folder / f"texts-{share}.json").read_text(encoding="utf-8"))["runs"]
        size = {"rows": 1_000, "columns": 1, "reference_rows": 5_000, "windows": sum(len(run) for run in runs)}
        if share == 0.0:
            out.append(_row(name, "text, stationary", **size, false_incidents=int(sum(answer["flags"]))))
            continue
        first = sorted(next((i + 1 for i, n in enumerate(run) if answer["flags"][n]), math.inf) for run in runs)
        middle = first[(len(first) - 1) // 2]
        out.append(
            _row(
                name, f"text, a new topic in {share:.0%}", **size, missed_share=float(np.isinf(first).mean()),
                delay_windows_median=None if math.isinf(middle) else middle,
            )
        )  # fmt: skip
    return out


def _of_estimates(cases: Cases, name: str, told: Answers) -> list[dict[str, Any]]:
    out = []
    for kind in ("covariate", "concept"):
        answer = told.get(f"estimate {kind}", {})
        if "estimates" not in answer:
            continue
        frame = pl.read_parquet(cases.folder / f"{kind}-analysis.parquet")
        right = (frame["pred"] == frame["truth"]).to_numpy().reshape(-1, ESTIMATE_ROWS).mean(axis=1)
        error = np.abs(np.array(answer["estimates"]) - right)
        extra: dict[str, Any] = {
            "error_mean": round(float(error.mean()), 4),
            "error_most": round(float(error.max()), 4),
        }
        if "low" in answer:
            inside = (np.array(answer["low"]) <= right) & (right <= np.array(answer["high"]))
            extra["inside_share"] = round(float(inside.mean()), 3)
        if "doubted" in answer:
            extra["doubted_share"] = round(float(np.mean(answer["doubted"])), 3)
        size = {"rows": ESTIMATE_ROWS, "reference_rows": 10_000, "windows": 30}
        out.append(_row(name, f"estimate, {kind} drift", **size, **extra))
    return out


def curves(cases: Cases, found: Mapping[str, Answers]) -> list[dict[str, Any]]:
    """Return for each contestant false alarms per 1,000 windows beside delay and misses, threshold by threshold."""
    rows, reference = CURVE
    out = []
    for name, told in found.items():
        still = told.get(f"stationary {rows} {reference}", {})
        if not still or "failed" in still:
            continue
        for bar in (*BARS, MATCHED):
            rule = SET if bar == MATCHED and "incidents" in still else bar
            false = _false(still, rule) / (cases.references(reference) * cases.windows) * 1000.0
            for shift in CURVE_SHIFTS:
                moved = told.get(f"shift {rows} {reference} {shift} {QUIET}", {})
                if moved and "failed" not in moved:
                    median, missed = delays(still, moved, rule)
                    out.append(
                        {
                            "name": name, "allowed_per_1000": round(1000.0 / bar, 1), "false_per_1000": round(false, 1),
                            "shift_sigma": shift, "delay_windows_median": median, "missed_share": missed,
                        }
                    )  # fmt: skip
    return out
