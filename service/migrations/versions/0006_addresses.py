"""One key for all spellings of an e-mail address, and an index on admins.

The key of an ASCII address is the address with A to Z in lower case, which PostgreSQL derives. Other addresses have their key
in `email_key`, made by `service.auth.addresses.address_key`: PostgreSQL's `lower()` depends on the locale, and differs from it.
So this revision rewrites only rows with addresses that are not ASCII.

While the previous version still runs on this schema, it reads all users and writes ASCII addresses.
`users_email_key_present` refuses other addresses that it writes; only a change from one non-ASCII address to another passes,
and leaves the old key. Its sign-ins read the whole table, as their index is gone.
"""

import sqlalchemy as sa
from alembic import context, op

from service.auth.addresses import address_key
from service.migrations import MigrationError

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

ASCII = r"email ~ '^[\x21-\x7E]+$'"
"""Without spaces, which are not part of an address."""
KEY_BEFORE = "lower(email)"
KEY = """coalesce(email_key, lower(email COLLATE "C"))"""

REFUSE_OTHERS = f"""
    DO $$ BEGIN
        IF EXISTS (SELECT FROM users WHERE NOT {ASCII}) THEN
            RAISE EXCEPTION 'users has e-mail addresses that are not ASCII, whose keys SQL cannot make'
                USING HINT = 'Run "poolkeeper migrate" instead of this script';
        END IF;
    END $$
"""
GET_OTHERS = sa.text(f"SELECT id, email FROM users WHERE id > :after AND NOT {ASCII} ORDER BY id LIMIT 10000")  # noqa: S608
SET_KEYS = sa.text("""
    UPDATE users SET email_key = keys.email_key
    FROM unnest(CAST(:ids AS bigint[]), CAST(:keys AS text[])) AS keys (id, email_key)
    WHERE users.id = keys.id
""")
GET_COLLISIONS = """
    SELECT string_agg(id || ' (' || email || ')', ', ' ORDER BY id)
    FROM users
    GROUP BY {key}
    HAVING count(*) > 1
    ORDER BY min(id)
"""
_NAMED = 50
"""The most collisions that are named."""


def upgrade() -> None:
    """Add the column, fill it if PostgreSQL cannot derive the key, and create the index on the key."""
    op.execute("ALTER TABLE users ADD COLUMN email_key text")
    if context.is_offline_mode():
        op.execute(REFUSE_OTHERS)
    else:
        _fill(op.get_bind())
        _refuse_collisions(KEY)
    op.execute(f"ALTER TABLE users ADD CONSTRAINT users_email_key_present CHECK (email_key IS NOT NULL OR {ASCII})")
    op.execute("DROP INDEX users_email_key")
    op.execute(f"CREATE UNIQUE INDEX users_email_key ON users ({KEY})")
    op.execute("CREATE INDEX users_active_admins_idx ON users (id) WHERE is_admin AND is_active")


def downgrade() -> None:
    """Drop the keys; addresses stay. Refused if two addresses are the same to PostgreSQL's `lower()`."""
    if not context.is_offline_mode():
        _refuse_collisions(KEY_BEFORE)
    op.execute("DROP INDEX users_active_admins_idx")
    op.execute("DROP INDEX users_email_key")
    op.execute("ALTER TABLE users DROP COLUMN email_key")
    op.execute(f"CREATE UNIQUE INDEX users_email_key ON users ({KEY_BEFORE})")


def _fill(connection: sa.Connection) -> None:
    after = 0
    while rows := connection.execute(GET_OTHERS, {"after": after}).all():
        keys = {"ids": [row.id for row in rows], "keys": [address_key(row.email) for row in rows]}
        connection.execute(SET_KEYS, keys)
        after = rows[-1].id


def _refuse_collisions(key: str) -> None:
    collisions = list(op.get_bind().execute(sa.text(GET_COLLISIONS.format(key=key))).scalars())
    if collisions:
        more = f"\nand {len(collisions) - _NAMED} more" if len(collisions) > _NAMED else ""
        raise MigrationError(
            "nothing was changed: these users have one e-mail address in different spellings, and each address may have "
            "one user. Change the address of all but one of each line, or delete them, then migrate again:\nusers "
            + "\nusers ".join(collisions[:_NAMED])
            + more
        )
