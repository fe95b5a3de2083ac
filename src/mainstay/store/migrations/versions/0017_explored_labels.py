"""Add to a label how the answer was given that could have been drawn at random."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0015"


def upgrade() -> None:
    """Add the column; labels of before were of answers that were not drawn."""
    op.add_column("labels", sa.Column("explored", sa.Text(), nullable=False, server_default="{}"))
