"""The one error tree.

    MainstayError
    ├── UsageError                 exit 2   a command or call was used wrongly
    ├── ProjectFileError           exit 2   mainstay.toml or model.py is wrong; carries `problems`
    ├── ContractViolation          exit 3   data or a request breaks the contract; carries `problems`
    │   └── BadData                exit 3   a data set cannot be used at all (empty, one class, a missing column)
    ├── GateFailed                 exit 4   the gate said no
    ├── NotEnoughEvidence          exit 5   nothing can be concluded yet
    ├── EnvironmentFault           exit 6   port, lock, disk, store, permissions
    │   ├── StoreUnavailable
    │   ├── JournalFull            503      the record could not be made durable
    │   ├── Damaged                         a file's digest or checksum does not hold
    │   ├── Overloaded             503      too much is waiting
    │   ├── NotReady               503      no model is live yet
    │   └── RunnerFailed           503      a bundle's runner process cannot answer now
    ├── StaleTransition            exit 6   the state moved meanwhile; read again and decide anew
    │   └── Superseded                      another process took over what this one was doing
    ├── NotFound                   exit 2   a named thing does not exist
    ├── IdReused                   409      an id came again with another body
    ├── Refused                    403      not allowed
    ├── TooLarge                   413
    ├── ModelOutputInvalid         500      a model gave NaN, infinity or the wrong shape
    └── DrillMissed                exit 7   a drill or demo did not end as it must

Text order: what happened, the value seen, what is allowed; the remedy apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, ClassVar


class ExitCode(IntEnum):
    """What a command's exit status means."""

    DONE = 0
    DEFECT = 1
    USAGE = 2
    DATA = 3
    GATE_FAILED = 4
    NOT_ENOUGH_EVIDENCE = 5
    ENVIRONMENT = 6
    DRILL_MISSED = 7
    INTERRUPTED = 130


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong, in a file, a frame or a request."""

    where: str
    """File and key, field, or column: what a person would look for."""
    what: str
    """What is wrong, in one clause."""
    value: Any = None
    """The value seen (shortened by whoever shows it)."""
    allowed: Any = None
    """What would be right."""
    nearest: str | None = None
    """The nearest known name, where a name was not known."""
    row: int | None = None
    """Row or instance, 0-based, where there are several."""

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}"
        if self.row is not None:
            text = f"row {self.row}, {text}"
        if self.value is not None:
            text += f"; seen: {shorten(self.value)}"
        if self.allowed is not None:
            text += f"; allowed: {shorten(self.allowed, 200)}"
        if self.nearest:
            text += f"; did you mean {self.nearest!r}?"
        return text


def shorten(value: object, limit: int = 80) -> str:
    """Show a value within `limit` characters."""
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


class MainstayError(Exception):
    """Something went wrong in Mainstay."""

    code: ClassVar[str] = "error"
    exit_code: ClassVar[ExitCode] = ExitCode.DEFECT
    default_remedy: ClassVar[str] = "Run the command again with --debug and read the traceback."

    def __init__(self, message: str = "", *, remedy: str = "", problems: Sequence[Problem] = ()) -> None:
        self.message = message or (type(self).__doc__ or "").strip().splitlines()[0]
        self.remedy = remedy or self.default_remedy
        self.problems = tuple(problems)
        super().__init__(self.message)


class UsageError(MainstayError):
    """The command or call was used wrongly."""

    code = "usage"
    exit_code = ExitCode.USAGE
    default_remedy = "See the command's --help."


class ProjectFileError(MainstayError):
    """The project file or the project's code is wrong."""

    code = "project_file"
    exit_code = ExitCode.USAGE
    default_remedy = "Correct mainstay.toml and run `mainstay check`."


class ContractViolation(MainstayError):
    """The data break the contract."""

    code = "contract_violation"
    exit_code = ExitCode.DATA
    default_remedy = "Correct the data, or change the contract in mainstay.toml if the contract is wrong."


class BadData(ContractViolation):
    """The data set cannot be used."""

    code = "bad_data"


class GateFailed(MainstayError):
    """The gate refused the candidate."""

    code = "gate_failed"
    exit_code = ExitCode.GATE_FAILED
    default_remedy = "Read the gate report (`mainstay gate VERSION`); mend the candidate, not the gate."


class NotEnoughEvidence(MainstayError):
    """There is not enough evidence to decide."""

    code = "not_enough_evidence"
    exit_code = ExitCode.NOT_ENOUGH_EVIDENCE
    default_remedy = "Wait for more traffic or labels, or decide by hand with a reason."


class EnvironmentFault(MainstayError):
    """The machine or the project's state is not as it must be."""

    code = "environment"
    exit_code = ExitCode.ENVIRONMENT
    default_remedy = "Mend what the message names, then run the command again; nothing was lost."


class StoreUnavailable(EnvironmentFault):
    """The store cannot be reached."""

    code = "store_unavailable"


class JournalFull(EnvironmentFault):
    """The journal cannot take the record."""

    code = "journal_full"
    default_remedy = "Free disk space; serving recovers by itself."


class Damaged(EnvironmentFault):
    """A file is not what its checksum says."""

    code = "damaged"
    default_remedy = "Restore the file, or train or promote another version."


class Overloaded(EnvironmentFault):
    """Too many requests are waiting."""

    code = "overloaded"
    default_remedy = "Send again after the time in Retry-After."


class NotReady(EnvironmentFault):
    """No model is live yet."""

    code = "not_ready"
    default_remedy = "Run `mainstay train`; the first version that passes its gate goes live."


class RunnerFailed(EnvironmentFault):
    """The process that a bundle runs in cannot answer now."""

    code = "runner_failed"
    default_remedy = "Send again; it is started anew by itself. `mainstay status` says why it ended."


class StaleTransition(MainstayError):
    """The state moved meanwhile."""

    code = "stale_transition"
    exit_code = ExitCode.ENVIRONMENT
    default_remedy = "Read the state again (`mainstay status`) and decide anew."


class Superseded(StaleTransition):
    """Another process took over what this one was doing."""

    code = "superseded"
    default_remedy = "Nothing: the other one goes on with it."


class NotFound(MainstayError):
    """There is no such thing."""

    code = "not_found"
    exit_code = ExitCode.USAGE
    default_remedy = "List what exists with `mainstay status`."


class IdReused(MainstayError):
    """The id was used before with another body."""

    code = "id_reused"
    exit_code = ExitCode.DATA
    default_remedy = "Send each new request with a new id, or leave the id out."


class Refused(MainstayError):
    """This is not allowed."""

    code = "refused"
    exit_code = ExitCode.USAGE
    default_remedy = "Use a key with the scope that the message names."


class TooLarge(MainstayError):
    """The request is larger than allowed."""

    code = "too_large"
    exit_code = ExitCode.DATA
    default_remedy = "Send fewer rows or shorter fields, or raise the limit under [serve]."


class ModelOutputInvalid(MainstayError):
    """The model's output cannot be used."""

    code = "model_output_invalid"
    default_remedy = "Roll back to the version before (`mainstay rollback`), and mend the model or its feature code."


class DrillMissed(MainstayError):
    """The drill did not end as it must."""

    code = "drill_missed"
    exit_code = ExitCode.DRILL_MISSED
    default_remedy = "Read the drill's table: the line marked 'missed' says what did not happen by its deadline."
