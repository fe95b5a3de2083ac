"""Settings: each value and where it came from, keys without what they are, the audit with its chain."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from mainstay.core import errors
from mainstay.notify.addresses import hidden
from mainstay.project import Setting
from mainstay.serve.keys import Key
from mainstay.store.audit import Entry
from mainstay.web import links, tables
from mainstay.web.looks import Look
from mainstay.web.shown.parts import Cell, Column, Table
from mainstay.web.shown.settings import Settings

DEFAULT = "default"


def page(look: Look) -> Settings:
    """Read all three."""
    try:
        keys, problem = look.room.keys(), ""
    except errors.MainstayError as error:
        keys, problem = [], error.message
    entries, wrong = look.room.audit()
    return build(look.model, look.room.config(), keys, entries, wrong, look.now(), problem=problem, file=look.room.file)


def build(
    model: str,
    settings: Sequence[Setting],
    keys: Sequence[Key],
    entries: Sequence[Entry],
    wrong: Sequence[str],
    now: datetime,
    *,
    problem: str = "",
    file: str = "",
) -> Settings:
    """Return the page's context."""
    own = [one for one in settings if one.origin != DEFAULT]
    return Settings(
        file=file,
        changed=_settings(own, model, "changed", "Settings that are not the default"),
        every=_settings(settings, model, "every", "All settings"),
        keys=_keys(keys, model, now),
        keys_problem=problem,
        chain="; ".join(wrong) if wrong else "Each entry carries the digest of the one before, and all hold.",
        chain_holds=not wrong,
        audit=_audit(entries, model, now),
    )


def _settings(found: Sequence[Setting], model: str, id_: str, caption: str) -> Table:
    return Table(
        id=id_,
        caption=f"{caption} of {model}",
        columns=(Column(name="Key"), Column(name="Value"), Column(name="From")),
        rows=tuple(
            (Cell(text=one.key), Cell(text=_value(one.value), code=True), Cell(text=one.origin)) for one in found
        ),
        empty="All are the default.",
        csv=links.model(model, "settings", csv=id_),
    )


def _value(value: Any) -> str:
    return json.dumps(_without_secrets(value), ensure_ascii=False, default=str)


def _without_secrets(value: Any) -> Any:
    """Return a setting as it may be shown: addresses without user, password, path and query."""
    if isinstance(value, str):
        return hidden(value) if "://" in value and not value.startswith("sqlite:") else value
    if isinstance(value, dict):
        return {key: _without_secrets(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without_secrets(one) for one in value]
    if hasattr(value, "model_dump"):
        return _without_secrets(value.model_dump(mode="json"))
    return getattr(value, "value", value)


def _keys(found: Sequence[Key], model: str, now: datetime) -> Table:
    def state(key: Key) -> Cell:
        if key.revoked_at is not None:
            return Cell(text="revoked", tone="bad")
        return Cell(text="good", tone="good") if key.good(now) else Cell(text="expired", tone="quiet")

    return Table(
        id="keys",
        caption=f"API keys of {model}",
        columns=(
            Column(name="Name"),
            Column(name=""),
            Column(name="Scopes"),
            Column(name="A second at most", number=True),
            Column(name="Made"),
            Column(name="Good until"),
        ),
        rows=tuple(
            (
                Cell(text=key.name),
                state(key),
                Cell(text=", ".join(key.scopes)),
                tables.number(key.rate or None, "{:g}"),
                tables.time(key.created_at, now),
                Cell(text="no end") if key.expires_at is None else tables.exact(key.expires_at, now),
            )
            for key in found
        ),
        empty="None: on this machine predict, feedback and read are open. mainstay keys add NAME --scope predict",
        csv=links.model(model, "settings", csv="keys"),
    )


def _audit(found: Sequence[Entry], model: str, now: datetime) -> Table:
    return Table(
        id="audit",
        caption=f"Audit of {model}",
        columns=(
            Column(name="When"),
            Column(name="Who"),
            Column(name="What"),
            Column(name="Subject"),
            Column(name="Detail", quiet=True),
        ),
        rows=tuple(
            (
                tables.time(one.at, now),
                Cell(text=one.who),
                Cell(text=one.what),
                Cell(text=one.subject),
                Cell(text=json.dumps(dict(one.detail), ensure_ascii=False, default=str)),
            )
            for one in found
        ),
        empty="Nobody did anything yet.",
        csv=links.model(model, "settings", csv="audit"),
    )
