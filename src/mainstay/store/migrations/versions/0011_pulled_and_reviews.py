"""Add records pulled from declared sources, dead letters, and requests that were picked for labelling."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Make the tables; they begin empty."""
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "pulled",
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("v", sa.Integer(), nullable=False),
        sa.Column("mark", sa.Text(), nullable=False),
        sa.Column("key_hash", sa.Text(), nullable=False),
        sa.Column("inputs", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("at", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("model", "source", "id", name=op.f("pk_pulled")),
    )
    op.create_index(op.f("ix_pulled_model_at"), "pulled", ["model", "at"], unique=False)
    op.create_table(
        "dead_letters",
        sa.Column("n", number, autoincrement=True, nullable=False),
        sa.Column("v", sa.Integer(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("raw", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.String(32), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.PrimaryKeyConstraint("n", name=op.f("pk_dead_letters")),
        sa.UniqueConstraint("model", "source", "digest", name=op.f("uq_dead_letters_model_source_digest")),
    )
    op.create_index(op.f("ix_dead_letters_model_state"), "dead_letters", ["model", "state"], unique=False)
    op.create_table(
        "reviews",
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("v", sa.Integer(), nullable=False),
        sa.Column("batch", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("chance", sa.Float(), nullable=False),
        sa.Column("key_hash", sa.Text(), nullable=False),
        sa.Column("bundle", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("confidence", sa.Float(), nullable=True),
        sa.Column("occurred_at", sa.String(32), nullable=False),
        sa.Column("drawn_at", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("model", "id", name=op.f("pk_reviews")),
    )
    op.create_index(op.f("ix_reviews_model_batch"), "reviews", ["model", "batch"], unique=False)
