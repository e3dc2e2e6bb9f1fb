"""What the scope of the Tornado example covers: seen in all of a request, closed after it, and one for each."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from httpx import AsyncClient
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application

from containers import Container
from examples.tornado_app import ScopedHandler
from service.database import Database, NoActiveScope, Scope

Seen = list[tuple[str, Scope, bool]]


class Handler(ScopedHandler):
    """Writes down which scope each part of a request sees, and whether it is open still."""

    def note(self, part: str) -> None:
        scope = self.settings["database"].executor().scope
        self.settings["seen"].append((part, scope, not scope.closed))

    async def prepare(self) -> None:
        self.note("prepare")

    async def get(self, what: str) -> None:
        self.note("get")
        if what == "fails":
            raise ZeroDivisionError
        connection = self.settings["connection"]
        await asyncio.gather(*(connection.execute("SELECT pg_sleep(0.05)") for _ in range(3)))
        await self.finish(what)
        await connection.execute("SELECT 1")
        self.note("after finish")

    def write_error(self, status_code: int, **kwargs: object) -> None:
        self.note("error page")
        super().write_error(status_code, **kwargs)

    def log_exception(self, *args: object) -> None:
        """The error is meant."""

    def on_finish(self) -> None:
        self.note("on_finish")


@pytest.fixture
def seen() -> Seen:
    """What the handlers saw."""
    return []


@pytest.fixture
async def client(cloned_container: Container, seen: Seen) -> AsyncIterator[AsyncClient]:
    """An HTTP client of a Tornado application on a real socket."""
    database = cloned_container.database()
    application = Application([(r"/(\w+)", Handler)])
    application.settings.update(database=database, connection=cloned_container.connection(), seen=seen)
    server = HTTPServer(application)
    socket, port = bind_unused_port()
    server.add_socket(socket)
    async with AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        yield client
    server.stop()
    await server.close_all_connections()
    assert database.stats().leased == 0


async def test_all_of_a_request_sees_its_scope_until_its_end(client: AsyncClient, seen: Seen) -> None:
    """`finish()` in the middle of a method does not end it."""
    assert (await client.get("/works")).text == "works"
    async with asyncio.timeout(60):
        while len(seen) < 4:
            await asyncio.sleep(0.01)
    assert [(part, was_open) for part, _, was_open in seen] == [
        ("prepare", True), ("get", True), ("on_finish", True), ("after finish", True),
    ]  # fmt: skip
    [scope] = {scope for _, scope, _ in seen}
    assert scope.name == "GET /works"
    assert scope.statements == 4
    assert scope.closed


async def test_a_request_that_fails_has_it_on_the_error_page(client: AsyncClient, seen: Seen) -> None:
    """And it is closed after that."""
    assert (await client.get("/fails")).status_code == 500
    assert [(part, was_open) for part, _, was_open in seen] == [
        ("prepare", True), ("get", True), ("error page", True), ("on_finish", True),
    ]  # fmt: skip
    assert all(scope.closed for _, scope, _ in seen)


async def test_requests_at_once_have_one_each(client: AsyncClient, seen: Seen, cloned_container: Container) -> None:
    """Also those that reuse a connection of the client; and none is left to whoever serves."""
    await asyncio.gather(*(client.get(f"/{number}") for number in range(20)))
    await asyncio.gather(*(client.get(f"/{number}") for number in range(20)))
    async with asyncio.timeout(60):
        while len(seen) < 160:
            await asyncio.sleep(0.01)
    assert len({scope for _, scope, _ in seen}) == 40
    assert all(scope.closed for _, scope, _ in seen)
    database: Database = cloned_container.database()
    with pytest.raises(NoActiveScope):
        database.executor()
