"""Add approvals, what promotions promised and kept, and answers told from elsewhere that wait for their other half."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0012"


def upgrade() -> None:
    """Make the tables; they begin empty."""
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "approvals",
        sa.Column("n", number, autoincrement=True, nullable=False),
        sa.Column("v", sa.Integer(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("n", name=op.f("pk_approvals")),
    )
    op.create_index(op.f("ix_approvals_model_version"), "approvals", ["model", "version"], unique=False)
    op.create_table(
        "promotions",
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("v", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("champion", sa.Integer(), nullable=False),
        sa.Column("at", sa.String(32), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("promised", sa.Text(), nullable=False),
        sa.Column("online", sa.Text(), nullable=False),
        sa.Column("closed_at", sa.String(32), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("final", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("model", "seq", name=op.f("pk_promotions")),
    )
    op.create_table(
        "half_pairs",
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("v", sa.Integer(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("at", sa.String(32), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("model", "version", "unit", name=op.f("pk_half_pairs")),
    )
