"""Users, and the items that they own."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create both tables, with the constraints that the service promises."""
    op.execute("""
        CREATE TABLE users (
            id            bigint GENERATED ALWAYS AS IDENTITY,
            email         text NOT NULL,
            password_hash text NOT NULL,
            is_active     boolean NOT NULL DEFAULT true,
            CONSTRAINT users_pkey PRIMARY KEY (id),
            CONSTRAINT users_email_length CHECK (length(email) BETWEEN 3 AND 254),
            CONSTRAINT users_password_hash_length CHECK (length(password_hash) BETWEEN 1 AND 255)
        )
    """)
    op.execute("CREATE UNIQUE INDEX users_email_key ON users (lower(email))")
    op.execute("""
        CREATE TABLE items (
            id          bigint GENERATED ALWAYS AS IDENTITY,
            title       text NOT NULL,
            description text,
            owner_id    bigint NOT NULL,
            CONSTRAINT items_pkey PRIMARY KEY (id),
            CONSTRAINT items_title_length CHECK (length(title) BETWEEN 1 AND 200),
            CONSTRAINT items_description_length CHECK (length(description) <= 10000),
            CONSTRAINT items_owner_id_fkey FOREIGN KEY (owner_id) REFERENCES users (id)
        )
    """)
    op.execute("CREATE INDEX items_owner_id_idx ON items (owner_id, id)")


def downgrade() -> None:
    """Drop both tables with their rows."""
    op.execute("DROP TABLE items")
    op.execute("DROP TABLE users")
