"""Admins, and the version of a user's tokens, which ends them. Deleting a user deletes its items."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns for access to users, and delete items with their owner."""
    op.execute("""
        ALTER TABLE users
            ADD COLUMN is_admin boolean NOT NULL DEFAULT false,
            ADD COLUMN token_version integer NOT NULL DEFAULT 0
    """)
    _owner("ON DELETE CASCADE")


def downgrade() -> None:
    """Drop both columns: no user is an admin then."""
    _owner("")
    op.execute("ALTER TABLE users DROP COLUMN token_version, DROP COLUMN is_admin")


def _owner(on_delete: str) -> None:
    """Replace the constraint without validating it: reading all items under this lock would stop the service. 0005 validates."""
    op.execute(f"""
        ALTER TABLE items
            DROP CONSTRAINT items_owner_id_fkey,
            ADD CONSTRAINT items_owner_id_fkey FOREIGN KEY (owner_id) REFERENCES users (id) {on_delete} NOT VALID
    """)
