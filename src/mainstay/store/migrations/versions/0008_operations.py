"""Add what conditions of operation are judged by: feeds, rewards, usage, pulses."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0009"


def upgrade() -> None:
    """Make the tables; they begin empty."""
    op.create_table(
        "feeds",
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("feed", sa.Text(), nullable=False),
        sa.Column("day", sa.String(32), nullable=False),
        sa.Column("v", sa.Integer(), nullable=False),
        sa.Column("counts", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("model", "feed", "day", name=op.f("pk_feeds")),
    )
    op.create_table(
        "reward_sums",
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("bundle", sa.Text(), nullable=False),
        sa.Column("arm", sa.Text(), nullable=False),
        sa.Column("at", sa.String(32), nullable=False),
        sa.Column("bucket", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("v", sa.Integer(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("total", sa.Float(), nullable=False),
        sa.Column("square", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("model", "name", "bundle", "arm", "at", "bucket", name=op.f("pk_reward_sums")),
    )
    op.create_index(op.f("ix_reward_sums_model_at"), "reward_sums", ["model", "at"], unique=False)
    op.create_table(
        "usage",
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("bundle", sa.Text(), nullable=False),
        sa.Column("at", sa.String(32), nullable=False),
        sa.Column("v", sa.Integer(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("cpu_s", sa.Float(), nullable=False),
        sa.Column("memory_gb_s", sa.Float(), nullable=False),
        sa.Column("gpu_s", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("model", "source", "bundle", "at", name=op.f("pk_usage")),
    )
    op.create_index(op.f("ix_usage_model_at"), "usage", ["model", "at"], unique=False)
    op.create_table(
        "pulses",
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("at", sa.String(32), nullable=False),
        sa.Column("v", sa.Integer(), nullable=False),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.Column("latency", sa.Text(), nullable=False),
        sa.Column("memory", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("model", "source", "at", name=op.f("pk_pulses")),
    )
    op.create_index(op.f("ix_pulses_model_at"), "pulses", ["model", "at"], unique=False)
