"""That each item has an owner, checked for the items that were there before the constraint was made anew."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Validate the constraint, in a transaction of its own: it reads all items, while the service reads and writes them."""
    op.execute("ALTER TABLE items VALIDATE CONSTRAINT items_owner_id_fkey")


def downgrade() -> None:
    """Nothing: what is valid stays so."""
