"""From what is held about a version to its card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from mainstay.config.settings import Settings
from mainstay.core.contracts import Contract, Field, Pii
from mainstay.core.errors import NotFound
from mainstay.core.releases import Release
from mainstay.modelcard import measured
from mainstay.modelcard.records import ModelCard, Part, Table
from mainstay.modelcard.training import training
from mainstay.status.records import Status
from mainstay.store import releases as rows

if TYPE_CHECKING:
    from mainstay.project import Project

UNSAID = "not declared ([card] {})"
MOST_CLASSES = 30
LIMITS = (
    "Labels, not the card, say whether it is right today: mainstay status and mainstay quality.",
    "A changed relation between inputs and truth cannot be seen without labels.",
    "Figures hold for rows like the test rows; stress and segments below say what is known beyond them.",
)


def model_card(project: Project, version: int) -> ModelCard:
    """Return the card of a version. Raises NotFound for a strange one."""
    with project.parts.store.read() as tx:
        release = rows.get_or_none(tx, project.name, version)
    if release is None:
        raise NotFound(f"the store knows no version {project.name}@{version}", remedy="mainstay status lists them.")
    bundle = project.parts.open_bundle(release.digest, original=False)
    return of(
        release,
        contract=msgspec.json.decode(bundle.read("contract.json"), type=Contract),
        settings=project.settings,
        lineage=bundle.json("lineage.json"),
        environment=bundle.read("environment.lock").decode().splitlines(),
        status=project.status(),
    )


def of(
    release: Release,
    *,
    contract: Contract,
    settings: Settings,
    lineage: Mapping[str, Any],
    environment: Sequence[str],
    status: Status,
) -> ModelCard:
    """Return the card of what is known of a version."""
    evaluation: Mapping[str, Any] = release.facts.get("evaluation") or {}
    gate: Mapping[str, Any] = release.facts.get("gate") or {}
    parts = (
        _details(release, contract, lineage, environment),
        _intended(settings),
        _data(contract, lineage, evaluation),
        training(release.facts),
        measured.quality(evaluation, release.facts.get("recent"), status, release),
        measured.segments(evaluation),
        measured.stress(evaluation),
        measured.behaviour(evaluation),
        measured.fairness(contract, evaluation),
        _gate(gate),
        _limits(settings, release),
        _cost(status, release),
    )
    return ModelCard(
        name=release.name,
        summary=f"{release.name} answers with {_answers(contract)}. It stands at {release.stage.value}: "
        f"{release.reason}",
        parts=[part for part in parts if part is not None],
    )


def _details(release: Release, contract: Contract, lineage: Mapping[str, Any], environment: Sequence[str]) -> Part:
    runtime = release.facts.get("runtime") or {}
    rows_ = [
        ("version", release.name),
        ("trained", f"{release.created_at:%Y-%m-%d %H:%M} UTC, {release.trigger}"),
        ("task", contract.task.value),
        ("pipeline", f"{release.pipeline}, built by {lineage.get('build') or 'another tool'}"),
        ("parameters", _plain({**(lineage.get("params") or {}), **(lineage.get("tuned") or {})}) or "none"),
        ("seed", str(lineage.get("seed", ""))),
        ("why this pipeline", str(release.facts.get("choice") or "it alone was asked for")),
        ("computed by", f"{runtime.get('runtime', 'unknown')}: {runtime.get('why', '')}".rstrip(": ")),
        ("bundle", release.digest),
        ("code", f"commit {release.commit}" if release.commit else "no commit recorded"),
        ("packages", ", ".join(environment)),
    ]
    return Part(title="Model", tables=[Table(head=("", ""), rows=rows_)])


def _intended(settings: Settings) -> Part:
    card = settings.card
    return Part(
        title="Intended use",
        tables=[
            Table(
                head=("", ""),
                rows=[
                    ("for", card.intended_use or UNSAID.format("intended_use")),
                    ("not for", card.not_for or UNSAID.format("not_for")),
                    ("owner", card.owner or UNSAID.format("owner")),
                    ("licence", card.licence or UNSAID.format("licence")),
                ],
            )
        ],
    )


def _data(contract: Contract, lineage: Mapping[str, Any], evaluation: Mapping[str, Any]) -> Part:
    fields = [
        (
            f.name,
            f.type.value,
            ", ".join(role.value for role in f.roles),
            _bounds(f),
            _pii(f),
            "" if f.required else "no",
        )
        for f in contract.fields
        if f.name != contract.target
    ]
    says = [
        f"Trained on {lineage.get('train_rows', 'unknown')} rows (snapshot {str(lineage.get('train', ''))[:12]}), "
        f"measured on {evaluation.get('rows', 'unknown')} frozen rows (snapshot {str(lineage.get('test', ''))[:12]}) "
        "that no model is fitted on.",
        f"The truth is {contract.target}: {_answers(contract)}. "
        + (
            f"Rows of one {contract.key} are one unit of evidence."
            if contract.key
            else "Each row is a unit of evidence."
        ),
    ]
    head = ("field", "type", "role", "allowed", "written down", "required")
    return Part(title="Data", says=says, tables=[Table(head=head, rows=fields)])


def _gate(gate: Mapping[str, Any]) -> Part:
    checks = gate.get("checks") or ()
    if not checks:
        return Part(title="Gate", says=["The gate was not asked."])
    found = [(c["name"], c["verdict"] if c.get("applies", True) else "not judged", c["reason"]) for c in checks]
    return Part(
        title="Gate",
        says=[f"Verdict: {gate['verdict']}."],
        tables=[Table(head=("check", "verdict", "why"), rows=found)],
    )


def _limits(settings: Settings, release: Release) -> Part:
    serve = settings.serve
    own = [
        f"Below a calibrated confidence of {serve.low_trust.confidence:g} an answer says low trust, below "
        f"{serve.abstain.confidence:g} the model abstains.",
        f"Trained on {release.created_at:%Y-%m-%d}; what changed since it has not seen.",
    ]
    return Part(title="Limits", lists=[*settings.card.limits, *own, *LIMITS])


def _cost(status: Status, release: Release) -> Part | None:
    report = status.cost
    line = None if report is None else next((one for one in report.lines if one.bundle == release.name), None)
    if report is None or line is None:
        return None
    head = ("rows", "processor seconds", "memory GB hours", f"cost {report.currency}".strip())
    cost = f"{line.total:.2f}" if report.priced else "no price is declared"
    told = (f"{line.rows:,}", f"{line.cpu_s:,.0f}", f"{line.memory_gb_h:.2f}", cost)
    return Part(title="Cost", tables=[Table(head=head, rows=[told], caption=f"In {report.days:g} days")])


def _answers(contract: Contract) -> str:
    if not contract.classes:
        return "a number"
    some = ", ".join(contract.classes[:MOST_CLASSES])
    return f"one of {len(contract.classes)} classes ({some}{', …' if len(contract.classes) > MOST_CLASSES else ''})"


def _bounds(field: Field) -> str:
    if field.values:
        return ", ".join(field.values[:10]) + (", …" if len(field.values) > 10 else "")
    if field.min is not None or field.max is not None:
        low, high = ("" if limit is None else f"{limit:g}" for limit in (field.min, field.max))
        return f"{low} to {high}".strip()
    return "" if field.max_chars is None else f"at most {field.max_chars} characters"


def _pii(field: Field) -> str:
    return {Pii.KEEP: "as it is", Pii.HASH: "hashed", Pii.DROP: "never", Pii.ENCRYPT: "encrypted"}[field.pii]


def _plain(value: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} = {one}" for name, one in value.items())
