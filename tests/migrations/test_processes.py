"""Migrations as processes: several at once, interrupted, and failing outside a transaction."""

import asyncio
import signal
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from service.migrations import HEAD
from service.migrations.turn import LOCK
from tests.migrations.conftest import Project
from tests.support.processes import end, free_port, running, until_said

MIGRATE = ("python", "-m", "service", "migrate")
CONCURRENTLY = (
    "with op.get_context().autocommit_block():",
    '    op.execute("CREATE INDEX CONCURRENTLY items_title_idx ON items (title)")',
)
UNIQUE = (
    "with op.get_context().autocommit_block():",
    '    op.execute("DROP INDEX CONCURRENTLY IF EXISTS items_title_key")',
    '    op.execute("CREATE UNIQUE INDEX CONCURRENTLY items_title_key ON items (title)")',
)
INDEX = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('items_title_idx')"
ROWS = """
    INSERT INTO users (email, password_hash) VALUES ('ada@example.com', 'x');
    INSERT INTO items (title, owner_id) SELECT 'the same', 1 FROM generate_series(1, 2)
"""
OTHERS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


@pytest.fixture
async def admin(clone_dsn: str) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
    """A connection to the database that the processes migrate."""
    connection = await asyncpg.connect(clone_dsn, server_settings={"application_name": "the test's"})
    yield connection
    await connection.close()


async def _both(project: Project, dsn: str, *command: str) -> list[subprocess.CompletedProcess[str]]:
    return list(await asyncio.gather(*(asyncio.to_thread(project.run, *command, DATABASE_URL=dsn) for _ in range(2))))


async def test_two_processes_at_once_make_an_index_concurrently(
    project: Project, clone_dsn: str, admin: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """One of them makes it, while the other asks for the lock: no snapshot of that one is waited for."""
    project.add("10000", *CONCURRENTLY)
    await admin.execute("SELECT pg_advisory_lock($1)", LOCK)  # until both wait
    both = asyncio.create_task(_both(project, clone_dsn, *MIGRATE))
    await until_query(admin, OTHERS, 2)
    await admin.execute("SELECT pg_advisory_unlock($1)", LOCK)
    assert sorted(ended.stdout for ended in await both) == ["already at 10000\n", f"from {HEAD} to 10000\n"]
    assert await admin.fetchval(INDEX) is True


async def until_query(connection: "asyncpg.Connection[asyncpg.Record]", query: str, expected: object) -> None:
    async with asyncio.timeout(60):
        while await connection.fetchval(query) != expected:
            await asyncio.sleep(0.05)


async def test_the_workers_of_a_service_migrate_once(
    project: Project, clone_dsn: str, admin: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """Each of three migrates at its start, over an index that is made concurrently."""
    project.add("0010", *CONCURRENTLY)
    command = ("uvicorn", "service.main:app", "--workers", "3", "--port", str(free_port()))
    variables = {"DATABASE_URL": clone_dsn, **project.variables}
    with running(*command, cwd=project.folder, **variables) as process:
        async with asyncio.timeout(60):
            while (project.folder / "output.txt").read_text().count("Application startup complete") < 3:
                await asyncio.sleep(0.05)
        await asyncio.to_thread(end, process)
    assert await admin.fetchval(INDEX) is True
    assert await admin.fetchval("SELECT version_num FROM alembic_version") == "0010"


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(
    "command",
    [
        MIGRATE,
        ("poolkeeper", "serve"),
        ("uvicorn", "service.main:app"),
        ("uvicorn", "service.main:app", "--workers", "2"),
    ],
)
async def test_a_signal_ends_the_wait_for_another_migration(
    folder: Path, empty_dsn: str, command: tuple[str, ...], sent: signal.Signals
) -> None:
    """The log says whose session is waited for; nothing of the waiting process stays behind."""
    other = await asyncpg.connect(empty_dsn, server_settings={"application_name": "another's migration"})
    await other.execute("SELECT pg_advisory_lock($1)", LOCK)
    command += () if command == MIGRATE else ("--port", str(free_port()))
    with running(*command, cwd=folder, DATABASE_URL=empty_dsn) as process:
        said = await asyncio.to_thread(until_said, "waiting for another migration", folder, process)
        assert f"PostgreSQL's process {other.get_server_pid()} (another's migration, connected since 20" in said
        status = await asyncio.to_thread(end, process, sent)
    assert status == (0 if "--workers" in command else -sent)
    said = (folder / "output.txt").read_text()
    assert " interrupts the " in said
    assert "Traceback" not in said
    await until_query(other, OTHERS, 0)
    assert await other.fetchval("SELECT to_regclass('alembic_version')") is None
    await other.close()


@pytest.mark.parametrize("command", [MIGRATE, ("uvicorn", "service.main:app", "--port", "0")])
@pytest.mark.parametrize(
    "upgrade",
    [
        ('op.execute("CREATE TABLE half (id int)")', 'op.execute("SELECT pg_sleep(600)")'),
        (
            'op.execute("CREATE TABLE half (id int)")',
            "with op.get_context().autocommit_block():",
            '    op.execute("SELECT pg_sleep(600)")',
        ),
    ],
)
async def test_a_signal_ends_a_migration_that_runs(
    project: Project,
    clone_dsn: str,
    admin: "asyncpg.Connection[asyncpg.Record]",
    command: tuple[str, ...],
    upgrade: tuple[str, ...],
) -> None:
    """Its session ends with it, its transaction is rolled back, and the lock is free for the next."""
    project.add("0010", *upgrade)
    variables = {"DATABASE_URL": clone_dsn, **project.variables}
    with running(*command, cwd=project.folder, **variables) as process:
        await until_query(admin, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'", 1)
        assert await asyncio.to_thread(end, process, signal.SIGTERM) == -signal.SIGTERM
    said = (project.folder / "output.txt").read_text()
    assert "the migration was interrupted" in said
    assert "Traceback" not in said
    await until_query(admin, OTHERS, 0)
    assert await admin.fetchval("SELECT version_num FROM alembic_version") == HEAD
    in_transaction = len(upgrade) == 2
    assert (await admin.fetchval("SELECT to_regclass('half')") is None) == in_transaction
    assert await admin.fetchval("SELECT pg_try_advisory_lock($1)", LOCK) is True


async def test_an_index_that_fails_halfway_is_named_and_the_next_run_mends_it(
    project: Project, clone_dsn: str, admin: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """PostgreSQL leaves an invalid index. The revision drops one that is there, and so can be run again."""
    await admin.execute(ROWS)
    project.add("0010", *UNIQUE)
    failed = await asyncio.to_thread(project.run, *MIGRATE, DATABASE_URL=clone_dsn)
    assert failed.returncode == 1
    assert "could not create unique index" in failed.stderr
    assert "is invalid: DROP INDEX CONCURRENTLY items_title_key, then migrate again" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert await admin.fetchval("SELECT version_num FROM alembic_version") == HEAD
    await admin.execute("UPDATE items SET title = id::text")
    mended = await asyncio.to_thread(project.run, *MIGRATE, DATABASE_URL=clone_dsn)
    assert (mended.returncode, mended.stdout) == (0, f"from {HEAD} to 0010\n")


@pytest.mark.parametrize("command", [MIGRATE, ("uvicorn", "service.main:app", "--port", "0")])
async def test_a_signal_ends_the_wait_for_a_server_that_does_not_answer(folder: Path, command: tuple[str, ...]) -> None:
    """It accepts connections, and says nothing: the process ends long before its time limit for connecting."""
    connected = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        await reader.read(-1)
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    dsn = f"postgresql://nobody@127.0.0.1:{port}/nothing"
    with running(*command, cwd=folder, DATABASE_URL=dsn, POOLKEEPER_DATABASE__CONNECT_TIMEOUT="600") as process:
        async with asyncio.timeout(60):
            await connected.wait()
        assert await asyncio.to_thread(end, process, signal.SIGTERM) == -signal.SIGTERM
    assert "Traceback" not in (folder / "output.txt").read_text()
    server.close()
    await server.wait_closed()


async def test_ctrl_c_twice_ends_a_start_at_once(folder: Path, empty_dsn: str) -> None:
    """Whatever it has still to clean up."""
    other = await asyncpg.connect(empty_dsn)
    await other.execute("SELECT pg_advisory_lock($1)", LOCK)
    with running("poolkeeper", "serve", "--port", str(free_port()), cwd=folder, DATABASE_URL=empty_dsn) as process:
        await asyncio.to_thread(until_said, "waiting for another migration", folder, process)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)
        assert await asyncio.to_thread(process.wait, 20) == -signal.SIGINT
    assert "Traceback" not in (folder / "output.txt").read_text()
    await other.close()


EARLY = """
import signal
from service.main import app as service

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        signal.raise_signal({})
    await service(scope, receive, send)
"""


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_before_the_start_of_the_application_ends_it(
    folder: Path, empty_dsn: str, sent: signal.Signals
) -> None:
    """It is only noted by uvicorn, which would look at it only after the start, which waits for another migration here."""
    other = await asyncpg.connect(empty_dsn)
    await other.execute("SELECT pg_advisory_lock($1)", LOCK)
    (folder / "early.py").write_text(EARLY.format(int(sent)))
    with running(
        "uvicorn", "early:app", "--app-dir", ".", "--port", "0", cwd=folder, DATABASE_URL=empty_dsn
    ) as process:
        assert await asyncio.to_thread(process.wait, 60) == -sent
    assert "interrupts the start" in (folder / "output.txt").read_text()
    await other.close()
