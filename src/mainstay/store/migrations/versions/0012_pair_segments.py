"""Keep with each pair of answers to which declared segments its request belongs."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0007"


def upgrade() -> None:
    """Pairs from before belong to none."""
    op.add_column("pairs", sa.Column("segments", sa.Text(), nullable=False, server_default="[]"))
