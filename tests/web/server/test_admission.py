"""Requests that are read in batches while connections to PostgreSQL are waited for."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from time import monotonic

import pytest
import uvicorn
from fastapi import FastAPI

from containers import Container
from service.app import create_app
from service.database import Database, DatabaseOptions, ScopedConnection
from service.web.server.admission import Admission
from service.web.server.protocol import BatchedProtocol
from tests.database.helpers import hold, until, whole

MAX_WAITING = 20
READ = b"GET /users/1 HTTP/1.1\r\nHost: test\r\n\r\n"
ALIVE = b"GET /health/live HTTP/1.1\r\nHost: test\r\n\r\n"
NEW = b'{"email": "ada@example.com", "password": "x"}'
REGISTER = b"POST /users/ HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(
    NEW
)


class Client:
    """One connection to the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def status(self) -> int:
        """Of the next answer."""
        return (await self._answer())[0]

    async def body(self) -> bytes:
        """Of the next answer."""
        return (await self._answer())[1]

    async def _answer(self) -> tuple[int, bytes]:
        async with asyncio.timeout(60):
            head = await self._reader.readuntil(b"\r\n\r\n")
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            return int(head.split()[1]), await self._reader.readexactly(int(length.partition(b":")[2]))

    async def is_closed(self) -> bool:
        async with asyncio.timeout(60):
            return await self._reader.read() == b""


class Server:
    """The service under uvicorn, with one connection to PostgreSQL."""

    def __init__(
        self, container: Container, app: FastAPI, port: int, clients: AsyncExitStack, uvicorn_server: uvicorn.Server
    ) -> None:
        self.database: Database = container.database()
        self.connection: ScopedConnection = container.connection()
        self.leave = asyncio.Event()
        """Set when whoever has the connection is to give it back."""
        self.app = app
        self.uvicorn = uvicorn_server
        self._port = port
        self._clients = clients

    async def client(self) -> Client:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._clients.callback(writer.close)
        return Client(reader, writer)

    async def served(self) -> tuple[Client, BatchedProtocol]:
        """A client that has had an answer, and the server's side of its connection: the only one."""
        client = await self.client()
        client.send(ALIVE)
        assert await client.status() == 200
        (connection,) = self.uvicorn.server_state.connections
        assert isinstance(connection, BatchedProtocol)
        return client, connection

    async def clients(self, count: int) -> list[Client]:
        return [await self.client() for _ in range(count)]

    def waiting(self) -> int:
        return self.database.stats().waiting

    @asynccontextmanager
    async def busy(self, request: bytes = READ) -> AsyncIterator[None]:
        """Somebody has the connection, and a client waits for it with this request."""
        entered = asyncio.Event()

        async def holding() -> None:
            async with self.database.scope("holder"):
                await hold(self.connection, entered, self.leave)

        async with asyncio.TaskGroup() as group:
            group.create_task(holding())
            await entered.wait()
            first = await self.client()
            first.send(request)
            await until(lambda: self.waiting() == 1)
            try:
                yield
            finally:
                self.leave.set()
        assert await first.status() in {200, 404}


@asynccontextmanager
async def _serving(dsn: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    monkeypatch.setattr("service.web.server.admission._SHORT_LINE", 1)
    monkeypatch.setenv("DATABASE_URL", dsn)
    monkeypatch.setenv("POOLKEEPER_DATABASE__MIN_SIZE", "1")
    monkeypatch.setenv("POOLKEEPER_DATABASE__MAX_SIZE", "1")
    monkeypatch.setenv("POOLKEEPER_DATABASE__MAX_WAITING", str(MAX_WAITING))
    container = Container()
    app = create_app(container)
    config = uvicorn.Config(app, http=BatchedProtocol, log_level="critical", timeout_graceful_shutdown=5)
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve([listener]))
    await until(lambda: server.started)
    try:
        async with AsyncExitStack() as clients:
            yield Server(container, app, listener.getsockname()[1], clients, server)
        await until(lambda: whole(container.database()) and not server.server_state.connections)
    finally:
        server.should_exit = True
        async with asyncio.timeout(60):
            await running


@pytest.fixture
async def server(clone_dsn: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    """Keeps requests for as long as a test takes, so that none depends on how quick the machine is."""
    monkeypatch.setattr("service.web.server.admission._LONGEST", 30.0)
    async with _serving(clone_dsn, monkeypatch) as server:
        yield server


async def _a_moment() -> None:
    """Time for the server to read what was sent, if it wants to."""
    await asyncio.sleep(0.1)


async def test_requests_are_read_when_nobody_waits_any_more(server: Server) -> None:
    """Until then they are kept as they came, and stand in no line; then all are answered."""
    async with server.busy():
        others = await server.clients(5)
        for client in others:
            client.send(READ)
        await _a_moment()
        assert server.waiting() == 1
    assert [await client.status() for client in others] == [404] * 5


async def test_without_anybody_waiting_a_request_is_read_at_once(server: Server) -> None:
    """Also while every connection is in use: who comes then is the first to wait."""
    client = await server.client()
    for _ in range(3):
        client.send(READ)
        assert await client.status() == 404


async def test_nobody_is_kept_for_long(clone_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where connections are held for long, requests wait in line as without batches, and what needs none is answered."""
    monkeypatch.setattr("service.web.server.admission._LONGEST", 0.2)
    async with _serving(clone_dsn, monkeypatch) as server:
        client, probe = await server.clients(2)
        async with server.busy():
            client.send(READ)
            began = monotonic()
            probe.send(ALIVE)
            assert await probe.status() == 200
            assert monotonic() - began > 0.15
            await until(lambda: server.waiting() == 2)
        assert await client.status() == 404


async def test_whoever_finds_the_line_full_is_told_at_once(server: Server) -> None:
    """And with it those who were kept: there is nothing to be gained by a wait."""
    kept, refused = await server.clients(2)
    async with server.busy():
        kept.send(READ)
        await _a_moment()
        assert server.waiting() == 1
        async with server.database.scope("jobs"), asyncio.TaskGroup() as others:
            jobs = [others.create_task(server.connection.fetchval("SELECT 1")) for _ in range(MAX_WAITING - 1)]
            await until(lambda: server.waiting() == MAX_WAITING)
            refused.send(READ)
            assert [await client.status() for client in (kept, refused)] == [503, 503]
            jobs.pop().cancel()
            await until(lambda: server.waiting() == MAX_WAITING - 1)
            refused.send(ALIVE)
            await _a_moment()
            server.leave.set()
        assert await refused.status() == 200


async def test_the_rest_of_a_request_is_read_whoever_waits(server: Server) -> None:
    """It may be its body that a connection is held for."""
    client = await server.client()
    client.send(REGISTER + NEW[:10])
    await _a_moment()
    async with server.busy():
        client.send(NEW[10:])
        await until(lambda: server.waiting() == 2)
    assert await client.status() == 201


async def test_what_comes_in_pieces_is_read_in_their_order(server: Server) -> None:
    """A head in three pieces, and a body after it."""
    client = await server.client()
    async with server.busy():
        for piece in (REGISTER[:20], REGISTER[20:50], REGISTER[50:], NEW):
            client.send(piece)
            await _a_moment()
    assert await client.status() == 201
    client.send(READ)
    assert await client.status() == 200


async def test_a_client_that_sends_much_is_not_read_while_it_is_kept(server: Server) -> None:
    """What waits in memory for each connection is no more than uvicorn itself takes of a body ahead of its reader."""
    client, connection = await server.served()
    body = b"x" * 100_000
    async with server.busy():
        connection.data_received(REGISTER.replace(b"%d" % len(NEW), b"%d" % len(body)) + body)  # in one piece
        paused = connection.flow.read_paused
    assert await client.status() == 422
    assert (paused, connection.flow.read_paused) == (True, False)


async def test_requests_behind_one_another_are_answered_in_their_order(server: Server) -> None:
    """Two in one piece, and one more after it."""
    client = await server.client()
    async with server.busy():
        client.send(ALIVE + READ)
        await _a_moment()
        client.send(ALIVE)
        await _a_moment()
    assert [await client.status() for _ in range(3)] == [200, 404, 200]


async def test_a_request_behind_another_waits_for_its_answer(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also behind one that was itself behind another, when nothing is kept."""
    monkeypatch.setattr("service.web.server.admission._SHORT_LINE", 1000)
    client = await server.client()
    async with server.busy():
        client.send(ALIVE + READ)
        assert await client.status() == 200
        client.send(ALIVE)
        await _a_moment()
    assert [await client.status() for _ in range(2)] == [404, 200]


async def test_an_answer_before_the_whole_body_was_sent_leaves_the_connection_usable(server: Server) -> None:
    """The rest of the body belongs to the request that was answered, and is thrown away."""
    client = await server.client()
    client.send(REGISTER.replace(b"/users/ ", b"/nowhere ") + NEW[:5])
    assert await client.status() == 404
    client.send(NEW[5:] + ALIVE)
    assert await client.status() == 200


async def test_nothing_is_done_for_clients_that_have_gone(server: Server) -> None:
    """A request that nobody has read yet leaves with its client."""
    gone, stays = await server.clients(2)
    async with server.busy():
        gone.send(REGISTER + NEW)
        stays.send(READ)
        await _a_moment()
        gone.writer.transport.abort()
        await _a_moment()
    assert await stays.status() == 404  # the row would be there


async def test_a_kept_request_is_answered_although_the_server_ends(server: Server) -> None:
    """It was sent before the server said anything about its end."""
    client = await server.client()
    async with server.busy():
        client.send(ALIVE)
        await _a_moment()
        server.uvicorn.should_exit = True
        assert await client.status() == 200
        assert await client.is_closed()


async def test_a_kept_request_does_not_count_as_idleness(server: Server) -> None:
    """Uvicorn would close the connection after `timeout_keep_alive` seconds."""
    client, connection = await server.served()

    def idles() -> bool:
        return connection.timeout_keep_alive_task is not None

    assert idles()
    async with server.busy():
        client.send(READ)
        await _a_moment()
        assert not idles()
    assert await client.status() == 404


async def test_nothing_is_kept_of_a_connection_that_was_reset(server: Server) -> None:
    """Uvicorn's keep-alive timer would hold it for `timeout_keep_alive` seconds more, with all that belongs to it."""
    client, connection = await server.served()
    own = client.writer.get_extra_info("socket")
    own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.writer.transport.abort()
    await until(lambda: not server.uvicorn.server_state.connections)
    assert connection.timeout_keep_alive_task is None


async def test_it_can_be_switched_off(clone_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the protocol is uvicorn's own."""
    monkeypatch.setenv("POOLKEEPER_PERFORMANCE__BATCHED_ADMISSION", "false")
    async with _serving(clone_dsn, monkeypatch) as server:
        await server.served()
        async with server.busy():
            for client in await server.clients(5):
                client.send(READ)
            await until(lambda: server.waiting() == 6)


async def test_requests_that_are_read_in_a_row_share_no_context(server: Server) -> None:
    """What one sets in a context variable, no other sees: they are read when a request has been served, but not by it."""
    mark = ContextVar("mark", default="none")

    async def marking() -> str:
        before = mark.get()
        mark.set("somebody's")
        await server.connection.fetchval("SELECT 1")
        return before

    server.app.add_api_route("/marking", marking)
    request = b"GET /marking HTTP/1.1\r\nHost: test\r\n\r\n"
    others = await server.clients(3)
    async with server.busy(request):
        for client in others:
            client.send(request)
        await _a_moment()
    assert [await client.body() for client in others] == [b'"none"'] * 3


async def test_what_cannot_be_read_ends_its_connection_and_no_other(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the event loop itself hands it to the protocol."""
    broken, others = await server.client(), await server.clients(2)
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["exception"]))
    original = BatchedProtocol.read

    def read(self: BatchedProtocol, data: bytes) -> None:
        if b"broken" in data:
            raise MemoryError("of a test")
        original(self, data)

    monkeypatch.setattr(BatchedProtocol, "read", read)
    async with server.busy():
        for client, request in ((others[0], READ), (broken, b"broken"), (others[1], READ)):
            client.send(request)
            await _a_moment()
    assert [await client.status() for client in others] == [404, 404]
    assert await broken.is_closed()
    assert [str(error) for error in reported] == ["of a test"]


class _Line:
    """A database of which a test says whether it is waited for."""

    def __init__(self) -> None:
        self.waiters = range(1)
        self.options = DatabaseOptions()
        self._watchers: list[Callable[[], None]] = []

    def when_nobody_waits(self, call: Callable[[], None]) -> None:
        self._watchers.append(call)

    def empties(self) -> None:
        self.waiters = range(0)
        watchers, self._watchers = self._watchers, []
        for watcher in watchers:
            watcher()


async def test_a_batch_is_as_large_as_a_cache_and_the_next_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """First come, first served; who comes meanwhile is behind those who were there."""
    monkeypatch.setattr("service.web.server.admission._SHORT_LINE", 3)
    monkeypatch.setattr("service.web.server.admission._BATCH", 3)
    line, read = _Line(), list[int]()
    admission = Admission(line)  # type: ignore[arg-type]
    line.waiters = range(2)  # so few are no reason
    assert admission.is_open()
    line.waiters = range(3)
    for number in range(7):
        assert not admission.is_open()
        admission.keep(lambda number=number: read.append(number))  # type: ignore[misc]
    line.empties()
    assert read == [0, 1, 2]
    assert not admission.is_open()
    line.waiters = range(3)  # the three wait for connections
    admission._read_batch()
    assert read == [0, 1, 2]
    line.empties()
    line.empties()
    assert read == list(range(7))
    assert admission.is_open()


async def test_the_line_is_watched_once_however_often_requests_are_kept() -> None:
    """Where it does not empty for hours, and requests are read because they have been kept for long enough."""
    line = _Line()
    admission = Admission(line)  # type: ignore[arg-type]
    for _ in range(3):
        admission.keep(lambda: None)
        admission._read_first()
    assert len(line._watchers) == 1


async def test_each_is_kept_for_its_own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes later is read later."""
    monkeypatch.setattr("service.web.server.admission._LONGEST", 0.1)
    admission, read = Admission(_Line()), list[tuple[int, float]]()  # type: ignore[arg-type]
    admission.keep(lambda: read.append((1, monotonic())))
    await asyncio.sleep(0.05)
    began = monotonic()
    admission.keep(lambda: read.append((2, monotonic())))
    await until(lambda: len(read) == 2)
    assert [number for number, _ in read] == [1, 2]
    assert read[1][1] - began >= 0.1
