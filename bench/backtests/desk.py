"""The support desk of the demo: the model that it trains, its quiet users, then its messy ones, in many orders."""

from __future__ import annotations

import shutil
import tempfile
from datetime import timedelta
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import scenes

from mainstay.backtest import engine, truth
from mainstay.backtest.engine import Feed
from mainstay.backtest.records import Known, Pace
from mainstay.core.events import Arm, Event, Kind
from mainstay.core.incidents import Severity
from mainstay.drills import play
from mainstay.models.answers import answer
from mainstay.models.load import LoadedModel
from mainstay.project import Project
from mainstay.store import releases

DESK = Path(__file__).parents[2] / "examples" / "support-desk"
MODEL = "support-desk"
STEP = timedelta(seconds=18)
"""200 requests an hour."""


def trained(folder: Path) -> tuple[Project, LoadedModel]:
    """Train the example's first version in a copy, as the demo does."""
    shutil.copytree(DESK, folder, ignore=shutil.ignore_patterns(".mainstay", "__pycache__"))
    project = Project.open(folder)
    judged = project.train(release=False)
    with project.parts.store.read() as tx:
        release = releases.get(tx, MODEL, int(judged.name.rpartition("@")[2]))
    return project, project.parts.open_model(release.digest)


def messages(name: str) -> list[play.Message]:
    """Return one file of the example's users."""
    file = DESK / "data" / f"{name}.csv"
    return play.read_messages(file, target="intent", prefix=name, key="customer_id", whole=("tenure_months",))


def events(model: LoadedModel, quiet: list[play.Message], messy: list[play.Message]) -> list[Event]:
    """Return answered requests, one every STEP: the quiet users, then the messy ones."""
    asked = [*quiet, *messy]
    said = answer(model, [one.inputs for one in asked])
    out = []
    for number, (one, got) in enumerate(zip(asked, said, strict=True)):
        at = scenes.START + number * STEP
        out.append(
            Event(
                model=MODEL,
                worker="w0",
                seq=number + 1,
                id=f"{number}-{one.id}",
                kind=Kind.PREDICTION,
                occurred_at=at,
                received_at=at,
                bundle=f"{MODEL}@1",
                served_arm=Arm.CHAMPION,
                key_hash=blake2b(one.key.encode(), digest_size=16).hexdigest(),
                unit=blake2b(repr((one.key, sorted(one.inputs.items()))).encode(), digest_size=16).hexdigest(),
                inputs=one.inputs,
                label=got.label,
                probabilities=got.probabilities,
                confidence=got.confidence,
                trust=got.trust,
            )
        )
    return out


def desk(*, seeds: int) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Return the figures of the messy users and of quiet users alone, and one incident as text."""
    with tempfile.TemporaryDirectory() as folder:
        project, model = trained(Path(folder) / "desk")
        quiet, messy = messages("clean_traffic"), messages("messy_traffic") + messages("messy_feedback")
        lines, texts = [], {}
        for case, changed in (("support desk, messy users", True), ("support desk, quiet users only", False)):
            line = scenes.Line(case=case)
            for seed in range(seeds):
                rng = np.random.default_rng([seed, 77])
                # Blocks are cut by number: the change falls anywhere in one.
                calm = [quiet[i] for i in rng.permutation(len(quiet))[: rng.integers(160, len(quiet) + 1)]]
                other = [messy[i] for i in rng.permutation(len(messy))] if changed else []
                _one(line, model, project, calm, other, texts if seed == 0 else {})
            lines.append(line.as_dict(change=changed))
            scenes.show(lines[-1:])
        project.parts.close()
    return lines, texts


def _one(
    line: scenes.Line,
    model: LoadedModel,
    project: Project,
    calm: list[play.Message],
    other: list[play.Message],
    texts: dict[str, str],
) -> None:
    made = events(model, calm, other)
    start = scenes.START + len(calm) * STEP
    known = [Known(name="messy users", start=start, end=None)] if other else []
    feed = Feed(model=MODEL, events=made, open_version=lambda _name: model, settings=project.settings, rows=len(made))
    played = engine.play(feed, Pace(every=None), known=known)
    judged = truth.judge(played, known, least=Severity.NOTE)
    loud = truth.judge(played, known, least=Severity.WATCH)
    told = judged.told
    found = judged.found[0] if judged.found else None
    first = loud.found[0] if loud.found else None
    seen = scenes.Seen(
        before=tuple(one for one in told if one.opened_at < start),
        found=None if found is None or found.by is None else told[found.by - 1],
        delay_rows=None if found is None else found.delay_rows,
        loud_rows=first.delay_rows if first is not None and first.verdict.value == "told" else None,
        more=max(sum(one.opened_at >= start for one in told) - 1, 0),
        report=None,  # type: ignore[arg-type]
    )
    line.add(seen, quiet=len(calm))
    if seen.found is not None:
        texts[line.case] = "\n".join(
            [seen.found.title, *seen.found.story, "", seen.found.last_title, *seen.found.last_story]
        )
