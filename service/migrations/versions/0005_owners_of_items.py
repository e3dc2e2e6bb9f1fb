"""Validates that each item has an owner, for items older than the replaced constraint."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Validate the constraint in a separate transaction: it reads all items, while the service reads and writes them."""
    op.execute("ALTER TABLE items VALIDATE CONSTRAINT items_owner_id_fkey")


def downgrade() -> None:
    """Do nothing: the constraint stays valid."""
