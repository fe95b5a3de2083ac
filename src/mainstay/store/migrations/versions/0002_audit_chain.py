"""Chain the audit, and drop the API keys: they lie in a file that workers read without the store."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Entries from before stay as they are, outside the chain, which begins after them."""
    op.add_column("audit", sa.Column("previous_hash", sa.Text(), nullable=False, server_default=""))
    op.add_column("audit", sa.Column("hash", sa.Text(), nullable=False, server_default=""))
    op.drop_table("api_keys")
