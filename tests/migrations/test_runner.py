"""Migrations: once, up, down and up again, on a real database."""

import asyncio

import asyncpg
import pytest
from alembic.script import ScriptDirectory

from service.migrations import HEAD, DatabaseAbsent, MigrationError, runner
from service.migrations.turn import Connect

SCHEMA = """
    SELECT 'column' AS kind, table_name || '.' || column_name AS name,
           data_type || ' ' || is_nullable || ' ' || coalesce(column_default, '') || is_identity AS definition
    FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'alembic_version'
    UNION ALL
    SELECT 'constraint', conrelid::regclass || '.' || conname, pg_get_constraintdef(oid)
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND conrelid <> 'alembic_version'::regclass
    UNION ALL
    SELECT 'index', indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'alembic_version'
    ORDER BY 1, 2
"""


@pytest.fixture
def connect(empty_dsn: str) -> Connect:
    """Connects to an empty database."""
    return lambda: asyncpg.connect(empty_dsn)


async def _fetch(connect: Connect, sql: str) -> list[asyncpg.Record]:
    connection = await connect()
    try:
        return await connection.fetch(sql)
    finally:
        await connection.close()


async def test_up_down_and_up_again_gives_the_same_schema(connect: Connect) -> None:
    """Down leaves nothing behind, and the second way up ends where the first did."""
    assert await runner.current(connect) is None
    await runner.migrate(connect)
    assert await runner.current(connect) == HEAD
    first = await _fetch(connect, SCHEMA)
    assert len(first) > 10
    await runner.migrate(connect, "base")
    assert await runner.current(connect) is None
    assert await _fetch(connect, SCHEMA) == []
    await runner.migrate(connect)
    assert await _fetch(connect, SCHEMA) == first


async def test_four_processes_at_once_migrate_once(connect: Connect) -> None:
    """They wait for one another, and each finds the schema at its head."""
    await asyncio.gather(*(runner.migrate(connect) for _ in range(4)))
    assert await runner.current(connect) == HEAD
    assert [row["version_num"] for row in await _fetch(connect, "SELECT * FROM alembic_version")] == [HEAD]


async def test_migrating_what_is_up_to_date_changes_nothing(connect: Connect) -> None:
    """A second run is a no-op."""
    await runner.migrate(connect)
    await runner.migrate(connect)
    assert await runner.current(connect) == HEAD


async def test_an_unknown_revision_is_refused(connect: Connect) -> None:
    """The message names it."""
    await runner.migrate(connect)
    with pytest.raises(MigrationError, match="'9999'"):
        await runner.migrate(connect, "9999")
    with pytest.raises(MigrationError, match="'9999'"):
        runner.sql("9999")


@pytest.mark.parametrize("to", ["", "-1"])
async def test_a_step_that_leads_nowhere_is_one_message(connect: Connect, to: str) -> None:
    """No traceback of Alembic: for an empty variable in a script, and for one step down from nothing."""
    with pytest.raises(MigrationError, match=f"cannot migrate to '{to}': "):
        await runner.migrate(connect, to)


async def test_no_revision_reads_all_items_while_it_locks_them_out(connect: Connect) -> None:
    """The constraint on owners is made anew without a look at the items that are there; a later revision has that look."""
    valid = "SELECT convalidated FROM pg_constraint WHERE conname = 'items_owner_id_fkey'"
    await runner.migrate(connect, "0001")
    await runner.migrate(connect, "0002")
    assert [row[0] for row in await _fetch(connect, valid)] == [False]
    await runner.migrate(connect)
    assert [row[0] for row in await _fetch(connect, valid)] == [True]


async def test_a_failing_migration_is_rolled_back_and_explained(connect: Connect) -> None:
    """A table that is in the way stays as it is, and no half of a revision is left."""
    connection = await connect()
    await connection.execute("CREATE TABLE items (mine int)")
    await connection.close()
    with pytest.raises(MigrationError, match=r'relation "items" already exists'):
        await runner.migrate(connect)
    assert await runner.current(connect) is None
    assert [row["gone"] for row in await _fetch(connect, "SELECT to_regclass('users') IS NULL AS gone")] == [True]


async def test_a_migration_does_not_wait_for_ever_for_a_lock(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gives up after its lock timeout, so that it does not queue up the service behind it."""
    monkeypatch.setattr(runner, "_LOCK_TIMEOUT", "100ms")
    await runner.migrate(connect)
    busy = await connect()
    async with busy.transaction():
        await busy.execute("LOCK TABLE items IN ACCESS SHARE MODE")
        with pytest.raises(MigrationError, match="lock timeout"):
            await runner.migrate(connect, "base")
    await busy.close()
    assert await runner.current(connect) == "0002", "the revision that changed the table is still in force"


async def test_a_server_that_is_not_there_is_said() -> None:
    """A message, not a traceback of the driver."""

    async def nowhere() -> "asyncpg.Connection[asyncpg.Record]":
        raise ConnectionRefusedError("refused")

    with pytest.raises(DatabaseAbsent, match="cannot connect"):
        await runner.migrate(nowhere)


async def test_a_server_that_refuses_is_not_absent() -> None:
    """A wrong password does not get right by waiting."""

    async def refused() -> "asyncpg.Connection[asyncpg.Record]":
        raise asyncpg.InvalidPasswordError("password authentication failed")

    with pytest.raises(MigrationError, match="cannot connect") as caught:
        await runner.migrate(refused)
    assert not isinstance(caught.value, DatabaseAbsent)


async def test_a_role_without_the_privilege_is_told(clone_dsn: str) -> None:
    """A message, not a traceback of the driver."""
    owner = await asyncpg.connect(clone_dsn)
    await owner.execute("DROP ROLE IF EXISTS nobody_special; CREATE ROLE nobody_special LOGIN")
    with pytest.raises(MigrationError, match="permission denied for table alembic_version"):
        await runner.current(lambda: asyncpg.connect(clone_dsn.replace("postgres:@", "nobody_special@")))
    with pytest.raises(MigrationError, match="permission denied for table alembic_version"):
        await runner.migrate(lambda: asyncpg.connect(clone_dsn.replace("postgres:@", "nobody_special@")))
    await owner.execute("DROP ROLE nobody_special")
    await owner.close()


async def test_the_printed_sql_makes_the_same_schema(connect: Connect, clone_dsn: str) -> None:
    """`--sql` is what a database administrator would run by hand."""
    connection = await connect()
    await connection.execute(runner.sql())
    await connection.close()
    assert await _fetch(connect, SCHEMA) == await _fetch(lambda: asyncpg.connect(clone_dsn), SCHEMA)
    assert await runner.current(connect) == HEAD


def test_head_is_alembics_head() -> None:
    """The code's idea of the newest revision, read from file names, is Alembic's."""
    import io

    scripts = ScriptDirectory.from_config(runner._config(io.StringIO()))
    assert scripts.get_heads() == [HEAD]
    for script in scripts.walk_revisions():
        assert script.path.split("/")[-1].startswith(f"{script.revision}_")


@pytest.mark.parametrize(
    ("statement", "constraint"),
    [
        ("INSERT INTO users (email, password_hash) VALUES ('A@b.c', 'x'), ('a@B.C', 'x')", "users_email_key"),
        ("INSERT INTO users (email, password_hash) VALUES (repeat('a', 255), 'x')", "users_email_length"),
        ("INSERT INTO users (email, password_hash) VALUES ('a@b.c', '')", "users_password_hash_length"),
        ("INSERT INTO items (title, owner_id) VALUES ('a', 1)", "items_owner_id_fkey"),
        ("INSERT INTO items (title, owner_id) VALUES ('', 1)", "items_title_length"),
        (
            "INSERT INTO items (title, description, owner_id) VALUES ('a', repeat('a', 10001), 1)",
            "items_description_length",
        ),
    ],
)
async def test_the_tables_hold_what_the_service_promises(clone_dsn: str, statement: str, constraint: str) -> None:
    """Whoever writes around the service meets a constraint with a name."""
    connection = await asyncpg.connect(clone_dsn)
    with pytest.raises(asyncpg.IntegrityConstraintViolationError) as caught:
        await connection.execute(statement)
    assert caught.value.constraint_name == constraint
    await connection.close()
