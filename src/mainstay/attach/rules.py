"""The project's rules for what is written down: contract, personal fields, key; and the project that begins empty."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from mainstay.attach.rows import Row, Unusable, label_of
from mainstay.config import load as config
from mainstay.config import write
from mainstay.config.settings import NAME_PATTERN
from mainstay.core import errors
from mainstay.core.contracts import Contract, Pii
from mainstay.core.events import FEEDBACK_AHEAD, Caveat, Event, Feedback, Kind
from mainstay.data.request_check import RequestCheck
from mainstay.journal.personal import Hasher, compile_journal_copy, read_or_make_salt, without_quotes
from mainstay.journal.subjects import FOLDER as SUBJECTS
from mainstay.journal.subjects import Subjects
from mainstay.journal.vault import Vault

TARGET = "truth"
"""Name of the target where a project begins empty: what feedback tells is no field of a request."""
MOST_CAVEATS = 20
BREAKS = "breaks the contract: "
STATE = ".mainstay"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What one version of the project file says."""

    model: str
    contract: Contract
    fields: frozenset[str]
    check: RequestCheck | None
    """None while there is no contract: everything is taken as it comes, but for `early`."""
    journal_copy: Callable[[dict[str, Any]], dict[str, Any]]
    hasher: Hasher
    early: Mapping[str, Pii]
    """Personal fields that are hashed or dropped whatever the contract says."""
    segment_mb: float

    def event(self, row: Row) -> Event:
        """Return the record of a row, without worker and seq; nothing personal is in it that the rules keep out."""
        if row.kind is Kind.FEEDBACK:
            return self._feedback(row)
        values, caveats, broken = self._checked(row.inputs)
        key = row.key
        if key is None and self.contract.key is not None and values.get(self.contract.key) is not None:
            key = str(values[self.contract.key])
        key_hash = "" if key is None else self.hasher.key_hash(key)
        occurred_at = values.get(self.contract.time) if self.contract.time else None
        kept = self._early_copy(self.journal_copy(values))
        return Event(
            model=self.model,
            worker="",
            seq=0,
            id=row.id,
            kind=row.kind,
            occurred_at=row.at if occurred_at is None else occurred_at,
            received_at=row.at,
            key_hash=key_hash,
            unit=self.hasher.unit(key_hash, values) if values else "",
            inputs=kept,
            label=self._label(row.label),
            probabilities=row.probabilities,
            confidence=row.confidence,
            warnings=caveats,
            latency_us=row.latency_us,
            status=row.status,
            reason=self._reason(row) if row.reason is not None or not broken else BREAKS + broken,
        )

    def _checked(self, inputs: Mapping[str, Any]) -> tuple[dict[str, Any], list[Caveat], str]:
        """Return the values that may be kept, what is to be known of them, and what breaks the contract.

        A field that is no part of the contract is left out: nobody said whether it may be kept. A value that breaks the
        contract is left out too, so that the row's other fields are still watched.
        """
        if self.check is None:
            return {name: value for name, value in inputs.items() if name != self.contract.target}, [], ""
        fields = self.fields
        found = self.check.check({name: value for name, value in inputs.items() if name in fields})
        if not found.problems and not found.caveats:
            return {name: value for name, value in found.values.items() if value is not None}, [], ""
        wrong = {problem.where for problem in found.problems}
        values = {n: v for n, v in found.values.items() if v is not None and n not in wrong}
        caveats = [caveat for caveat in found.caveats if self._may_show(caveat.field)]
        caveats += [
            Caveat(code="contract", field=problem.where, text=f"{problem.where}: {problem.what}")
            for problem in found.problems
        ]
        broken = ", ".join(f"{problem.where} {problem.what}" for problem in found.problems[:5])
        return values, caveats[:MOST_CAVEATS], broken

    def _reason(self, row: Row) -> str | None:
        """Return why a request failed; only the kind of error where its text could quote a personal value."""
        if row.reason is None or row.kind is not Kind.ERROR:
            return row.reason
        return without_quotes(row.reason, self.contract, private=bool(self.early))

    def _may_show(self, name: str) -> bool:
        field = self.contract.field(name)
        return field is not None and field.pii is Pii.KEEP and name not in self.early

    def _early_copy(self, values: dict[str, Any]) -> dict[str, Any]:
        if not self.early:
            return values
        out = {name: value for name, value in values.items() if self.early.get(name) is not Pii.DROP}
        for name, pii in self.early.items():
            field = self.contract.field(name)
            hashed_already = field is not None and field.pii is Pii.HASH
            if pii is Pii.HASH and not hashed_already and out.get(name) is not None:
                out[name] = self.hasher.key_hash(str(out[name]))
        return out

    def _label(self, label: Any) -> Any:
        """Return an answer as the task has it: a class is text, a value a number."""
        if label is None or self.check is None:
            return label
        if self.contract.task.is_classification:
            return str(label)
        try:
            return float(label)
        except (TypeError, ValueError):
            return None

    def _feedback(self, row: Row) -> Event:
        at = row.truth_at or row.at
        if at - row.at > FEEDBACK_AHEAD:
            told = f"a truth is of {at.isoformat()}, in the future, and would win over every later one"
            raise Unusable("future_truth", told)
        content = "\x1f".join((row.id, repr(row.truth), row.truth_at.isoformat() if row.truth_at else ""))
        made = "log-" + blake2b(content.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
        truth = Feedback(
            id=row.id,
            feedback_id=made,
            kind="label",
            name=self.contract.target,
            value=self._label(label_of(row.truth)),
            at=at,
            by="mainstay.log",
        )
        return Event(
            model=self.model,
            worker="",
            seq=0,
            id=made,
            kind=Kind.FEEDBACK,
            occurred_at=at,
            received_at=row.at,
            feedback=truth,
        )


def read_rules(folder: Path, *, early: Mapping[str, Pii], learn: int, subjects: Subjects | None = None) -> Rules:
    """Return the rules of the project in `folder`, which begins empty here where there is none.

    `subjects` are the keys whose syncing is looked after by whoever writes the records; else they are opened here.

    Raises ProjectFileError, EnvironmentFault or OSError for what stands in the way.
    """
    if not (folder / config.FILE_NAME).exists():
        begin_project(folder, early=early, learn=learn)
    loaded = config.load(folder, environ=os.environ)
    contract = loaded.contract
    hasher = Hasher(read_or_make_salt(loaded.state / "salt"))
    vault = Vault(subjects or Subjects(loaded.state / SUBJECTS), loaded.settings.project.name)
    return Rules(
        model=loaded.settings.project.name,
        contract=contract,
        fields=frozenset(field.name for field in contract.fields),
        check=RequestCheck(contract) if contract.fields else None,
        journal_copy=compile_journal_copy(contract, hasher, vault),
        hasher=hasher,
        early={**loaded.settings.attach.pii, **early},
        segment_mb=loaded.settings.log.segment_mb,
    )


def begin_project(folder: Path, *, early: Mapping[str, Pii], learn: int) -> None:
    """Write a project file that says no more than that a service answers; one that came meanwhile is kept."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / config.FILE_NAME
    draft = folder / f".{config.FILE_NAME}.{os.getpid()}"
    draft.write_text(beginning(model_name(folder), early=early, learn=learn), encoding="utf-8")
    try:
        with suppress(FileExistsError):
            os.link(draft, file)
    finally:
        draft.unlink()


def beginning(name: str, *, early: Mapping[str, Pii], learn: int) -> str:
    """Return the text of a project file whose contract is still to be learned."""
    pii = f"\npii = {write.toml_value({field: one.value for field, one in early.items()})}" if early else ""
    return f"""\
# Written by mainstay.Watch or mainstay.log: a service answers, and Mainstay watches it.
# `mainstay up` here watches; after learn_requests requests it adds the contract that they suggest. Then correct it.
mainstay = 1

[project]
name = {write.toml_value(name)}
task = "multiclass"  # until the answers were seen
answers = "elsewhere"

[target]
field = "{TARGET}"

[attach]
learn_requests = {learn}{pii}

[[alerts]]
to = "log://"
min_severity = "watch"
"""


def model_name(folder: Path) -> str:
    """Return the folder's name as a model's name."""
    name = re.sub(r"[^A-Za-z0-9_-]", "-", folder.name).lstrip("-_")[:63] or "model"
    if not re.fullmatch(NAME_PATTERN, name):
        raise errors.UsageError(f"{folder.name!r} cannot be made a model's name")
    return name
