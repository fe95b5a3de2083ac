"""The contract: one declaration of a project's fields, compiled elsewhere to a frame check and a request check."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

CONTRACT_VERSION = 1


class FieldType(StrEnum):
    """What a field holds."""

    TEXT = "text"
    CATEGORY = "category"
    NUMBER = "number"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    TIMESTAMP = "timestamp"
    IDENTIFIER = "identifier"


class Role(StrEnum):
    """What a field is used for."""

    FEATURE = "feature"
    SEGMENT = "segment"
    PROTECTED = "protected"
    IGNORED = "ignored"


class Policy(StrEnum):
    """What happens to a value that is not allowed."""

    REFUSE = "refuse"
    FLAG = "flag"
    """Accept it with a warning in the answer."""


class Pii(StrEnum):
    """How a personal field is kept in the journal."""

    KEEP = "keep"
    HASH = "hash"
    DROP = "drop"
    ENCRYPT = "encrypt"


class Task(StrEnum):
    """What kind of answer the model gives."""

    BINARY = "binary"
    MULTICLASS = "multiclass"
    REGRESSION = "regression"
    RANKING = "ranking"

    @property
    def is_classification(self) -> bool:
        """Return whether answers are labels with probabilities."""
        return self in (Task.BINARY, Task.MULTICLASS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One declared field."""

    name: str
    type: FieldType
    required: bool = True
    """Absent and null are the same; a field that is not required may be either."""
    min: float | None = None
    """Smallest number allowed, inclusive."""
    max: float | None = None
    """Largest number allowed, inclusive."""
    max_chars: int | None = None
    """Longest text allowed, in Unicode code points."""
    values: tuple[str, ...] = ()
    """Known categories; empty: any."""
    on_unknown: Policy = Policy.REFUSE
    """For a category outside `values`."""
    on_range: Policy = Policy.REFUSE
    """For a number outside `min` to `max`."""
    roles: tuple[Role, ...] = (Role.FEATURE,)
    bins: tuple[float, ...] = ()
    """Edges that turn a number into a segment."""
    pii: Pii = Pii.KEEP


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """All declared fields and what they are for."""

    v: int = CONTRACT_VERSION
    task: Task
    fields: tuple[Field, ...]
    target: str
    """Name of the column with the truth; never accepted in a request."""
    classes: tuple[str, ...] = ()
    """Declared classes of the target; empty for regression."""
    key: str | None = None
    """Field that names the unit of evidence (a customer, a device); None: the client address."""
    group: str | None = None
    """Of a ranking: field that names whose candidates are ordered together (a query, a session). Where no key is
    declared it is the key too: candidates of one group are never parted."""
    time: str | None = None
    """Field with the event time; None: arrival time."""

    def field(self, name: str) -> Field | None:
        """Return the field of that name, or None."""
        return next((f for f in self.fields if f.name == name), None)

    def with_role(self, role: Role) -> tuple[Field, ...]:
        """Return the fields that have `role`, in declared order."""
        return tuple(f for f in self.fields if role in f.roles)

    @property
    def features(self) -> tuple[Field, ...]:
        """Return the fields that the model may see: role feature or segment, minus the target."""
        return tuple(
            f for f in self.fields if f.name != self.target and (Role.FEATURE in f.roles or Role.SEGMENT in f.roles)
        )
