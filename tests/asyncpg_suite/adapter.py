"""asyncpg's `ConnectedTestCase` with a `ScopedConnection` in place of a connection."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any
from unittest import mock

import asyncpg
from asyncpg import _testbase

from service.database import Database, DatabaseOptions, ScopedConnection
from service.database.scope import Executor


class Scoped(ScopedConnection):
    """A `ScopedConnection`; what it does not have is that of the connection which `session()` gives, in a session."""

    def __init__(self, database: Database, raw: Any) -> None:
        super().__init__(database)
        self.raw = raw

    def __getattr__(self, name: str) -> Any:
        if self.raw is None:
            return super().__getattr__(name)  # type: ignore[misc]
        return getattr(self.raw, name)


class OnScopedConnection(_testbase.ClusterTestCase):
    """Takes the place of `asyncpg._testbase.ConnectedTestCase`.

    Each test has an empty schema and a pool of one connection, and runs in a scope, or in a session in it.
    """

    loop: asyncio.AbstractEventLoop
    dsn: str
    in_session = False

    def setUp(self) -> None:
        """Open the pool with the options that the test asks for, and enter the scope for all that the test runs."""
        super().setUp()
        self.server_version = self.loop.run_until_complete(self._clean())
        asked = dict(getattr(getattr(self, self._testMethodName).__func__, "__connect_options__", {}))
        own = {name: asked.pop(name) for name in ("command_timeout", "statement_cache_size") if name in asked}
        kind = asked.pop("connection_class", asyncpg.Connection)
        patch = mock.patch.object(asyncpg, "connect", _with(asked))
        patch.start()
        self.addCleanup(patch.stop)
        self._life = AsyncExitStack()
        self.addCleanup(lambda: self.loop.run_until_complete(self._life.aclose()))
        options = DatabaseOptions(min_size=1, max_size=1, **own)
        self.con = self._entered(Database(options, connection_class=kind))

    def _entered(self, database: Database) -> Scoped:
        async def enter() -> tuple[Any, Executor]:
            await database.open(self.dsn)
            self._life.push_async_callback(database.close)
            await self._life.enter_async_context(database.scope(self.id()))
            session = ScopedConnection(database).session()
            raw = await self._life.enter_async_context(session) if self.in_session else None
            return raw, database.executor()

        raw, frame = self.loop.run_until_complete(enter())
        token = database._current.set(frame)  # the tasks of the test copy the context of the code that starts them
        self.addCleanup(database._current.reset, token)
        return Scoped(database, raw)

    async def _clean(self) -> Any:
        connection = await self.connect()
        try:
            await connection.execute(
                "DROP SCHEMA public CASCADE; CREATE SCHEMA public; GRANT USAGE ON SCHEMA public TO PUBLIC"
            )
            return connection.get_server_version()
        finally:
            await connection.close()


def _with(more: Mapping[str, Any]) -> Callable[..., Awaitable[Any]]:
    """`asyncpg.connect` with these arguments too, which the pool has no options for."""
    connect = asyncpg.connect

    async def connected(*args: Any, server_settings: Mapping[str, str] | None = None, **arguments: Any) -> Any:
        settings = {**(server_settings or {}), **more.get("server_settings", {})}
        return await connect(*args, **{**arguments, **more, "server_settings": settings})

    return connected
