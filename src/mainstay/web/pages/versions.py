"""Versions: all of them and what was live when, one in full, two beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

from mainstay.core import errors
from mainstay.core.releases import IN_ROLLOUT, Release, Stage
from mainstay.status.read import learned_online
from mainstay.status.records import Status
from mainstay.store.release_events import ReleaseEvent
from mainstay.viewing.versions import Compared, Version, plain
from mainstay.web import links
from mainstay.web.looks import Look
from mainstay.web.pages.overview import STAGE_TONES, releases_table
from mainstay.web.pages.rollout import events_table
from mainstay.web.shown.parts import Cell, Column, Table
from mainstay.web.shown.versions import Choice, Fact, Offer, One, Two, Versions
from mainstay.web.words import counted, moment, percent, spaced

VERDICTS = {"pass": ("passes", "good"), "fail": ("fails", "bad"), "not_enough": ("not enough", "open")}
RETURNS = frozenset({Stage.RETIRED})


def page(look: Look) -> Versions:
    """Read all versions."""
    return build(look.room.status(), look.room.history(), look.now())


def build(status: Status, history: Sequence[ReleaseEvent], now: datetime) -> Versions:
    """Return the page's context."""
    model = status.model
    return Versions(
        versions=releases_table(status.releases, model, now),
        events=events_table(history, model, now, csv=links.model(model, "versions", csv="events")),
        choices=tuple(Choice(number=str(one.version), name=f"{model}@{one.version}") for one in status.releases),
        compare=links.model(model, "compare"),
    )


def one_page(look: Look) -> One:
    """Read one version."""
    return build_one(look.room.version(look.number("number")), look.now(), mlflow=look.room.mlflow())


def build_one(found: Version, now: datetime, *, mlflow: str = "") -> One:
    """Return the page's context; `mlflow`: where MLflow's own pages are, or empty."""
    release = found.release
    model, here = release.model, links.version(release.model, release.version)
    gate = plain(release.facts, "gate")
    return One(
        name=release.name,
        stage=spaced(release.stage.value),
        tone=STAGE_TONES.get(release.stage, "quiet"),
        since=moment(release.since, now),
        reason=release.reason,
        offers=_offers(release),
        lineage=_lineage(release, now, mlflow),
        verdict=VERDICTS.get(str(gate.get("verdict")), ("was not judged", ""))[0],
        checks=_checks(gate, here),
        metrics=_metrics(release, here),
        slices=_slices(release, here),
        events=events_table(found.events, model, now, csv=f"{here}?csv=events"),
        card=f"{here}/card",
        before="" if found.parent is None else _between(model, found.parent.version, release.version),
    )


def _between(model: str, one: int, other: int) -> str:
    return links.model(model, "compare", one=one, other=other)


def _offers(release: Release) -> tuple[Offer, ...]:
    back = links.version(release.model, release.version)

    def ask(act: str) -> str:
        return links.model(release.model, f"do/{act}", subject=release.version, back=back)

    if release.stage in RETURNS:
        return (Offer(text=f"Return to {release.name}", href=ask("return"), danger=True),)
    if release.stage in IN_ROLLOUT:
        return (Offer(text=f"Promote {release.name}", href=ask("promote"), danger=False),)
    return ()


def _lineage(release: Release, now: datetime, mlflow: str) -> tuple[Fact, ...]:
    told = plain(release.facts, "mlflow")
    run = str(told.get("run", "") or release.run_id)
    runtime = plain(release.facts, "runtime")
    facts = [
        ("Trigger", release.trigger, False),
        ("Pipeline", release.pipeline, False),
        ("Bundle", release.digest, True),
        ("Training data", release.snapshot, True),
        ("Code", release.commit, True),
        ("Runs as", f"{runtime.get('runtime', '')}: {runtime.get('why', '')}".strip(": "), False),
        ("Choice", str(release.facts.get("choice") or ""), False),
        ("Learned online", learned_online(release), False),
    ]
    made = moment(release.created_at, now)
    found = [Fact(name="Made", value=made.text, href="", code=False, at=made)]
    found += [
        Fact(name=name, value=value or "not recorded", href=_leads(release, name), code=code and bool(value))
        for name, value, code in facts
        if value or name in ("Code", "Training data")
    ]
    if run:
        # Of versions of before the experiment was recorded there is no address: MLflow's pages take both.
        known = f"{mlflow}/#/experiments/{quote(str(told['experiment']))}" if mlflow and told.get("experiment") else ""
        found.append(Fact(name="MLflow run", value=run, href=f"{known}/runs/{quote(run)}" if known else "", code=True))
    if mlflow and told.get("version"):
        model = f"{mlflow}/#/models/{quote(release.model)}/versions/{quote(str(told['version']))}"
        found.append(Fact(name="MLflow version", value=str(told["version"]), href=model, code=False))
    return tuple(found)


def _leads(release: Release, name: str) -> str:
    return links.model(release.model, "data") if name == "Training data" and release.snapshot else ""


def _checks(gate: Mapping[str, Any], here: str) -> Table:
    return Table(
        id="checks",
        caption="What the gate asked",
        columns=(Column(name="Check"), Column(name="Verdict"), Column(name="Question"), Column(name="Why", quiet=True)),
        rows=tuple(
            (
                Cell(text=spaced(str(one.get("name", "")))),
                _verdict(one),
                Cell(text=str(one.get("question", ""))),
                Cell(text=str(one.get("reason", ""))),
            )
            for one in _list(gate.get("checks"))
        ),
        empty="It was not judged: mainstay gate VERSION --again",
        csv=f"{here}?csv=checks",
    )


def _verdict(check: Mapping[str, Any] | None) -> Cell:
    if check is None:
        return Cell(text="–")
    if not check.get("applies", True):
        return Cell(text="does not count", tone="quiet")
    word, tone = VERDICTS.get(str(check.get("verdict")), (str(check.get("verdict")), "quiet"))
    return Cell(text=word, tone=tone)


def _list(found: Any) -> list[Mapping[str, Any]]:
    return [one for one in found if isinstance(one, Mapping)] if isinstance(found, list | tuple) else []


def _value(found: Any) -> tuple[float | None, str]:
    """Return a metric's value, and its interval as text."""
    if isinstance(found, int | float):
        return float(found), ""
    if not isinstance(found, Mapping) or not isinstance(found.get("value"), int | float):
        return None, ""
    low, high = found.get("low"), found.get("high")
    known = isinstance(low, int | float) and isinstance(high, int | float)
    return float(found["value"]), f"{low:.3f} to {high:.3f}" if known else ""


def _metric(found: Any) -> Cell:
    value, interval = _value(found)
    return Cell(text="–") if value is None else Cell(text=f"{value:.4f}", plain=repr(value), note=interval)


def _metrics(release: Release, here: str) -> Table:
    return Table(
        id="metrics",
        caption="On the frozen test rows",
        columns=(Column(name="Metric"), Column(name="Value", number=True)),
        rows=tuple(
            (Cell(text=spaced(name)), _metric(value)) for name, value in plain(release.facts, "metrics").items()
        ),
        empty="Nothing was measured.",
        csv=f"{here}?csv=metrics",
    )


def _sliced(release: Release) -> Mapping[str, Any]:
    return plain(plain(release.facts, "evaluation"), "slices")


def _accuracy(found: Any) -> Cell:
    """Return a slice's first metric that is a share."""
    if isinstance(found, Mapping):
        for name in ("accuracy", "value", "macro_f1"):
            inner = found.get(name)
            value, interval = _value(inner if inner is not None else None)
            if value is not None:
                return Cell(text=percent(value), plain=repr(value), note=interval)
    return Cell(text="–")


def _rows(found: Any) -> Cell:
    rows = found.get("rows", found.get("n")) if isinstance(found, Mapping) else None
    return Cell(text="–") if not isinstance(rows, int) else Cell(text=counted(rows), plain=str(rows))


def _slices(release: Release, here: str) -> Table:
    return Table(
        id="slices",
        caption="Slices of the test rows",
        columns=(Column(name="Slice"), Column(name="Rows", number=True), Column(name="Accuracy", number=True)),
        rows=tuple((Cell(text=name), _rows(found), _accuracy(found)) for name, found in _sliced(release).items()),
        empty="No slice is declared or large enough.",
        csv=f"{here}?csv=slices",
    )


def two_page(look: Look) -> Two:
    """Read two versions."""
    numbers = [look.query.get(name, "") for name in ("one", "other")]
    if not all(text.isascii() and text.isdigit() and len(text) < 10 for text in numbers):
        raise errors.UsageError("two versions are to be named", remedy="Choose them in the form under Versions.")
    return build_two(look.room.compared(int(numbers[0]), int(numbers[1])))


def build_two(found: Compared) -> Two:
    """Return the page's context."""
    one, other, model = found.one, found.other, found.one.model
    here = _between(model, one.version, other.version)
    return Two(
        one=one.name,
        one_href=links.version(model, one.version),
        other=other.name,
        other_href=links.version(model, other.version),
        lineage=_beside("lineage", "What they were made of", one, other, here, _made(one), _made(other)),
        metrics=_beside(
            "metrics",
            "On the frozen test rows",
            one,
            other,
            here,
            {spaced(name): _metric(value) for name, value in plain(one.facts, "metrics").items()},
            {spaced(name): _metric(value) for name, value in plain(other.facts, "metrics").items()},
            change=True,
        ),
        checks=_beside("checks", "What the gate said", one, other, here, _judged(one), _judged(other)),
        slices=_beside(
            "slices",
            "Slices of the test rows",
            one,
            other,
            here,
            {name: _accuracy(value) for name, value in _sliced(one).items()},
            {name: _accuracy(value) for name, value in _sliced(other).items()},
            change=True,
        ),
    )


def _judged(release: Release) -> dict[str, Cell]:
    return {spaced(str(one.get("name"))): _verdict(one) for one in _list(plain(release.facts, "gate").get("checks"))}


def _made(release: Release) -> dict[str, Cell]:
    facts = {
        "Stage": spaced(release.stage.value),
        "Made": release.created_at.isoformat(timespec="minutes"),
        "Trigger": release.trigger,
        "Pipeline": release.pipeline,
        "Bundle": release.digest[:12],
        "Training data": release.snapshot[:12],
        "Code": release.commit[:12],
        "Runs as": str(plain(release.facts, "runtime").get("runtime", "")),
    }
    return {name: Cell(text=value or "–") for name, value in facts.items()}


def _beside(
    id_: str,
    caption: str,
    one: Release,
    other: Release,
    here: str,
    left: Mapping[str, Cell],
    right: Mapping[str, Cell],
    *,
    change: bool = False,
) -> Table:
    none = Cell(text="–")
    rows = []
    for name in dict.fromkeys([*left, *right]):
        a, b = left.get(name, none), right.get(name, none)
        cells = [Cell(text=name), a, b]
        if change:
            cells.append(_change(a, b))
        else:
            cells.append(Cell(text="same", tone="quiet") if a.text == b.text else Cell(text="differs", tone="open"))
        rows.append(tuple(cells))
    columns = (
        Column(name=""),
        Column(name=one.name, number=change),
        Column(name=other.name, number=change),
        Column(name="Change" if change else "Compared", number=change),
    )
    separator = "&" if "?" in here else "?"
    return Table(
        id=id_,
        caption=caption,
        columns=columns,
        rows=tuple(rows),
        empty="Nothing is recorded of either.",
        csv=f"{here}{separator}csv={id_}",
    )


def _change(a: Cell, b: Cell) -> Cell:
    try:
        moved = float(b.plain) - float(a.plain)
    except ValueError:
        return Cell(text="–")
    return Cell(text=f"{moved:+.4f}".replace("-", "−"), plain=repr(moved))
