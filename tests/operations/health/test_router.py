"""Health over HTTP: when the service says that it cannot work, and why."""

import asyncio
from pathlib import Path

import asyncpg
import pytest
from httpx import AsyncClient, Response

from containers import Container
from service.migrations import HEAD
from tests.support.clients import client_of


async def _ready(container: Container) -> Response:
    async with client_of(container) as client:
        assert (await client.get("/health/live")).json() == {"status": "ok"}
        return await client.get("/health/ready")


def _refused(answer: Response, reason: str) -> bool:
    return answer.status_code == 503 and "Retry-After" in answer.headers and reason in answer.json()["detail"]


async def test_ready_when_all_is_well(client: AsyncClient) -> None:
    """200 with the database there and the schema up to date."""
    assert (await client.get("/health/ready")).json() == {"status": "ok"}


async def test_not_ready_before_the_start_and_after_the_end(clone_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Starting and draining are a 503 with that word; live is 200 all the time."""
    monkeypatch.setenv("DATABASE_URL", clone_dsn)
    container = Container()
    assert _refused(await _ready(container), "starting")
    await container.init_resources()  # type: ignore[misc]
    assert (await _ready(container)).status_code == 200
    await container.shutdown_resources()  # type: ignore[misc]
    assert _refused(await _ready(container), "draining")


async def test_not_ready_while_it_drains(cloned_container: Container) -> None:
    """From the moment in which closing starts, while a transaction is still under way."""
    database, connection = cloned_container.database(), cloned_container.connection()
    async with database.scope("slow"), connection.transaction():
        closing = asyncio.create_task(database.close())
        await asyncio.sleep(0.01)
        assert _refused(await _ready(cloned_container), "draining")
    await closing


async def test_not_ready_after_sigterm_while_requests_are_still_served(
    container: Container, client: AsyncClient
) -> None:
    """Readiness goes first, each answer says `Connection: close`, and the work goes on."""
    assert "connection" not in (await client.get("/users/")).headers
    container.drain().active = True
    assert _refused(await client.get("/health/ready"), "draining")
    served = await client.get("/users/")
    assert (served.status_code, served.headers["connection"]) == (200, "close")


async def test_not_ready_while_the_schema_is_behind(empty_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason names both revisions and the command; after migrating, the same process is ready."""
    monkeypatch.setenv("DATABASE_URL", empty_dsn)
    monkeypatch.setenv("POOLKEEPER_DATABASE__MIGRATE_ON_START", "false")
    container = Container()
    await container.init_resources()  # type: ignore[misc]
    assert _refused(
        await _ready(container), f"the schema is at nothing and the code needs {HEAD}: run `poolkeeper migrate`"
    )
    async with container.database().scope("pretend"):
        await container.connection().execute("CREATE TABLE alembic_version (version_num text)")
        assert _refused(await _ready(container), "at nothing")
        await container.connection().execute("INSERT INTO alembic_version VALUES ('0001')")
        assert _refused(await _ready(container), "at 0001")
        await container.connection().execute("UPDATE alembic_version SET version_num = '9999'")
    assert (await _ready(container)).status_code == 200, "a schema ahead of the code is that of the next version"
    await container.shutdown_resources()  # type: ignore[misc]


async def test_not_ready_when_the_revision_cannot_be_read(
    clone_dsn: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A role without the privilege is a reason, not a failure of the service. The server's words are for the log alone."""
    owner = await asyncpg.connect(clone_dsn)
    await owner.execute("DROP ROLE IF EXISTS stranger; CREATE ROLE stranger LOGIN")
    monkeypatch.setenv("DATABASE_URL", clone_dsn.replace("postgres:@", "stranger@"))
    monkeypatch.setenv("POOLKEEPER_DATABASE__MIGRATE_ON_START", "false")
    container = Container()
    await container.init_resources()  # type: ignore[misc]
    assert _refused(await _ready(container), "the schema's revision cannot be read; see the log")
    assert "permission denied for table alembic_version" in caplog.text
    await container.shutdown_resources()  # type: ignore[misc]
    await owner.execute("DROP ROLE stranger")
    await owner.close()


async def test_not_ready_while_no_connection_becomes_free(container: Container, client: AsyncClient) -> None:
    """A pool that is busy for longer than the acquire timeout is a reason of its own."""
    database, connection = container.database(), container.connection()
    async with database.scope("greedy"), connection.transaction():
        async with asyncio.timeout(60):
            assert _refused(await client.get("/health/ready"), "busy")


async def test_not_ready_without_a_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service starts without a server, and says that there is none."""
    monkeypatch.setenv("DATABASE_URL", f"postgresql://postgres@/postgres?host={tmp_path}")
    monkeypatch.setenv("POOLKEEPER_DATABASE__MIGRATE_ON_START", "false")
    container = Container()
    await container.init_resources()  # type: ignore[misc]
    assert _refused(await _ready(container), "no database")
    await container.shutdown_resources()  # type: ignore[misc]
