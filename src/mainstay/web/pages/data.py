"""The data behind a model: the contract, the snapshots, what waits or failed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime

from mainstay.core.contracts import Contract, Field
from mainstay.core.events import Feedback
from mainstay.status.records import Held as Journal
from mainstay.store.jobs import Job, JobState
from mainstay.store.pulled import Letter, State
from mainstay.viewing import datasets
from mainstay.web import links, tables
from mainstay.web.looks import Look
from mainstay.web.pages import deliveries
from mainstay.web.shown.data import Data
from mainstay.web.shown.parts import Cell, Column, Link, Table
from mainstay.web.words import counted, spaced

JOB_TONES = {JobState.DONE: "good", JobState.FAILED: "bad", JobState.RUNNING: "open", JobState.QUEUED: "quiet"}
MOST_VALUES = 12
GB = 1e9


def page(look: Look) -> Data:
    """Read the contract, the snapshots and the state of the journal."""
    status = look.room.status()
    found = look.room.data()
    return build(look.model, look.room.contract(), found, status.journal, look.now(), selective=status.selective)


def build(
    model: str,
    contract: Contract,
    found: datasets.Data,
    journal: Journal | None,
    now: datetime,
    *,
    selective: str = "",
) -> Data:
    """Return the page's context."""
    key = f", key {contract.key}" if contract.key else ", no key: each request counts for itself"
    return Data(
        told=f"{contract.task.value}: {contract.target} from {len(contract.fields)} fields{key}.",
        contract=_contract(contract, model),
        snapshots=_snapshots(found.snapshots, model, now),
        deliveries=deliveries.table(found.deliveries, model, now),
        quality=links.model(model, "quality"),
        sources=_sources(found.sources, model, now),
        letters=_letters(found.letters, found.sources, model, now),
        tries=tuple(
            Link(
                text=f"Try the {counted(one.letters)} of {one.name} again",
                href=links.model(model, "do/replay-letters", subject=one.name, back=links.model(model, "data")),
            )
            for one in found.sources
            if one.letters and one.declared
        ),
        damaged=found.damaged,
        waiting=_waiting(found.waiting, model, now),
        jobs=_jobs(found.jobs, model, now),
        journal=_journal(journal),
        selective=selective,
    )


def _journal(held: Journal | None) -> str:
    if held is None:
        return "The loop has not looked at the journal yet."
    told = f"{counted(held.records)} sealed records, {held.bytes / GB:.2f} GB"
    if held.oldest is not None:
        told += f", the oldest of {held.oldest.isoformat()}"
    if held.bytes_per_day:
        told += f"; it grows by {held.bytes_per_day / GB:.2f} GB a day"
    if held.full_in_days is not None:
        told += f", so the disk is full in {held.full_in_days:.0f} days"
    return f"{told}."


def _contract(contract: Contract, model: str) -> Table:
    names = ("Field", "Type", "Required", "Allowed", "Otherwise", "Used as", "Personal")
    return Table(
        id="contract",
        caption=f"Contract of {model}",
        columns=tuple(Column(name=name) for name in names),
        rows=tuple(_field(one) for one in contract.fields),
        empty="No field is declared.",
        csv=links.model(model, "data", csv="contract"),
    )


def _field(one: Field) -> tuple[Cell, ...]:
    bounds = [f"{sign} {value:.12g}" for sign, value in (("≥", one.min), ("≤", one.max)) if value is not None]
    if one.max_chars is not None:
        bounds.append(f"{counted(one.max_chars)} characters")
    if one.values:
        more = f" and {len(one.values) - MOST_VALUES} more" if len(one.values) > MOST_VALUES else ""
        bounds.append(", ".join(one.values[:MOST_VALUES]) + more)
    otherwise = {
        one.on_range.value if one.min is not None or one.max is not None else "",
        one.on_unknown.value if one.values else "",
    }
    return (
        Cell(text=one.name),
        Cell(text=one.type.value),
        Cell(text="yes" if one.required else "no"),
        Cell(text="; ".join(bounds) or "any"),
        Cell(text=", ".join(sorted(filter(None, otherwise))) or "–"),
        Cell(text=", ".join(role.value for role in one.roles)),
        Cell(text=one.pii.value),
    )


def _snapshots(found: Sequence[datasets.Held], model: str, now: datetime) -> Table:
    return Table(
        id="snapshots",
        caption=f"Snapshots of {model}",
        columns=(
            Column(name="Snapshot"),
            Column(name="Made"),
            Column(name="Rows", number=True),
            Column(name="Versions trained on it"),
            Column(name="From", quiet=True),
        ),
        rows=tuple(
            (
                Cell(text=one.id[:12], plain=one.id, code=True),
                tables.time(one.at, now),
                tables.count(one.rows),
                Cell(text=", ".join(map(str, one.versions)) or "–"),
                Cell(text=deliveries.short(json.dumps(dict(one.lineage), ensure_ascii=False, default=str))),
            )
            for one in found
        ),
        empty="None yet: mainstay train makes the first.",
        csv=links.model(model, "data", csv="snapshots"),
    )


def _sources(found: Sequence[datasets.Source], model: str, now: datetime) -> Table:
    return Table(
        id="sources",
        caption=f"Sources of fresh rows for {model}",
        columns=(
            Column(name="Source"),
            Column(name="Last pull"),
            Column(name="State"),
            Column(name="Up to"),
            Column(name="Dead letters", number=True),
            Column(name="Why", quiet=True),
        ),
        rows=tuple(
            (
                Cell(text=one.name, note="" if one.declared else "no longer declared"),
                tables.time(one.state.at, now),
                _state(one.state),
                Cell(text=one.state.mark or "–"),
                tables.count(one.letters),
                Cell(text=deliveries.short(one.state.failed or one.state.held) or "–"),
            )
            for one in found
        ),
        empty="None is declared. [retrain.sources.NAME] in mainstay.toml names files, an address or a query.",
        csv=links.model(model, "data", csv="sources"),
    )


def _state(one: State) -> Cell:
    if one.failed:
        return Cell(text="failed", tone="bad")
    if one.held:
        return Cell(text="held", tone="open")
    return Cell(text="–") if one.at is None else Cell(text="well", tone="good")


def _letters(found: Sequence[Letter], sources: Sequence[datasets.Source], model: str, now: datetime) -> Table:
    total = sum(one.letters for one in sources)
    return Table(
        id="letters",
        caption=f"Records for {model} that could not be used, newest first",
        columns=(
            Column(name="Record"),
            Column(name="Source"),
            Column(name="Came"),
            Column(name="Why"),
            Column(name="As it came", quiet=True),
        ),
        rows=tuple(
            (
                Cell(text=str(one.n)),
                Cell(text=one.source),
                tables.time(one.at, now),
                Cell(text=one.reason),
                Cell(text=deliveries.short(one.raw), plain=one.raw, code=True),
            )
            for one in found
        ),
        empty="None: every record that was pulled could be used.",
        csv=links.model(model, "data", csv="letters"),
        note=f"The newest {counted(len(found))} of {counted(total)}." if total > len(found) else "",
    )


def _waiting(found: Sequence[Feedback], model: str, now: datetime) -> Table:
    return Table(
        id="waiting",
        caption=f"Feedback for {model} without its prediction",
        columns=(
            Column(name="Told"),
            Column(name="Request"),
            Column(name="Name"),
            Column(name="Value"),
            Column(name="By"),
        ),
        rows=tuple(
            (
                tables.time(one.at, now),
                Cell(text=one.id, code=True),
                Cell(text=one.name),
                Cell(text=deliveries.short(json.dumps(one.value, ensure_ascii=False, default=str), 80)),
                Cell(text=one.by or "–"),
            )
            for one in found
        ),
        empty="None waits: all that was told was joined with its prediction.",
        csv=links.model(model, "data", csv="waiting"),
    )


def _jobs(found: Sequence[Job], model: str, now: datetime) -> Table:
    return Table(
        id="jobs",
        caption=f"Jobs of {model}",
        columns=(
            Column(name="Job"),
            Column(name="State"),
            Column(name="Changed"),
            Column(name="Attempts", number=True),
            Column(name="Error", quiet=True),
        ),
        rows=tuple(
            (
                Cell(text=spaced(one.kind), note=one.dedupe),
                Cell(text=one.state.value, tone=JOB_TONES[one.state]),
                tables.time(one.updated_at, now),
                tables.count(one.attempts),
                Cell(text=deliveries.short(one.error)),
            )
            for one in found
        ),
        empty="None yet: retraining and what else is done once stands here.",
        csv=links.model(model, "data", csv="jobs"),
    )
