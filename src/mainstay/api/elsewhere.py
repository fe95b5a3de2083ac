"""What a project says of events that are told to it: from the version that answers here, else from its project file."""

from __future__ import annotations

import asyncio
import sys
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mainstay.attach.rules import Rules
    from mainstay.core.contracts import Contract
    from mainstay.journal.subjects import Subjects
    from mainstay.serve.worker import Worker


RULES = "mainstay.attach.rules"
"""Brings the reader of project files: some 50 ms that a worker needs for the first event only."""
FILE_NAME = "mainstay.toml"


async def get_ready() -> None:
    """Import what the first event needs, beside the event loop."""
    if RULES not in sys.modules:
        await asyncio.to_thread(import_module, RULES)


def rules_of(worker: Worker, model: str) -> Rules:
    """Return what holds for events of a model now.

    Raises NotReady before the first version of a model that answers here, ProjectFileError for a project file that
    cannot be read.
    """
    if worker.plan.elsewhere:
        return _declared(worker)
    from mainstay.attach.rules import Rules

    side = worker.handler.live(model).champion
    contract = side.loaded.contract
    return Rules(
        model=model,
        contract=contract,
        fields=frozenset(field.name for field in contract.fields),
        check=side.check,
        journal_copy=side.journal_copy,
        hasher=worker.hasher,
        early={},
        segment_mb=worker.plan.segment_mb,
    )


def contract_of(worker: Worker) -> Contract:
    """Return the contract of a project that answers elsewhere; it may be empty while it is learned."""
    return _declared(worker).contract


def _declared(worker: Worker) -> Rules:
    status = (Path(worker.plan.project) / FILE_NAME).stat()
    return _read(worker.plan.project, (status.st_mtime_ns, status.st_size), worker.subjects)


@lru_cache(maxsize=64)
def _read(project: str, stamp: tuple[int, int], subjects: Subjects) -> Rules:
    del stamp  # a changed file is read again
    from mainstay.attach.rules import read_rules

    return read_rules(Path(project), early={}, learn=0, subjects=subjects)
