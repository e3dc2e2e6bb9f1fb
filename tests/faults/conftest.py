"""Fixtures of the tests of faults: servers that may be broken, which the other tests do not use."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg
import pytest

from service.database import EmbeddedServer
from service.migrations.runner import migrate
from tests.support.servers import Server, copied


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    """A folder in which the servers' own user may write, with a path short enough for a socket."""
    with TemporaryDirectory(prefix="poolkeeper-faults-") as name:
        path = Path(name)
        path.chmod(0o777)
        yield path


@pytest.fixture(scope="session")
def clean(folder: Path) -> Path:
    """The data of a stopped server, migrated and durable, with a table for rows that may be there twice."""
    server = EmbeddedServer(folder / "clean")
    dsn = server.start()

    async def prepare() -> None:
        await migrate(lambda: asyncpg.connect(dsn))
        connection = await asyncpg.connect(dsn)
        await connection.execute("CREATE TABLE rows (key text NOT NULL)")
        await connection.close()

    asyncio.run(prepare())
    server.stop()
    return server.data_dir


@pytest.fixture
def server(clean: Path, folder: Path) -> Iterator[Server]:
    """A running server of this test's own."""
    with copied(clean, folder / "data") as server:
        yield server


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Each fault happens under load, and beside other tests the load would be theirs."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.alone)
