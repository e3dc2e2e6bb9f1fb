"""Answers by the `Idempotency-Key` of their requests."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table. An answer contains a user's data, and is deleted with the user."""
    op.execute("""
        CREATE TABLE idempotency_keys (
            caller      bigint NOT NULL,
            key         text NOT NULL,
            fingerprint bytea,
            answer      text,
            user_id     bigint,
            expires_at  timestamptz NOT NULL,
            CONSTRAINT idempotency_keys_pkey PRIMARY KEY (caller, key),
            CONSTRAINT idempotency_keys_key_length CHECK (length(key) BETWEEN 1 AND 255),
            CONSTRAINT idempotency_keys_fingerprint_length CHECK (octet_length(fingerprint) = 32),
            CONSTRAINT idempotency_keys_user_id_fkey
                FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
        )
    """)
    op.execute("CREATE INDEX idempotency_keys_expires_at_idx ON idempotency_keys (expires_at)")
    op.execute("CREATE INDEX idempotency_keys_user_id_idx ON idempotency_keys (user_id)")


def downgrade() -> None:
    """Drop the keys and their answers."""
    op.execute("DROP TABLE idempotency_keys")
