"""Let the newest labels be counted by version from an index alone: a page asks that of every model."""

from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """Put the index on the labels' moments in another's place that holds version and verdict too."""
    op.create_index(
        op.f("ix_labels_model_at_bundle_correct"), "labels", ["model", "at", "bundle", "correct"], unique=False
    )
    op.drop_index(op.f("ix_labels_model_at"), table_name="labels")
