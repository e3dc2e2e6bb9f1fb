"""Two servers: the second takes over, and the service goes with it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from time import monotonic

import asyncpg
import pytest

from service.migrations import HEAD, MigrationError
from service.migrations.runner import migrate
from tests.database.helpers import until
from tests.faults.load import PATIENCE, SECONDS, Service, load, serving
from tests.support.processes import free_port
from tests.support.proxy import proxied
from tests.support.servers import Server, copied
from tests.support.sql import fetch


@pytest.fixture
def primary(clean: Path, folder: Path) -> Iterator[Server]:
    """The server that is written to."""
    with copied(clean, folder / "primary", free_port()) as server:
        yield server


@pytest.fixture
async def standby(primary: Server, folder: Path) -> AsyncIterator[Server]:
    """A server that has everything that the first has acknowledged."""
    standby = await asyncio.to_thread(primary.copy_to, folder / "standby", free_port())
    try:
        await asyncio.to_thread(standby.start)
        await fetch(primary.dsn, "ALTER SYSTEM SET synchronous_standby_names = '*'")
        await fetch(primary.dsn, "SELECT pg_reload_conf()")
        async with asyncio.timeout(60):
            while not await fetch(primary.dsn, "SELECT FROM pg_stat_replication WHERE sync_state = 'sync'"):
                await asyncio.sleep(0.05)
        yield standby
    finally:
        await asyncio.to_thread(standby.end)


def _either(first: Server, second: Server) -> str:
    return _any_of(first.port, second.port)


def _any_of(*ports: int | None) -> str:
    hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
    return f"postgresql://postgres@{hosts}/postgres?target_session_attrs=read-write"


async def _ports(service: Service) -> set[int]:
    """The ports of the servers to which the pool's connections lead."""
    size = service.database.stats().size

    async def port() -> int:
        found: int = await service.connection.fetchval("SELECT inet_server_port() FROM pg_sleep(0.2)")
        return found

    async with service.database.scope("ports"):
        return set(await asyncio.gather(*(port() for _ in range(size))))


async def test_when_the_primary_stops_the_promoted_standby_is_used(
    primary: Server, standby: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No restart and no other configuration: after the promotion every connection leads to the new primary."""
    async with serving(_either(primary, standby), monkeypatch) as service:
        async with load(service) as clients:
            assert await _ports(service) == {primary.port}
            await asyncio.to_thread(primary.stop, "immediate")
            await asyncio.sleep(SECONDS / 3)
            await asyncio.to_thread(standby.promote)
            await service.is_back(monotonic())
            await clients.some_more()
        await clients.is_consistent(standby.dsn)
        assert await _ports(service) == {standby.port}


async def test_connections_to_a_demoted_primary_are_dropped(
    primary: Server, standby: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that lives on and refuses to write (25006) is left, connection by connection: 503 meanwhile, never 500."""
    async with serving(_either(primary, standby), monkeypatch) as service:
        async with load(service) as clients:
            assert await _ports(service) == {primary.port}
            await fetch(primary.dsn, "ALTER SYSTEM SET default_transaction_read_only = on")
            await fetch(primary.dsn, "SELECT pg_reload_conf()")
            refused = len(clients.refused)
            await until(lambda: len(clients.refused) > refused + 50, seconds=PATIENCE)
            await asyncio.to_thread(standby.promote)
            await service.is_back(monotonic())
            await clients.some_more()
        await clients.is_consistent(standby.dsn)
        assert await _ports(service) == {standby.port}


async def test_a_primary_that_is_gone_without_a_word_does_not_hide_the_promoted_standby(
    primary: Server, standby: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first host's machine lost its power: its silence uses up its own share of the time, not the second host's."""
    async with proxied(primary.socket) as network:
        async with serving(_any_of(network.port, standby.port), monkeypatch) as service:
            async with load(service) as clients:
                network.freeze()
                await asyncio.to_thread(standby.promote)
                await asyncio.sleep(service.database.options.command_timeout)  # for those who wait for an answer
                await service.is_back(monotonic())
                await clients.some_more()
            await clients.is_consistent(standby.dsn)
            assert await _ports(service) == {standby.port}


async def test_a_standby_is_not_migrated_but_says_where_to(standby: Server) -> None:
    """What is up to date is no mistake; what would have to change is one, and the message names the primary."""

    async def connect() -> "asyncpg.Connection[asyncpg.Record]":
        return await asyncpg.connect(standby.dsn)

    assert await migrate(connect) == (HEAD, HEAD)
    with pytest.raises(MigrationError, match="migrate on its primary"):
        await migrate(connect, "base")
