"""A PgBouncer in transaction mode without prepared statements, with the settings that `docs/configuration.md` recommends."""

import asyncio
import os
import shutil
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep

import httpx
import pytest

from service.database import Database, DatabaseOptions, DatabaseUnavailable, ScopedConnection
from tests.support.processes import answer, free_port, run, running
from tests.support.tls import at_a_port

pytestmark = pytest.mark.pgbouncer

SETTINGS = {
    "POOLKEEPER_DATABASE__STATEMENT_TIMEOUT": "0",
    "POOLKEEPER_DATABASE__IDLE_IN_TRANSACTION_TIMEOUT": "0",
    "POOLKEEPER_DATABASE__STATEMENT_CACHE_SIZE": "0",
}
_INI = """
[databases]
* = host=127.0.0.1 port={server} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
auth_file = {users}
pool_mode = transaction
default_pool_size = 2
server_tls_sslmode = disable
"""


@pytest.fixture
def pooled_dsn(empty_dsn: str, folder: Path) -> Iterator[str]:
    """An empty database behind a PgBouncer with two connections."""
    program = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
    port = free_port()
    (folder / "users.txt").write_text('"postgres" ""\n')
    with at_a_port(empty_dsn, None) as server:
        (folder / "pgbouncer.ini").write_text(_INI.format(server=server, port=port, users=folder / "users.txt"))
        account = ("-u", "nobody") if os.geteuid() == 0 else ()
        with (folder / "pgbouncer.log").open("w") as log:
            process = subprocess.Popen([program, *account, folder / "pgbouncer.ini"], stderr=log)
        try:
            _wait_for(port, process)
            yield f"postgresql://postgres@127.0.0.1:{port}/{empty_dsn.partition('?')[0].rpartition('/')[2]}"
        finally:
            process.terminate()
            process.wait(20)


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = monotonic() + 20
    while True:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        assert process.poll() is None
        assert monotonic() < deadline
        sleep(0.05)


def test_the_service_works_behind_it(pooled_dsn: str, folder: Path) -> None:
    """Migrations, the check, and many requests at once, each of which may have another connection of the pooler."""
    variables = {"POOLKEEPER_ENV": "development", "DATABASE_URL": pooled_dsn, **SETTINGS}
    assert run("poolkeeper", "migrate", cwd=folder, seconds=60, **variables).stdout.startswith("from base to ")
    checked = run("poolkeeper", "check", cwd=folder, seconds=60, **variables)
    assert checked.returncode == 0, checked.stdout
    port = free_port()
    with running("poolkeeper", "serve", "--port", str(port), cwd=folder, **variables) as process:
        url = f"http://127.0.0.1:{port}"
        answer(f"{url}/health/ready", process)
        created = httpx.post(f"{url}/users/", json={"email": "ada@example.com", "password": "correct horse"})
        assert created.status_code == 201, created.text
        paths = ("/users/1", "/items/", "/users/", "/health/ready")
        codes = asyncio.run(_get_many([f"{url}{path}" for path in paths * 30]))
        imported = httpx.post(
            f"{url}/users/1/items/import",
            content="title,description\nA pen,Blue\n",
            headers={"Content-Type": "text/csv"},
        )
        assert imported.json() == {"imported": 1}
    assert codes == {200: 120}


async def _get_many(urls: list[str]) -> Counter[int]:
    async with httpx.AsyncClient(limits=httpx.Limits(max_connections=8), timeout=30) as client:
        answers = await asyncio.gather(*(client.get(url) for url in urls))
    return Counter(each.status_code for each in answers)


async def test_each_kind_of_statement_works_behind_it(pooled_dsn: str) -> None:
    """With arguments, types that are looked up, transactions, cursors, many at once: nothing relies on one session."""
    options = DatabaseOptions(max_size=8, statement_timeout=0, idle_in_transaction_timeout=0, statement_cache_size=0)
    database = Database(options)
    await database.open(pooled_dsn)
    connection = ScopedConnection(database)

    async def work(number: int) -> None:
        async with database.scope("work"):
            assert await connection.fetchval("SELECT $1::int + 1", number) == number + 1
            row = await connection.fetchrow("SELECT $1::mood[] AS moods", ["fine", "fine"])
            assert row is not None
            assert row["moods"] == ["fine", "fine"]
            async with connection.transaction():
                rows = [row[0] async for row in connection.cursor("SELECT generate_series(1, $1::int)", 5, prefetch=2)]
            assert rows == [1, 2, 3, 4, 5]
            await connection.executemany("SELECT $1::int", [(1,), (2,)])

    async with database.scope("schema"):
        await connection.execute("CREATE TYPE mood AS ENUM ('fine')")
    try:
        await asyncio.gather(*(work(number) for number in range(100)))
    finally:
        await database.close()


async def test_a_parameter_that_it_refuses_is_named(pooled_dsn: str) -> None:
    """Limits of statements are startup parameters; `docs/configuration.md` says what to set."""
    database = Database(DatabaseOptions(min_size=0, max_size=1))
    await database.open(pooled_dsn)
    try:
        async with database.scope("refused"):
            with pytest.raises(DatabaseUnavailable, match="unsupported startup parameter: statement_timeout"):
                await ScopedConnection(database).fetchval("SELECT 1")
    finally:
        await database.close()
