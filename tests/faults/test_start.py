"""The service starts where there is no server yet."""

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep

import httpx
import pytest

from service.migrations import HEAD
from tests.database.helpers import until
from tests.faults.load import BACK, CLIENTS, PATIENCE, serving
from tests.support.processes import answer, end, free_port, run, running
from tests.support.servers import Server
from tests.support.sql import fetch

DROP_ALL = "DO $$ BEGIN DROP SCHEMA public CASCADE; CREATE SCHEMA public; END $$"
REVISION = "SELECT version_num FROM alembic_version"


@pytest.fixture
def working_folder() -> Iterator[Path]:
    """An empty folder to start a process in."""
    with TemporaryDirectory(prefix="poolkeeper-run-") as name:
        yield Path(name)


async def test_without_a_server_it_says_not_ready_and_why_and_works_as_soon_as_there_is_one(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fifty clients ask all the time: 503, never 500, until the empty database is migrated; then each is served."""
    await fetch(server.dsn, DROP_ALL)
    await asyncio.to_thread(server.stop, "fast")
    statuses: dict[int, list[int]] = {client: [] for client in range(CLIENTS)}
    async with serving(server.dsn, monkeypatch) as service:
        not_ready = await service.client.get("/health/ready")
        assert (not_ready.status_code, not_ready.headers["retry-after"]) == (503, "1")
        assert "no database: " in not_ready.json()["detail"]

        async def client(number: int) -> None:
            while 201 not in statuses[number]:
                user = {"email": f"{number}@example.com", "password": "correct horse"}
                async with asyncio.timeout(PATIENCE):
                    told = await service.client.post("/users/", json=user)
                statuses[number].append(told.status_code)
                assert told.status_code == 201 or told.headers["retry-after"] == "1"
                await asyncio.sleep(0.02)

        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            for number in range(CLIENTS):
                group.create_task(client(number))
            await until(lambda: all(statuses.values()), seconds=PATIENCE)
            await asyncio.to_thread(server.start)
            started = monotonic()
            while (await service.client.get("/health/ready")).status_code != 200:
                await asyncio.sleep(0.01)
            print(f"migrated and ready after {monotonic() - started:.3f} s")
            assert monotonic() - started < BACK
        for told in statuses.values():
            assert told == [503] * (len(told) - 1) + [201]
            assert len(told) > 1
        await service.is_whole()
    assert [row[0] for row in await fetch(server.dsn, REVISION)] == [HEAD]
    assert (await fetch(server.dsn, "SELECT count(*) FROM users"))[0][0] == CLIENTS


@pytest.mark.parametrize("environment", ["development", "test"])
async def test_the_process_outlives_the_wait_for_its_server(
    server: Server, working_folder: Path, environment: str
) -> None:
    """Plain uvicorn starts, answers that it is not ready, and gets ready by itself."""
    await fetch(server.dsn, DROP_ALL)
    await asyncio.to_thread(server.stop, "fast")
    await asyncio.to_thread(_wait_for_the_server, server, working_folder, environment)
    assert [row[0] for row in await fetch(server.dsn, REVISION)] == [HEAD]


def _wait_for_the_server(server: Server, folder: Path, environment: str) -> None:
    port = free_port()
    command = ("uvicorn", "service.main:app", "--port", str(port))
    ready = f"http://127.0.0.1:{port}/health/ready"
    with running(*command, cwd=folder, DATABASE_URL=server.dsn, POOLKEEPER_ENV=environment) as process:
        told = answer(ready, process)
        assert told.status_code == 503
        assert "no database: " in told.json()["detail"]
        server.start()
        deadline = monotonic() + BACK
        while httpx.get(ready, timeout=5).status_code != 200:
            assert monotonic() < deadline
            sleep(0.02)
        end(process, signal.SIGTERM)
    output = (folder / "output.txt").read_text()
    assert "The service starts without it, and migrates when it can connect" in output
    assert "Traceback" not in output


async def test_a_migration_that_fails_ends_the_start_with_one_message(server: Server, working_folder: Path) -> None:
    """A server that is there, and a table that is in the way: no service, and no traceback."""
    await fetch(server.dsn, DROP_ALL)
    await fetch(server.dsn, "CREATE TABLE items (mine int)")
    command = ("uvicorn", "service.main:app", "--port", "0")
    ended = await asyncio.to_thread(run, *command, cwd=working_folder, DATABASE_URL=server.dsn, POOLKEEPER_ENV="test")
    assert ended.returncode != 0
    assert ended.stderr.count('relation "items" already exists') == 1
    assert "Traceback" not in ended.stdout + ended.stderr


async def test_a_migration_that_fails_later_is_the_reason_for_not_being_ready(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a server at the start and with a table in the way when it comes: 503, and the log says what failed."""
    await fetch(server.dsn, DROP_ALL)
    await fetch(server.dsn, "CREATE TABLE items (mine int)")
    await asyncio.to_thread(server.stop, "fast")
    async with serving(server.dsn, monkeypatch) as service:
        await asyncio.to_thread(server.start)
        told = await service.client.get("/health/ready")
        assert told.status_code == 503
        assert "see the log" in told.json()["detail"]
        assert 'relation "items" already exists' in caplog.text
        assert (await service.client.get("/users/")).status_code == 503
        await fetch(server.dsn, "DROP TABLE items")
        assert (await service.client.get("/users/")).status_code == 200
        assert (await service.client.get("/health/ready")).status_code == 200
        await service.is_whole()
