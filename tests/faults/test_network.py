"""The network freezes, and breaks: at any moment, and exactly at a COMMIT."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from time import monotonic

import pytest

from tests.database.helpers import until
from tests.faults.load import SECONDS, keys, load, serving
from tests.support.proxy import CutCommit, Proxy, proxied
from tests.support.servers import Server
from tests.support.sql import fetch

LOST_WHILE_SAVING = "The database was lost while it saved: the change may have been made or not"


@pytest.fixture
async def proxy(server: Server) -> AsyncIterator[Proxy]:
    """A network between the service and the server."""
    async with proxied(server.socket) as proxy:
        yield proxy


async def test_a_frozen_network_holds_nobody_up_for_ever(
    server: Server, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No byte passes and no connection ends: every client is told 503 within the time limits, and the thaw is noticed."""
    async with serving(proxy.dsn, monkeypatch) as service:
        async with load(service) as clients:
            proxy.freeze()
            await asyncio.sleep(SECONDS + service.database.options.command_timeout)
            assert len(clients.refused) >= service.database.options.max_size
            proxy.thaw()
            await service.is_back(monotonic())
            await clients.some_more()
        await clients.is_consistent(server.dsn)


async def test_a_network_that_is_cut_is_used_again_when_it_is_mended(
    server: Server, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All connections end at once and new ones are refused; then they are not."""
    async with serving(proxy.dsn, monkeypatch) as service:
        async with load(service) as clients:
            for _ in range(3):
                await proxy.cut()
                await asyncio.sleep(SECONDS / 6)
                await proxy.listen()
                await service.is_back(monotonic())
                await clients.some_more()
        await clients.is_consistent(server.dsn)


@pytest.mark.parametrize("when", CutCommit)
async def test_a_connection_lost_at_commit_has_an_unknown_outcome_and_is_not_tried_again(
    server: Server, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, when: CutCommit
) -> None:
    """Whether the COMMIT arrived cannot be known from here: the client is told so, and the work has run once."""
    runs: Counter[str] = Counter()
    async with serving(proxy.dsn, monkeypatch) as service:

        async def counted(key: str) -> None:
            async def work() -> None:
                runs[key] += 1
                await service.connection.execute("INSERT INTO rows (key) VALUES ($1)", key)

            await service.connection.run_transaction(work, attempts=5)

        service.writes["counted"] = counted
        async with load(service, "counted", "statement") as clients:
            for _ in range(5):
                before = len(clients.refused)
                proxy.cut_commits = when
                await until(lambda before=before: len(clients.refused) >= before + 5)  # type: ignore[misc]
                proxy.cut_commits = None
                await service.is_back(monotonic())
                await clients.some_more()
        await clients.is_consistent(server.dsn)
    unknown = {key for key, answer in clients.refused.items() if answer.json()["detail"] == LOST_WHILE_SAVING}
    saved = unknown.intersection(await keys(server.dsn))
    assert len(unknown) >= 5
    assert saved == (unknown if when is CutCommit.AFTER else set())
    assert set(runs.values()) == {1}
    assert await fetch(server.dsn, "SELECT FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'") == []
