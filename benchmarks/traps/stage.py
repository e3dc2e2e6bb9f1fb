"""The environment of a pattern in a scenario: its application on loopback, a database, and a record of its errors."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from textwrap import shorten
from typing import Any, TypeVar

import asyncpg
import httpx
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from benchmarks.traps.pattern import Pattern, Work, works

T = TypeVar("T")

NOISE = re.compile(r"\(sqlalchemy\.\S+\)|<class '\S+'>:|\[SQL: .*|\(Background on this error.*", re.DOTALL)
"""The text that SQLAlchemy adds to the driver's message."""


class Broke(Exception):
    """The pattern fell into the trap. The message says what happened."""


class Server(uvicorn.Server):
    """uvicorn without its signal handlers."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do nothing."""
        yield


class Stage:
    """One pattern in one scenario.

    `dsn` is a database that only this stage uses. `patience` is the time in seconds after which a step counts as stuck.
    """

    def __init__(self, pattern: Pattern, dsn: str, patience: float) -> None:
        self.pattern = pattern
        self.dsn = dsn
        self.patience = patience
        self.app: ASGIApp
        self.client: httpx.AsyncClient
        self.seen: list[BaseException] = []
        """The errors that the application raised, in order."""

    @asynccontextmanager
    async def serve(self, size: int) -> AsyncIterator[None]:
        """Serve the pattern's application over HTTP, with a pool of at most `size` connections."""
        self.app = self._witnessed(self.pattern.create_app(self.dsn, size))
        config = uvicorn.Config(
            self.app, lifespan="on", ws="websockets-sansio", log_config=None, timeout_graceful_shutdown=1
        )
        server = Server(config)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            serving = asyncio.create_task(server.serve([listener]), name="server")
            while not server.started:
                await asyncio.sleep(0.002)
                if serving.done():
                    raise self.broke("the application does not start")
            self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            limits = httpx.Limits(max_connections=None)
            try:
                async with httpx.AsyncClient(base_url=self.url, limits=limits, timeout=None) as self.client:  # noqa: S113
                    yield
            finally:
                server.should_exit = True
                await asyncio.wait([serving], timeout=self.patience)
                serving.cancel()

    async def ask(self, work: Work, path: str = "unit") -> httpx.Response:
        """Send one request whose endpoint runs `work`. Raise `Broke` if there is no response in time."""
        self.seen.clear()
        return await self.in_time(self.client.get(route(work, path)), "no answer")

    async def ask_all(self, work: Work, count: int, path: str = "unit") -> list[Any]:
        """Send `count` requests at once and return their bodies. Raise `Broke` unless each is a 200."""
        self.seen.clear()
        url = route(work, path)
        requests = [asyncio.create_task(self.client.get(url)) for _ in range(count)]
        done, late = await asyncio.wait(requests, timeout=self.patience)
        for request in late:
            request.cancel()
        failed = [request for request in done if request.exception() or request.result().status_code != httpx.codes.OK]
        if failed:
            raise self.broke(f"{len(failed)} of {count} requests failed")
        if late:
            raise self.broke(f"{len(late)} of {count} requests had no answer after {self.patience:g} s")
        return [request.result().json() for request in requests]

    async def others_are_served(self, situation: str) -> None:
        """Raise `Broke` if another request cannot run a statement."""

        async def quick(db: Any, _: Any) -> Any:
            return await self.pattern.value(db, "SELECT 1")

        answer = await self.in_time(self.client.get(route(quick)), f"{situation}, and another request waits")
        if answer.status_code != httpx.codes.OK:
            raise self.broke(f"{situation}, and another request gets a {answer.status_code}")

    async def in_time(self, awaitable: Awaitable[T], otherwise: str) -> T:
        """Await something. Raise `Broke` with `otherwise` if it takes too long."""
        try:
            async with asyncio.timeout(self.patience):
                return await awaitable
        except TimeoutError:
            raise self.broke(f"{otherwise} for {self.patience:g} s") from None
        except httpx.TransportError as error:
            raise self.broke(f"the answer breaks off: {type(error).__name__}") from None

    def broke(self, what: str) -> Broke:
        """Return a `Broke` with the first error that the application raised for the last requests."""
        return Broke(f"{what} ({described(self.seen[0])})" if self.seen else what)

    async def look(self, sql: str) -> Any:
        """Query the database directly, without the pattern."""
        connection = await asyncpg.connect(self.dsn)
        try:
            return await connection.fetchval(sql)
        finally:
            await connection.close()

    async def saved(self) -> int:
        """Return the number of committed rows of `marks`."""
        count: int = await self.look("SELECT count(*) FROM marks")
        return count

    def _witnessed(self, app: ASGIApp) -> ASGIApp:
        async def witness(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await app(scope, receive, send)
            except Exception as error:
                self.seen.append(error)
                raise

        return witness


def route(work: Work, path: str = "unit") -> str:
    """Return the path of the endpoint that runs `work`."""
    works[work.__name__] = work
    return f"/{path}/{work.__name__}"


def described(error: BaseException) -> str:
    """Return an error in a few words."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    text = " ".join(NOISE.sub("", str(error)).split())
    return f"{type(error).__name__}: {shorten(text, 100, placeholder='...')}".rstrip(": ")


async def ended(task: Coroutine[Any, Any, T]) -> T | Exception:
    """Return the result of a coroutine, or its error."""
    try:
        return await task
    except Exception as error:  # noqa: BLE001 - the scenario looks for the error
        return error
