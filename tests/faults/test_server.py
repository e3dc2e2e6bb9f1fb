"""The server ends, with and without notice, and comes back."""

import asyncio
from time import monotonic

import pytest

from tests.faults.load import SECONDS, fetch, load, serving
from tests.faults.servers import Server

TERMINATE_ONE = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'poolkeeper' ORDER BY random() LIMIT 1
"""


async def test_backends_that_are_terminated_one_after_the_other_are_replaced(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten times a second another connection dies under its user: the others go on, and the pool stays whole."""
    async with serving(server.dsn, monkeypatch) as service:
        async with load(service) as clients:
            end = monotonic() + SECONDS
            while monotonic() < end:
                await asyncio.sleep(0.1)
                assert [row[0] for row in await fetch(server.dsn, TERMINATE_ONE)] == [True]
            await service.is_back(monotonic())
            await clients.some_more()
        assert service.database.stats().totals.closed >= 5 * SECONDS
        await clients.is_consistent(server.dsn)


@pytest.mark.parametrize("how", ["fast", "immediate", "killed"])
async def test_a_server_that_ends_and_comes_back_is_used_again(
    server: Server, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Asked to stop, told to stop, or killed: meanwhile 503, then all goes on without a restart."""
    async with serving(server.dsn, monkeypatch) as service:
        async with load(service) as clients:
            await (asyncio.to_thread(server.kill) if how == "killed" else asyncio.to_thread(server.stop, how))
            refused = len(clients.refused)
            await asyncio.sleep(SECONDS / 3)
            assert len(clients.refused) > refused
            await asyncio.to_thread(server.start)
            await service.is_back(monotonic())
            await clients.some_more()
        await clients.is_consistent(server.dsn)
