"""From settings to an open database, and back."""

import asyncio
import logging
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TypeVar

import asyncpg
from dependency_injector.containers import Container

from service.database import Database, DatabaseUnavailable, EmbeddedServer
from service.database.hosts import Connector, Secret
from service.database.options import TlsMode
from service.injection import CONTAINER
from service.migrations import HISTORY, DatabaseAbsent, MigrationError, SchemaAhead
from service.settings import Settings

logger = logging.getLogger("service")

C = TypeVar("C", bound=Container)

_STARTING = 15
"""Seconds that an interrupted start waits for the embedded server to have started, to stop it."""


@asynccontextmanager
async def opened(container: C) -> AsyncIterator[C]:
    """A container with its resources open until the end of the block: what a server runs under, one scope for each request.

    They are closed however the block ends, by cancellation too, and also when one of them cannot be opened and others can.
    Raises what opening them raises: for the pool, `ConfigurationError`, `EmbeddedServerError` and `MigrationError`.
    """
    try:
        if (opening := container.init_resources()) is not None:
            await opening
        yield container
    finally:
        if (closing := container.shutdown_resources()) is not None:
            await closing


@asynccontextmanager
async def container_scope(container: C, name: str) -> AsyncIterator[C]:
    """The whole life of a script, a command or a job: resources open, in one scope of this name, and closed at the end.

    `async with container_scope(Container(), "import") as container:`. As for `opened`.
    """
    before = CONTAINER.set(container)
    try:
        async with opened(container), container.providers["database"]().scope(name):
            yield container
    finally:
        CONTAINER.reset(before)


@dataclass(frozen=True)
class Target:
    """Where PostgreSQL is, and how one connects to it outside the pool."""

    dsn: Secret
    password: Secret | None
    settings: Settings

    @property
    def remote_sslmode(self) -> TlsMode:
        """TLS towards another machine where nobody names a mode: in production no connection without it."""
        return "prefer" if self.settings.is_local else "require"

    async def connect(self) -> "asyncpg.Connection[asyncpg.Record]":
        """A connection without limits for statements, for migrations and checks."""
        options = self.settings.database
        connector = Connector(self.dsn, self.password, options, self.remote_sslmode)
        connection: asyncpg.Connection[asyncpg.Record] = await connector.connect(
            server_settings={"application_name": f"{options.application_name} migrate"}
        )
        return connection


def end_on_hangup(*_: object) -> None:
    """End the program as SIGTERM does where the program handles that, as uvicorn does, or else as Ctrl-C does: in order.

    Only the first hangup counts: the kernel and the shell both send one when a terminal closes, and a second Ctrl-C is force.
    """
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGINT):
        if callable(signal.getsignal(number)):
            signal.raise_signal(number)
            return
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.raise_signal(signal.SIGHUP)


@contextmanager
def _ends_on_hangup() -> Iterator[None]:
    """Until the end of the block, a terminal that closes does not end the program at once: the embedded server would run on.

    Where the program has a handler of its own, or ignores SIGHUP as under `nohup`, that stays.
    """
    is_default = signal.getsignal(signal.SIGHUP) == signal.SIG_DFL
    if not is_default or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGHUP, end_on_hangup)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


@asynccontextmanager
async def target(settings: Settings, password: Secret | None = None) -> AsyncIterator[Target]:
    """PostgreSQL as configured; with no DSN, an embedded server that runs until the end of the block.

    `password`: in the place of the configured one, for instance an async function that asks Vault or IAM for it.
    Raises `EmbeddedServerError` when that cannot start.
    """
    if settings.dsn() is not None:
        yield Target(settings.dsn, password or settings.database_password, settings)
        return
    server = EmbeddedServer(settings.embedded_data_dir)
    with _ends_on_hangup():
        starting = asyncio.create_task(asyncio.to_thread(server.start))
        try:
            dsn = await asyncio.shield(starting)
            logger.info("embedded PostgreSQL with its data in %s", server.data_dir)
            yield Target(dsn, password or settings.database_password, settings)
        finally:
            await asyncio.wait([starting], timeout=_STARTING)  # a thread cannot be cancelled: what it starts is stopped
            await asyncio.to_thread(server.stop)


async def open_database(
    database: Database, settings: Settings, password: Secret | None = None
) -> AsyncIterator[Database]:
    """The life of the pool, as a resource of the container: migrate where that is wanted, open, and close at the end.

    A server that is not there does not stop it: the schema is migrated when there is one, before any statement.
    `password`: as for `target`.

    Raises `EmbeddedServerError`, `InvalidDsn` and `MigrationError`.
    """
    async with target(settings, password) as postgres:
        prepare = _UpToDate(postgres) if settings.migrate_on_start else None
        if prepare is not None:
            try:
                await prepare()
            except DatabaseAbsent as error:
                logger.warning("%s. The service starts without it, and migrates when it is there", error)
        await database.open(
            postgres.dsn,
            password=postgres.password,
            prepare=prepare and prepare.before_connecting,
            remote_sslmode=postgres.remote_sslmode,
        )
        try:
            yield database
        finally:
            await database.close()


class _UpToDate:
    """Brings the schema up to date, once, when it is first awaited with a server there."""

    def __init__(self, postgres: Target) -> None:
        self._postgres = postgres
        self._turn = asyncio.Lock()
        self._done = False

    async def __call__(self) -> None:
        async with self._turn:
            if (
                not self._done
            ):  # pragma: no branch - the second connection of a pool that migrates, in processes of their own
                await _migrate_if_behind(self._postgres)
                self._done = True

    async def before_connecting(self) -> None:
        """The same for the pool, which tells and logs what its own kind of error says."""
        try:
            await self()
        except MigrationError as error:
            raise DatabaseUnavailable(str(error)) from error


async def _migrate_if_behind(postgres: Target) -> None:
    from service.migrations import runner  # noqa: PLC0415 - imports Alembic and SQLAlchemy, which serving does not need

    schema = HISTORY.compare(await runner.applied(postgres.connect))
    try:
        if schema.behind or schema.ahead:
            await runner.migrate(postgres.connect)
    except SchemaAhead as error:
        logger.warning("%s", error)
