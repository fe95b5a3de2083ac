"""What is told about a model, as plain records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from mainstay.core import releases, verdicts
from mainstay.core.incidents import Incident
from mainstay.core.silences import Silence


class Health(StrEnum):
    """The verdict over a model, in one word."""

    WELL = "well"
    WATCH = "watch"
    """Look at it today: something small, or something that waits for a person."""
    UNWELL = "unwell"
    """It does harm now."""
    UNKNOWN = "unknown"
    """Nothing can be said, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The verdict with its reason."""

    health: Health
    since: datetime | None
    """Since when it is so; None where that is not known."""
    why: str
    """One sentence."""
    next_step: str = ""
    """What to do now, or empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A share with its interval."""

    value: float
    low: float | None = None
    high: float | None = None
    n: int = 0
    """Rows or labels behind it."""
    note: str = ""
    """What it rests on, as a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """How often answers are right (of a ranking: how near the best order, NDCG): promised, estimated, and known."""

    held_out: Estimate | None = None
    """On the frozen test rows, before the release."""
    estimated: Estimate | None = None
    """On recent traffic, without labels."""
    real: Estimate | None = None
    """On the labels that came for this version's answers."""
    unknown: str = ""
    """What cannot be known at the moment, and what would tell."""
    detectable: str = ""
    """What the watch could see now, and how soon; empty before there is traffic enough to tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockLine:
    """One block of traffic."""

    first_at: datetime
    last_at: datetime
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What came in lately."""

    rows: int = 0
    """Rows in `blocks`."""
    repeats: int = 0
    """Requests beside them whose id another host had answered too: counted once."""
    failed: int = 0
    """Of the rows, those that a fallback answered as the model could not, or nobody."""
    refused: int = 0
    """Of the rows, those that break the contract."""
    last_at: datetime | None = None
    """Event time of the newest row seen by the watch."""
    blocks: tuple[BlockLine, ...] = ()
    """Newest last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How one objective stands."""

    name: str
    """`availability` or `latency`."""
    what: str
    """What a bad call does, e.g. `fail`."""
    objective: float
    """Share of calls that are to be good (0 to 1)."""
    days: float
    """Over how long it is counted (days)."""
    calls: int
    bad: int
    left: float
    """Of the budget (1: all of it; below 0: overspent)."""
    burn: float
    """In the last hour: how many times as fast as it may it burns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answering:
    """Who answers."""

    name: str
    """`model@version`."""
    version: int
    since: datetime
    why: str
    share: float = 1.0
    """Part of the keys it answers."""
    previous: str = ""
    """The version that the way back leads to, or empty."""
    runtime: str = ""
    """What computes the answers: compiled, or the library that fitted the model; empty where it is not known."""
    runtime_why: str = ""
    """In a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """A version on its way."""

    name: str
    version: int
    stage: releases.Stage
    since: datetime
    share: float = 0.0
    """Part of the keys it answers now."""
    reason: str = ""
    trigger: str = ""
    checks: tuple[verdicts.Check, ...] = ()
    """The guards as judged last; empty before the first judgement."""
    missing: str = ""
    """What it waits for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseLine:
    """One version in the history."""

    version: int
    stage: releases.Stage
    since: datetime
    created_at: datetime
    pipeline: str = ""
    trigger: str = ""
    reason: str = ""
    metric: str = ""
    """Name of the primary metric, or empty."""
    value: float | None = None
    """It, on the held-out rows."""
    online: str = ""
    """Of a version that was learned online: from which version it went on, and how much it learned since."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """A sign of life of one process."""

    name: str
    at: datetime | None
    """The last sign; None where only its end is known."""
    alive: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Learning:
    """How far a service's first requests have become what its traffic is compared with."""

    seen: int
    needed: int
    since: datetime
    failed: str = ""
    """Why it cannot go on, or empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceProcess:
    """One process of a service that answers elsewhere, as it last told of itself on this host."""

    worker: str
    """Its name in the journal."""
    pid: int
    at: datetime
    alive: bool
    counts: Mapping[str, int]
    """written, dropped, skipped, and each reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerProcess:
    """One process that a bundle outside its worker runs in, as the worker last told of it."""

    worker: str
    bundle: str
    seat: str
    """`answers`, or `beside`: scores in shadow and takes the first one's place when that ends."""
    state: str
    """`ready`, `starting`, `none`, or `left alone` because it ended too often."""
    pid: int | None
    rss_mb: float
    ends: Mapping[str, int]
    """How often it ended, by why: crash, hang, memory, garbage, load."""
    last_end: str
    """What happened the last time, or empty."""
    python: str
    """The interpreter."""
    differences: tuple[str, ...] = ()
    """Packages there whose version is not the one that trained."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """The journal: what it holds, how it grows, what was deleted by policy."""

    at: datetime
    """When the loop last looked."""
    bytes: int
    records: int
    """In sealed segments."""
    oldest: date | None
    """Day of the oldest sealed record."""
    keep_days: float | None
    max_gb: float | None
    bytes_per_day: float | None
    """None until ten minutes of traffic were seen."""
    full_in_days: float | None
    """At this pace, without a policy by size; None where it is not known or does not grow."""
    held_back: int
    """Segments that the policy would delete and that a reader has still to read."""
    deleted_records: int
    deleted_bytes: int
    deleted_at: datetime | None
    deleted_to: date | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reward:
    """The mean of one reward of one version and arm, in the last four weeks."""

    name: str
    bundle: str
    arm: str
    """Who gave the answers, or empty where a service elsewhere did."""
    rows: int
    mean: float
    low: float | None
    """Of the interval, which holds at whatever moment one looks; None while too few keys told anything."""
    high: float | None
    floor: float | None
    """As declared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CostLine:
    """What one version used and cost."""

    bundle: str
    rows: int
    """Computed: answered, and scored in shadow."""
    cpu_s: float
    memory_gb_h: float
    gpu_s: float
    source_calls: float
    """Calls of the sources in [cost.sources] that its rows made, as declared."""
    cpu: float
    """What the processor time costs; the following likewise."""
    memory: float
    gpu: float
    sources: float
    total: float
    per_1000_rows: float | None
    """None without rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CostReport:
    """What a model used and cost."""

    days: float
    currency: str
    priced: bool
    """Whether any price is declared."""
    lines: tuple[CostLine, ...]
    """By version, the newest first."""
    total: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Watching:
    """Whether the watch itself can be believed."""

    believable: bool
    """Whether its loop turns and its last probe raised the alarm that it must raise and no other."""
    why_not: str
    turn_at: datetime | None
    """When the loop last finished a turn."""
    probe_at: datetime | None
    """When the watch last tried itself."""
    probe_passed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Everything that is told about one model."""

    model: str
    at: datetime
    """When this was read."""
    summary: Summary
    answering: Answering | None = None
    quality: Quality = Quality()
    traffic: Traffic = Traffic()
    budgets: tuple[Budget, ...] = ()
    """Of what [serve.slo] promises."""
    incidents: tuple[Incident, ...] = ()
    """Open ones, worst first."""
    silences: tuple[Silence, ...] = ()
    """In force: what they cover is found and written as ever, and alerts nobody."""
    recent_incidents: tuple[Incident, ...] = ()
    """Those that are over (mitigated or resolved), newest first."""
    rollout: Rollout | None = None
    releases: tuple[ReleaseLine, ...] = ()
    """Newest first."""
    beats: tuple[Beat, ...] = ()
    elsewhere: bool = False
    """Whether a service of its own answers."""
    learning: Learning | None = None
    """While there is nothing yet to compare its traffic with."""
    service: tuple[ServiceProcess, ...] = ()
    """Its processes on this host."""
    runners: tuple[RunnerProcess, ...] = ()
    """Processes of bundles that run outside their worker, on this machine."""
    journal: Held | None = None
    """None until the loop has looked."""
    watching: Watching | None = None
    rewards: tuple[Reward, ...] = ()
    cost: CostReport | None = None
    """Of the last 30 days."""
    selective: str = ""
    """That labels seem to exist only for what the model chose, in a sentence with the remedy; or empty."""
