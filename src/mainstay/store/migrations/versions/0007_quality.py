"""Keep what the model gave each class beside a label, and find labels by when the prediction happened."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0008"


def upgrade() -> None:
    """Labels from before have no probabilities; metrics that need them leave those out."""
    op.add_column("labels", sa.Column("probabilities", sa.Text(), nullable=False, server_default="{}"))
    op.create_index(
        op.f("ix_labels_model_bundle_occurred_at"), "labels", ["model", "bundle", "occurred_at"], unique=False
    )
