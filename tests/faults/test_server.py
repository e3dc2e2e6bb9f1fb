"""The server ends, with and without notice, and comes back."""

import asyncio
from time import monotonic

import pytest

from tests.database.helpers import until
from tests.faults.load import SECONDS, load, serving
from tests.support.servers import Server
from tests.support.sql import fetch

TERMINATE_ONE = """
    SELECT pg_terminate_backend(pid, 1000) AS ended
    FROM pg_stat_activity WHERE application_name = 'poolkeeper' ORDER BY random() LIMIT 1
"""


async def test_backends_that_are_terminated_one_after_the_other_are_replaced(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten times a second another connection dies under its user: the others go on, and the pool stays whole."""
    async with serving(server.dsn, monkeypatch) as service:
        async with load(service) as clients:
            async with asyncio.TaskGroup() as group:
                blows = []
                for _ in range(int(10 * SECONDS)):
                    await asyncio.sleep(0.1)
                    blows.append(group.create_task(fetch(server.dsn, TERMINATE_ONE)))
            ended = sum(row["ended"] for blow in blows for row in blow.result())
            await service.is_back(monotonic())
            await clients.some_more()
        print(f"{ended} backends ended")
        assert ended > SECONDS
        assert service.database.stats().totals.closed > ended / 2  # one may be ended before the pool has it
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
            await until(lambda: len(clients.refused) > refused)
            await asyncio.to_thread(server.start)
            await service.is_back(monotonic())
            await clients.some_more()
        await clients.is_consistent(server.dsn)
