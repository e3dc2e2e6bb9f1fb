"""A real PostgreSQL for every test that runs SQL, and two ways to keep tests apart.

*rollback*, the default (`container`, `client`): one connection, in a transaction that is never committed.
*clone* (`cloned_container`, `cloned_client`): a database of its own, from a migrated template; for races, faults and
whatever must really commit.
"""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg
import pytest
from dependency_injector import providers
from httpx import AsyncClient

from containers import Container
from service.database import Database, DatabaseOptions, EmbeddedServer, ScopedConnection
from service.migrations.runner import migrate
from tests.support.clients import client_of
from tests.support.rollback import RollbackConnection
from tests.support.sql import execute

_TEMPLATE = "template_migrated"
_numbers = itertools.count(1)


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests read the configuration of tests, whatever the shell has set. `UNPREPARED` sends every request FastAPI's way."""
    for name in list(os.environ):
        if name.startswith(("POOLKEEPER_", "PG")) or name == "DATABASE_URL":
            monkeypatch.delenv(name)
    monkeypatch.setenv("POOLKEEPER_ENV", "test")
    if os.environ.get("UNPREPARED"):
        monkeypatch.setenv("POOLKEEPER_PERFORMANCE__PREPARED_ROUTES", "false")


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of configuration of this test's own, with the environment `development` in force."""
    for name in ("base", "development", "production"):
        (tmp_path / f"{name}.toml").write_text("")
    monkeypatch.setenv("POOLKEEPER_CONFIG_DIR", str(tmp_path))
    monkeypatch.setenv("POOLKEEPER_ENV", "development")
    return tmp_path


@pytest.fixture
def secrets(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty secrets directory that is in use."""
    folder = tmp_path_factory.mktemp("secrets")
    monkeypatch.setenv("POOLKEEPER_SECRETS_DIR", str(folder))
    return folder


@pytest.fixture(scope="session")
def server_dsn() -> Iterator[str]:
    """An embedded PostgreSQL for this process's tests: its DSN, with an empty database."""
    server = EmbeddedServer(None)
    yield server.start()
    server.stop()


@pytest.fixture(scope="session")
def template(server_dsn: str) -> str:
    """The name of a migrated database, to be copied."""

    async def make() -> None:
        await execute(server_dsn, f"CREATE DATABASE {_TEMPLATE}")
        await migrate(lambda: asyncpg.connect(_database(server_dsn, _TEMPLATE)))

    asyncio.run(make())
    return _TEMPLATE


@pytest.fixture(scope="session")
def rollback_dsn(server_dsn: str, template: str) -> str:
    """The DSN of the one database that all tests of the rollback isolation share."""
    asyncio.run(execute(server_dsn, f"CREATE DATABASE rollback TEMPLATE {template}"))
    return _database(server_dsn, "rollback")


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty folder outside the checkout that the embedded server's user can reach."""
    with TemporaryDirectory(prefix="poolkeeper-run-") as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


@pytest.fixture
async def empty_dsn(server_dsn: str) -> AsyncIterator[str]:
    """The DSN of a database of this test's own, without any table."""
    async for dsn in _own_database(server_dsn, "template0"):
        yield dsn


@pytest.fixture
async def clone_dsn(server_dsn: str, template: str) -> AsyncIterator[str]:
    """The DSN of a migrated database of this test's own."""
    async for dsn in _own_database(server_dsn, template):
        yield dsn


@pytest.fixture
async def container(rollback_dsn: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Container]:
    """The service's container; nothing that a test does with it is committed."""
    monkeypatch.setenv("DATABASE_URL", rollback_dsn)
    container = Container()
    one_connection = DatabaseOptions(min_size=1, max_size=1)
    with container.database.override(
        providers.Singleton(Database, one_connection, connection_class=RollbackConnection)
    ):
        async for opened in _opened(container):
            yield opened


@pytest.fixture
async def cloned_container(clone_dsn: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Container]:
    """The service's container, as it is in production, on a database of its own."""
    monkeypatch.setenv("DATABASE_URL", clone_dsn)
    async for opened in _opened(Container()):
        yield opened


@pytest.fixture
async def client(container: Container) -> AsyncIterator[AsyncClient]:
    """An HTTP client of the application; nothing is committed."""
    async with client_of(container) as client:
        yield client


@pytest.fixture
async def cloned_client(cloned_container: Container) -> AsyncIterator[AsyncClient]:
    """An HTTP client of the application on a database of its own."""
    async with client_of(cloned_container) as client:
        yield client


@pytest.fixture
async def database(clone_dsn: str) -> AsyncIterator[Database]:
    """An open database of this test's own, of at most 4 connections."""
    database = Database(DatabaseOptions(min_size=1, max_size=4, acquire_timeout=30))
    await database.open(clone_dsn)
    yield database
    await database.close()


@pytest.fixture
def connection(database: Database) -> ScopedConnection:
    """The scoped connection of `database`."""
    return ScopedConnection(database)


async def _opened(container: Container) -> AsyncIterator[Container]:
    await container.init_resources()  # type: ignore[misc]
    yield container
    await container.shutdown_resources()  # type: ignore[misc]


async def _own_database(server_dsn: str, template: str) -> AsyncIterator[str]:
    name = f"test_{os.getpid()}_{next(_numbers)}"
    await execute(server_dsn, f"CREATE DATABASE {name} TEMPLATE {template}")
    yield _database(server_dsn, name)
    await execute(server_dsn, f"DROP DATABASE {name} WITH (FORCE)")


def _database(dsn: str, name: str) -> str:
    return dsn.replace("/postgres?", f"/{name}?")
