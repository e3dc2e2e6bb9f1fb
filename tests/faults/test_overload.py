"""More than the pool can carry, and clients that do not wait for their answer."""

import asyncio
import itertools
import socket
import struct
from collections import Counter
from time import monotonic

import pytest

from tests.faults.load import INSERT, PATIENCE, SECONDS, Service, keys, serving
from tests.support.servers import Server
from tests.support.sockets import listening

HOLD = 0.1
"""Seconds for which a request holds its connection."""
SIZE = 5
CARRIES = SIZE / HOLD
"""Requests a second that the pool can carry."""


async def test_ten_times_what_the_pool_carries_is_refused_in_time(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those who find no room in the line are told at once, those who wait in vain at the acquire timeout; no other way."""
    async with serving(server.dsn, monkeypatch, min_size=SIZE, max_size=SIZE, max_waiting=200) as service:

        async def held(key: str) -> None:
            async with service.connection.transaction():
                await service.connection.execute(INSERT, key)
                await service.connection.execute("SELECT pg_sleep($1)", HOLD)

        service.writes["held"] = held
        peak = await _offered(service, "peak", CARRIES)
        overload = await _offered(service, "overload", 10 * CARRIES)
        await service.is_whole()
    print(
        f"good answers a second: {peak.good_rate:.1f} of {CARRIES:g} offered, {overload.good_rate:.1f} of ten times that"
    )
    assert set(overload.statuses) == {201, 503}
    assert overload.retry_after == {"1"}
    assert overload.longest_refusal < service.database.options.acquire_timeout + 20
    assert sorted(await keys(server.dsn)) == sorted(peak.acknowledged + overload.acknowledged)


class _Offered:
    """What became of requests that came at a rate of their own."""

    def __init__(self) -> None:
        self.statuses: Counter[int] = Counter()
        self.acknowledged: list[str] = []
        self.retry_after: set[str | None] = set()
        self.longest_refusal = 0.0
        self.good_rate = 0.0


async def _offered(service: Service, name: str, rate: float) -> _Offered:
    """Send requests at this rate, whether or not the earlier ones were answered."""
    offered = _Offered()

    async def request(key: str) -> None:
        started = monotonic()
        async with asyncio.timeout(PATIENCE):
            answer = await service.client.post(f"/rows/held/{key}")
        offered.statuses[answer.status_code] += 1
        if answer.status_code == 201:
            offered.acknowledged.append(key)
        else:
            offered.retry_after.add(answer.headers.get("retry-after"))
            offered.longest_refusal = max(offered.longest_refusal, monotonic() - started)

    started = monotonic()
    async with asyncio.TaskGroup() as group:
        for number in itertools.count():
            behind = started + number / rate - monotonic()
            if number / rate > SECONDS:
                break
            await asyncio.sleep(max(behind, 0))
            group.create_task(request(f"{name}-{number}"))
    offered.good_rate = len(offered.acknowledged) / (monotonic() - started)
    return offered


async def test_clients_that_hang_up_by_the_hundred_leave_nothing_behind(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, in and after the request, politely or with a reset: the pool is whole, and whoever waits is served."""
    async with serving(server.dsn, monkeypatch, acquire_timeout=5) as service:

        async def slowly(key: str) -> None:
            async with service.connection.transaction():
                await service.connection.execute(INSERT, key)
                await service.connection.execute("SELECT pg_sleep(0.01)")

        service.writes["slowly"] = slowly
        async with listening(service.app, graceful_seconds=5) as port:
            for wave in range(5):
                answers = await asyncio.gather(
                    *(_hang_up(port, f"gone-{wave}-{number}", number) for number in range(100)),
                    *(_stay(port, f"stays-{wave}-{number}") for number in range(20)),
                )
                assert answers[100:] == [b"HTTP/1.1 201 Created"] * 20
        await service.is_whole()
    rows = Counter(await keys(server.dsn))
    assert {f"stays-{wave}-{number}" for wave in range(5) for number in range(20)} <= rows.keys()
    assert any(key.startswith("gone-") for key in rows), "no request of those who hung up was ever begun"
    assert max(rows.values()) == 1


def _request(key: str) -> bytes:
    return f'POST /rows/slowly/{key} HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\n\r\n"x"\n'.encode()


async def _hang_up(port: int, key: str, number: int) -> None:
    """Send a part of the request or all of it, wait a little, and go: every second client with a reset."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    request = _request(key)
    writer.write(request[: len(request) * (1 + number % 5) // 5])
    await asyncio.sleep(number % 7 / 100)
    if number % 2:
        linger = struct.pack("ii", 1, 0)  # for 0 seconds: closing sends a reset
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


async def _stay(port: int, key: str) -> bytes:
    """Send a request and wait for its answer; gives the first line."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(_request(key))
    async with asyncio.timeout(PATIENCE):
        line = await reader.readline()
    writer.close()
    return line.rstrip()
