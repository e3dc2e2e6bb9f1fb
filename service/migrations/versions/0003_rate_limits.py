"""Counts for rate limits."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create an unlogged table, so that counting writes no WAL. After a crash of the server it is empty."""
    op.execute("""
        CREATE UNLOGGED TABLE rate_limits (
            key        bytea NOT NULL,
            hits       bigint NOT NULL,
            expires_at timestamptz NOT NULL,
            CONSTRAINT rate_limits_pkey PRIMARY KEY (key),
            CONSTRAINT rate_limits_key_length CHECK (octet_length(key) = 32)
        )
    """)
    op.execute("CREATE INDEX rate_limits_expires_at_idx ON rate_limits (expires_at)")


def downgrade() -> None:
    """Drop the counts."""
    op.execute("DROP TABLE rate_limits")
