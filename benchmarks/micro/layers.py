"""Measures the cost of a small request, one row by its id, layer by layer.

`python -m benchmarks.micro.layers`. uvicorn's protocol reads the request from memory and writes the response to
memory, so only client sockets are left out. The cost of a layer is a request through it minus a request without it.
Microseconds are the minimum of many rounds; Valgrind counts instructions and allocations.
"""

import asyncio
import gc
import sys
from collections.abc import Callable, Coroutine, Sized
from time import process_time
from typing import Any

import uvloop
from fastapi import APIRouter
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.server import ServerState

import service.app
from benchmarks.harness.server import migrated
from benchmarks.micro.pieces import Piece, Stage, staged
from benchmarks.micro.valgrind import count, counted
from service.auth.access import PUBLIC, SignedIn
from service.database import DatabaseOptions
from service.injection import Provide, inject
from service.items.repository import GET_ITEM
from service.items.schemas import Item
from service.items.service import ItemService
from service.web.drain import Drain
from service.web.middleware import BodyLimits, Edge, Hosts, RequestScope, check_loopback, check_query
from service.web.parameters import Id
from service.web.server.admission import ADMISSION, Admission
from service.web.server.protocol import BatchedProtocol
from service.web.settings import HttpSettings

_ROUNDS = 20
_TIMES = 1000
_ITEM = Item(1, "A pen", "Blue, nearly new", 1)
_ROW = """
    INSERT INTO users (email, password_hash) VALUES ('ada@example.com', 'none');
    INSERT INTO items (title, description, owner_id) VALUES ('A pen', 'Blue, nearly new', 1);
"""
_BODY = b'{"id":1,"title":"A pen","description":"Blue, nearly new","owner_id":1}'

router = APIRouter(prefix="/layers")


@router.get("/plain/{item_id}", dependencies=[PUBLIC])
async def read_constant(item_id: Id) -> Item:
    assert item_id == _ITEM.id
    return _ITEM


@router.get("/injected/{item_id}")
@inject
async def read_constant_with_service(_: SignedIn, item_id: Id, _items: ItemService = Provide["item_service"]) -> Item:
    assert item_id == _ITEM.id
    return _ITEM


class _Memory(asyncio.Transport):
    """A client that has sent its request, and keeps the response in memory."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self.got: list[Any] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.got.append(data)

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        pass

    resume_reading = close = pause_reading


async def _constant(_scope: Scope, _receive: Receive, send: Send) -> None:
    headers = [(b"content-length", b"%d" % len(_BODY)), (b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": _BODY})


def _requests(
    app_of: Callable[[Stage], ASGIApp],
    path: str = "/",
    admission_of: Callable[[Stage], Admission | None] = lambda stage: Admission(stage.database),
    read: Callable[[], None] = lambda: None,
) -> Callable[[Stage, int], Coroutine[Any, Any, None]]:
    """Return work that sends requests to an application one after the other, through the server's protocol.

    `admission_of` returns the admission that reads them. `read` makes it read a request that it has kept.
    """

    async def work(stage: Stage, times: int) -> None:
        loop = asyncio.get_running_loop()
        config = Config(app_of(stage), http="httptools", access_log=False, log_level="error")
        config.load()
        state = ServerState()
        state.default_headers = [(b"date", b"Fri, 20 Nov 2026 12:00:00 GMT"), (b"server", b"uvicorn")]
        protocol = BatchedProtocol(config, state, {ADMISSION: admission_of(stage)})
        protocol.connection_made(client := _Memory())
        sent = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n\r\n".encode()
        finish = protocol.on_response_complete

        def finished() -> None:
            finish()
            done.set_result(None)

        protocol.on_response_complete = finished  # type: ignore[method-assign]
        for _ in range(times):
            done = loop.create_future()
            protocol.data_received(sent)
            read()
            await done
            assert client.got[-1] == _BODY, b"".join(client.got)
            client.got.clear()

    return work


def _of(stage: Stage) -> ASGIApp:
    """Return the service's application, created once for each stage."""
    if stage not in _apps:
        _apps[stage] = service.app.create_app(stage.container)
    return _apps[stage]


_apps: dict[Stage, ASGIApp] = {}


def _edge(app: ASGIApp) -> ASGIApp:
    guards = [Hosts(["127.0.0.1"]).check, check_query, check_loopback]
    return Edge(app, Drain(HttpSettings(drain_seconds=0)), guards, 0)


def _scoped(stage: Stage) -> ASGIApp:
    return _edge(RequestScope(_constant, stage.database, BodyLimits(1, 1)))


async def _driver(stage: Stage, times: int) -> None:
    for _ in range(times):
        await stage.raw.fetchrow(GET_ITEM, 1, None)


class _Busy:
    """A database with 64 waiting tasks, until `empties` is called."""

    options = DatabaseOptions()

    def __init__(self) -> None:
        self.waiters: Sized = range(64)
        self._calls: list[Callable[[], None]] = []

    def when_nobody_waits(self, call: Callable[[], None]) -> None:
        self._calls.append(call)

    def empties(self) -> None:
        crowd, self.waiters = self.waiters, ()
        self._calls.pop()()
        self.waiters = crowd


_busy = _Busy()

LAYERS = (
    Piece("server: uvicorn and httptools", _requests(lambda _: _constant, admission_of=lambda _: None), _TIMES),
    Piece("admission, while no task waits", _requests(lambda _: _constant), _TIMES),
    Piece("edge: request id, guards, headers", _requests(lambda _: _edge(_constant)), _TIMES),
    Piece("scope, failures, limits of the body", _requests(_scoped), _TIMES),
    Piece("application, routing, validation, serialization", _requests(_of, "/layers/plain/1"), _TIMES),
    Piece("caller and injection", _requests(_of, "/layers/injected/1"), _TIMES),
    Piece("service, repository, lease, driver and row", _requests(_of, "/items/1"), _TIMES),
)
"""Each with all before it."""
KEPT = Piece(
    "admission, of a request that is kept",
    _requests(lambda _: _constant, admission_of=lambda _: Admission(_busy), read=_busy.empties),  # type: ignore[arg-type]
    _TIMES,
)
"""To compare with the second layer."""
DRIVER = Piece("asyncpg's statement alone (part of the last layer)", _driver, _TIMES)
ALL = (*LAYERS, KEPT, DRIVER)


def main() -> None:
    """Measure, and print a table."""
    with migrated() as server:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            least = runner.run(_least(server.dsn))
        counts = counted(__spec__.name, server.dsn, ALL)
    rows = [(us, each.instructions, each.allocations) for us, each in zip(least, counts, strict=True)]
    print("| | us | Instructions | Allocations |\n| --- | --: | --: | --: |")
    before = (0.0, 0.0, 0.0)
    for piece, row in zip(LAYERS, rows, strict=False):
        _print(piece.title, *(now - then for now, then in zip(row, before, strict=True)))
        before = row
    _print(DRIVER.title, *rows[-1])
    _print("all of it", *before)
    _print(KEPT.title, *(now - then for now, then in zip(rows[-2], rows[0], strict=True)))


def _print(title: str, us: float, instructions: float, allocations: float) -> None:
    print(f"| {title} | {us:.1f} | {instructions:,.0f} | {allocations:.0f} |")


async def _least(dsn: str) -> list[float]:
    """Return the minimal processor time of each piece in microseconds."""
    async with staged(dsn) as stage:
        await stage.raw.execute(_ROW)
        least = [float("inf")] * len(ALL)
        for piece in ALL:
            await piece.work(stage, _TIMES)
        gc.collect()
        gc.freeze()
        for _ in range(_ROUNDS):
            for number, piece in enumerate(ALL):
                began = process_time()
                await piece.work(stage, _TIMES)
                least[number] = min(least[number], 1e6 * (process_time() - began) / _TIMES)
        return least


service.app.ROUTERS = (*service.app.ROUTERS[:2], router, *service.app.ROUTERS[2:])  # FastAPI looks in this order

if __name__ == "__main__":
    count(sys.argv[1], ALL) if sys.argv[1:] else main()
