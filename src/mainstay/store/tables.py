"""The tables as the code sees them; migrations/ makes them, and a test holds both equal."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from mainstay.store.columns import BIG_ID, Json, Moment

ROW_VERSION = 1
"""Schema version that each row carries in `v`."""

METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _v() -> Column[int]:
    return Column("v", Integer, nullable=False, default=ROW_VERSION)


def _key(name: str) -> Column[str]:
    return Column(name, Text, primary_key=True)


def _text(name: str) -> Column[str]:
    return Column(name, Text, nullable=False, default="")


def _whole(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False)


def _at(name: str) -> Column[Any]:
    return Column(name, Moment, nullable=False)


def _json(name: str) -> Column[Any]:
    return Column(name, Json, nullable=False)


releases = Table(
    "releases",
    METADATA,
    _key("model"),
    Column("version", Integer, primary_key=True, autoincrement=False),
    _v(),
    _text("digest"),
    Column("stage", String(20), nullable=False),
    Column("step", Integer, nullable=False),
    _at("since"),
    _at("created_at"),
    _text("pipeline"),
    _text("snapshot"),
    _text("git_commit"),
    _text("run_id"),
    _text("salt"),
    _text("reason"),
    _text("origin"),
    _json("facts"),
)

release_events = Table(
    "release_events",
    METADATA,
    _key("model"),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    _v(),
    Column("version", Integer, nullable=False),
    _at("at"),
    _text("from_stage"),
    _text("to_stage"),
    Column("step", Integer, nullable=False),
    _text("actor"),
    _text("reason"),
    _json("evidence"),
    _text("previous_hash"),
    _text("hash"),
    ForeignKeyConstraint(["model", "version"], ["releases.model", "releases.version"]),
)

routes = Table("routes", METADATA, _key("model"), _v(), _whole("epoch"), _json("document"), _at("updated_at"))

route_history = Table(
    "route_history",
    METADATA,
    _key("model"),
    Column("epoch", BigInteger, primary_key=True, autoincrement=False),
    _v(),
    _at("at"),
    _text("actor"),
    _text("reason"),
    _json("document"),
)

feedback = Table(
    "feedback",
    METADATA,
    _key("model"),
    _key("feedback_id"),
    _v(),
    _text("id"),
    _text("kind"),
    _text("name"),
    _json("value"),
    _at("at"),
    _text("given_by"),
    Column("supersedes", Text),
    _at("received_at"),
    Column("matched", Boolean, nullable=False),
    Column("misses", Integer, nullable=False),
    Index(None, "model", "matched", "misses", "received_at"),
    Index(None, "model", "id"),
)

labels = Table(
    "labels",
    METADATA,
    _key("model"),
    _key("id"),
    _key("name"),
    _v(),
    _json("value"),
    _at("at"),
    _text("feedback_id"),
    _text("bundle"),
    _text("served_arm"),
    _text("key_hash"),
    _text("unit"),
    _at("occurred_at"),
    _json("label"),
    Column("confidence", Float),
    _json("inputs"),
    Column("correct", Boolean),
    Column("probabilities", Json, nullable=False, default=dict, server_default="{}"),
    Column("explored", Json, nullable=False, default=dict, server_default="{}"),
    Index(None, "model", "at", "bundle", "correct"),
    Index(None, "model", "bundle", "occurred_at"),
)

cursors = Table("cursors", METADATA, _key("consumer"), _key("worker"), _v(), _whole("seq"))

blocks = Table(
    "blocks",
    METADATA,
    _key("model"),
    _key("bundle"),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    _v(),
    _at("first_at"),
    _at("last_at"),
    _whole("rows"),
    _whole("keys"),
    _json("summary"),
    Index(None, "model", "last_at"),
)

states = Table("states", METADATA, _key("name"), _v(), _whole("version"), _json("value"))

incidents = Table(
    "incidents",
    METADATA,
    Column("id", BIG_ID, primary_key=True, autoincrement=True),
    _v(),
    _text("model"),
    _text("bundle"),
    _text("harm"),
    _text("severity"),
    Column("state", String(20), nullable=False),
    _at("opened_at"),
    _at("started_at"),
    _whole("rows_to_detect"),
    _text("title"),
    _json("story"),
    _json("findings"),
    _json("facts"),
    Index(None, "model", "state"),
)

incident_events = Table(
    "incident_events",
    METADATA,
    Column("n", BIG_ID, primary_key=True, autoincrement=True),
    _v(),
    Column("incident", BIG_ID, ForeignKey("incidents.id"), nullable=False),
    _at("at"),
    _text("from_state"),
    _text("to_state"),
    _text("actor"),
    _text("note"),
    Index(None, "incident"),
)

silences = Table(
    "silences",
    METADATA,
    Column("id", BIG_ID, primary_key=True, autoincrement=True),
    _v(),
    _text("model"),
    _text("monitor"),
    _at("starts_at"),
    _at("until"),
    _text("reason"),
    _text("actor"),
    Column("ended_at", Moment),
    _text("ended_by"),
    Index(None, "model", "until"),
)

incident_marks = Table(
    "incident_marks",
    METADATA,
    Column("n", BIG_ID, primary_key=True, autoincrement=True),
    _v(),
    Column("incident", BIG_ID, ForeignKey("incidents.id"), nullable=False),
    _text("model"),
    _text("monitor"),
    Column("useful", Boolean, nullable=False),
    _text("actor"),
    _text("note"),
    _at("at"),
    Index(None, "model", "incident"),
)

pairs = Table(
    "pairs",
    METADATA,
    Column("n", BIG_ID, primary_key=True, autoincrement=True),
    _v(),
    _text("model"),
    Column("version", Integer, nullable=False),
    _text("unit"),
    _text("id"),
    _text("key_hash"),
    _text("arm"),
    _at("occurred_at"),
    _json("champion_label"),
    _json("challenger_label"),
    Column("champion_confidence", Float),
    Column("challenger_confidence", Float),
    _text("champion_trust"),
    _text("challenger_trust"),
    Column("champion_failed", Boolean, nullable=False),
    Column("challenger_failed", Boolean, nullable=False),
    _whole("champion_latency_us"),
    _whole("challenger_latency_us"),
    _json("label"),
    Column("step", Integer, nullable=False),
    Column("segments", Json, nullable=False, server_default="[]"),
    UniqueConstraint("model", "version", "unit"),
    Index(None, "model", "id"),
)

jobs = Table(
    "jobs",
    METADATA,
    Column("id", BIG_ID, primary_key=True, autoincrement=True),
    _v(),
    _text("model"),
    _text("kind"),
    _text("dedupe"),
    _json("payload"),
    Column("state", String(20), nullable=False),
    _text("owner"),
    Column("due_at", Moment, nullable=False),
    Column("attempts", Integer, nullable=False),
    _at("created_at"),
    _at("updated_at"),
    _json("result"),
    _text("error"),
    UniqueConstraint("model", "kind", "dedupe"),
    Index(None, "state", "due_at"),
)

alerts = Table(
    "alerts",
    METADATA,
    _key("alert_id"),
    _key("address"),
    _v(),
    _text("title"),
    _text("body"),
    _text("severity"),
    _at("created_at"),
    _at("due_at"),
    Column("sent_at", Moment),
    Column("attempts", Integer, nullable=False),
    _text("error"),
    Index(None, "sent_at", "due_at"),
)

leases = Table(
    "leases",
    METADATA,
    _key("name"),
    _v(),
    _text("owner"),
    _whole("token"),
    _at("until"),
)

audit = Table(
    "audit",
    METADATA,
    Column("n", BIG_ID, primary_key=True, autoincrement=True),
    _v(),
    _at("at"),
    _text("who"),
    _text("what"),
    _text("subject"),
    _json("detail"),
    Column("previous_hash", Text, nullable=False, default="", server_default=""),
    Column("hash", Text, nullable=False, default="", server_default=""),
)

heartbeats = Table("heartbeats", METADATA, _key("name"), _v(), _at("at"), _json("detail"))

call_counts = Table(
    "call_counts",
    METADATA,
    _key("model"),
    _key("source"),
    Column("at", Moment, primary_key=True),
    _v(),
    _whole("calls"),
    _whole("failed"),
    _whole("slow"),
    _json("reasons"),
    Index(None, "model", "at"),
)

feeds = Table(
    "feeds", METADATA, _key("model"), _key("feed"), Column("day", Moment, primary_key=True), _v(), _json("counts")
)

reward_sums = Table(
    "reward_sums",
    METADATA,
    _key("model"),
    _key("name"),
    _key("bundle"),
    _key("arm"),
    Column("at", Moment, primary_key=True),
    Column("bucket", Integer, primary_key=True, autoincrement=False),
    _v(),
    _whole("rows"),
    Column("total", Float, nullable=False),
    Column("square", Float, nullable=False),
    Index(None, "model", "at"),
)

usage = Table(
    "usage",
    METADATA,
    _key("model"),
    _key("source"),
    _key("bundle"),
    Column("at", Moment, primary_key=True),
    _v(),
    _whole("rows"),
    Column("cpu_s", Float, nullable=False),
    Column("memory_gb_s", Float, nullable=False),
    Column("gpu_s", Float, nullable=False),
    Index(None, "model", "at"),
)

pulses = Table(
    "pulses",
    METADATA,
    _key("model"),
    _key("source"),
    Column("at", Moment, primary_key=True),
    _v(),
    _whole("calls"),
    _json("latency"),
    _json("memory"),
    Index(None, "model", "at"),
)

approvals = Table(
    "approvals",
    METADATA,
    Column("n", BIG_ID, primary_key=True, autoincrement=True),
    _v(),
    _text("model"),
    Column("version", Integer, nullable=False),
    _text("what"),
    _text("digest"),
    _text("actor"),
    _text("reason"),
    _at("at"),
    Index(None, "model", "version"),
)

promotions = Table(
    "promotions",
    METADATA,
    _key("model"),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    _v(),
    Column("version", Integer, nullable=False),
    Column("champion", Integer, nullable=False),
    _at("at"),
    _text("actor"),
    _json("promised"),
    _json("online"),
    Column("closed_at", Moment),
    _text("outcome"),
    _json("final"),
    _text("digest"),
)

half_pairs = Table(
    "half_pairs",
    METADATA,
    _key("model"),
    Column("version", Integer, primary_key=True, autoincrement=False),
    _key("unit"),
    _v(),
    _text("side"),
    _at("at"),
    _json("answer"),
)

pulled = Table(
    "pulled",
    METADATA,
    _key("model"),
    _key("source"),
    _key("id"),
    _v(),
    _text("mark"),
    _text("key_hash"),
    _json("inputs"),
    _json("value"),
    Column("deleted", Boolean, nullable=False),
    _at("at"),
    Index(None, "model", "at"),
)

pulled_before = Table(
    "pulled_before",
    METADATA,
    Column("n", BIG_ID, primary_key=True, autoincrement=True),
    _v(),
    _text("model"),
    _text("source"),
    _text("id"),
    _text("mark"),
    _text("key_hash"),
    _json("inputs"),
    _json("value"),
    _at("at"),
    _at("until"),
    Index(None, "model", "until"),
)

dead_letters = Table(
    "dead_letters",
    METADATA,
    Column("n", BIG_ID, primary_key=True, autoincrement=True),
    _v(),
    _text("model"),
    _text("source"),
    _text("digest"),
    _text("raw"),
    _text("reason"),
    _at("at"),
    Column("state", String(20), nullable=False),
    UniqueConstraint("model", "source", "digest"),
    Index(None, "model", "state"),
)

reviews = Table(
    "reviews",
    METADATA,
    _key("model"),
    _key("id"),
    _v(),
    Column("batch", Integer, nullable=False),
    _text("reason"),
    Column("chance", Float, nullable=False),
    _text("key_hash"),
    _text("bundle"),
    _json("label"),
    Column("confidence", Float),
    _at("occurred_at"),
    _at("drawn_at"),
    Index(None, "model", "batch"),
)

review_marks = Table(
    "review_marks",
    METADATA,
    _key("model"),
    _key("id"),
    _key("given_by"),
    _v(),
    Column("kind", String(20), nullable=False),
    _at("at"),
)

online_states = Table(
    "online_states",
    METADATA,
    _key("model"),
    Column("n", Integer, primary_key=True, autoincrement=False),
    _v(),
    Column("parent", Integer),
    Column("base", Integer, nullable=False),
    _text("base_digest"),
    _text("digest"),
    _text("rows"),
    Column("learned", Integer, nullable=False),
    _json("passed_over"),
    Column("mark", Moment),
    _json("score"),
    _text("why"),
    _at("at"),
)

online_seen = Table(
    "online_seen",
    METADATA,
    _key("model"),
    _key("id"),
    Column("state", Integer, primary_key=True, autoincrement=False),
    _v(),
    Column("fate", String(20), nullable=False),
    _json("value"),
    _text("key_hash"),
    _text("unit"),
    _at("occurred_at"),
    Index(None, "model", "state"),
)
