"""Measures the memory of one worker: at its start, with open requests, and after a million requests.

`python -m benchmarks.cost.memory docs/generated/performance/memory.md`; `--requests` and `--cancelled` shorten it.
"""

import asyncio
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from time import monotonic, sleep

import psutil  # type: ignore[import-untyped]

from benchmarks.cost.worker import PRODUCTION, SLEEPY, machine, read, serving
from benchmarks.harness.load import NoLoad, find_wrk
from benchmarks.harness.machine import allow_connections
from benchmarks.harness.page import page_parser, publish
from benchmarks.harness.running import Running
from benchmarks.harness.server import with_records

SLICE = 10
"""Seconds between two measurements of the memory."""
WARM = 0.1
"""The share of the requests that fills caches before the first measurement that counts."""
AT_ONCE = 50
"""Clients that hang up at the same time."""
THOUSANDS = 3


def main() -> None:
    """Run, print and write the page."""
    parser = page_parser("benchmarks.cost.memory", __doc__)
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--cancelled", type=int, default=100_000)
    arguments = parser.parse_args()
    where = machine()
    try:
        find_wrk()
        allow_connections(1024 * (THOUSANDS + 1))
        with with_records() as server:
            lines = [*_open_requests(server.dsn), *_many(server.dsn, arguments.requests, arguments.cancelled)]
    except NoLoad as error:
        sys.exit(str(error))
    rows = "\n".join(f"| {what} | {figure} |" for what, figure in lines)
    text = f"# Memory of one worker\n\n{where}.\n\n| | Resident |\n| --- | --: |\n{rows}\n"
    publish(text, arguments.page)


def _open_requests(dsn: str) -> Iterator[tuple[str, str]]:
    with serving(SLEEPY, dsn) as service, ExitStack() as clients:
        _warm(service)
        before = _resident(service)
        yield "before the first sign-in", f"{before:.1f} MB"
        for thousand in range(1, THOUSANDS + 1):
            for _ in range(1000):
                clients.enter_context(_asleep(service))
            _settle(service)
            now = _resident(service)
            each = 1000 * (now - before) / (1000 * thousand)
            yield f"with {thousand:,},000 requests open", f"{now:.1f} MB, {each:.1f} KB for each"


def _many(dsn: str, requests: int, cancelled: int) -> Iterator[tuple[str, str]]:
    with serving(PRODUCTION, dsn) as service:
        yield "in production, after one sign-in", f"{_resident(service):.1f} MB"
        _ask(service, int(requests * WARM))
        _give_up(service, int(cancelled * WARM))
        warm = _resident(service)
        yield (
            f"after {int(requests * WARM):,} requests, and {int(cancelled * WARM):,} that the client aborted",
            f"{warm:.1f} MB",
        )
        _ask(service, requests)
        yield f"after {requests:,} more", _compared(service, warm)
        _give_up(service, cancelled)
        yield f"after {cancelled:,} more that the client aborted", _compared(service, warm)
        _ask(service, int(requests * WARM))
        yield f"after {int(requests * WARM):,} more", _compared(service, warm)


def _compared(service: Running, before: float) -> str:
    now = _resident(service)
    return f"{now:.1f} MB, {now / before - 1:+.1%}"


def _warm(service: Running) -> None:
    _ask(service, 5000)
    _settle(service)


def _ask(service: Running, requests: int) -> None:
    asked = 0.0
    while asked < requests:
        sample = read(service, "/users/me" if service.token else "/users/", seconds=SLICE, connections=32)
        if sample.refused or sample.failed:
            raise NoLoad(f"{sample.refused} refused and {sample.failed} failed of {sample.rate * SLICE:,.0f}")
        asked += sample.rate * SLICE
        print(f"  {asked:,.0f} of {requests:,} requests: {_resident(service):.1f} MB", file=sys.stderr)
    _settle(service)


def _give_up(service: Running, count: int) -> None:
    asyncio.run(_hang_up(service, count))
    _settle(service)


async def _hang_up(service: Running, count: int) -> None:
    """Hang up in the middle of the head, in the middle of the body, and after the request but before the response."""
    head = f"Host: 127.0.0.1\r\nAuthorization: Bearer {service.token}\r\n"
    requests = (
        "GET /users/1 HTTP/1.1\r\nHost: 127.",
        f"POST /users/1/items/ HTTP/1.1\r\n{head}Content-Type: application/json\r\nContent-Length: 500\r\n\r\n{{",
        f"GET /users/1 HTTP/1.1\r\n{head}\r\n",
    )

    async def some(mine: int) -> None:
        for number in range(mine):
            _, writer = await asyncio.open_connection("127.0.0.1", service.port)
            writer.write(requests[number % len(requests)].encode())
            await asyncio.sleep(0.005)  # so that the service has started it
            writer.transport.abort()

    async with asyncio.TaskGroup() as clients:
        for _ in range(AT_ONCE):
            clients.create_task(some(count // AT_ONCE))


@contextmanager
def _asleep(service: Running) -> Iterator[None]:
    """Keep one sleeping request open until the end of the block."""
    with socket.create_connection(("127.0.0.1", service.port)) as client:
        client.sendall(b"GET /slowusers/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        yield


def _resident(service: Running) -> float:
    return float(psutil.Process(service.process).memory_info().rss) / 1e6


def _settle(service: Running) -> None:
    """Wait until the service is idle and has read everything that was sent."""
    process = psutil.Process(service.process)
    deadline = monotonic() + 60
    while process.cpu_percent(0.5) > 5 and monotonic() < deadline:  # noqa: PLR2004 - percent of a processor
        sleep(0.1)


if __name__ == "__main__":
    main()
