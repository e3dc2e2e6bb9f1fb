"""Opening and closing a container's resources."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

from dependency_injector.containers import Container

from service.database import Database, DatabaseUnavailable
from service.database.connect import Secret
from service.injection import CONTAINER
from service.migrations import HISTORY, DatabaseAbsent, MigrationError, SchemaAhead
from service.settings import Settings
from service.startup.postgres import PostgresServer, postgres_server

logger = logging.getLogger("service")

C = TypeVar("C", bound=Container)


@asynccontextmanager
async def opened(container: C) -> AsyncIterator[C]:
    """Open a container's resources until the end of the block, for a server that opens a scope for each request.

    Resources are closed when the block ends, by cancellation too, and when one of them cannot be opened. Raises the errors
    of opening them: for the pool, `ConfigurationError`, `EmbeddedServerError` and `MigrationError`.
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
    """Open a container's resources and a scope of this name until the end of the block, for a script, command or job.

    `async with container_scope(Container(), "import") as container:`. Raises as `opened` does.
    """
    before = CONTAINER.set(container)
    try:
        async with opened(container), container.providers["database"]().scope(name):
            yield container
    finally:
        CONTAINER.reset(before)


async def open_database(
    database: Database, settings: Settings, password: Secret | None = None
) -> AsyncIterator[Database]:
    """Open the pool, as a resource of the container, and close it at the end. Migrate first if `migrate_on_start` is set.

    If the server cannot be reached, the schema is migrated when it can, before any statement. `password` is as for
    `postgres_server`.

    Raises `EmbeddedServerError`, `InvalidDsn` and `MigrationError`.
    """
    async with postgres_server(settings, password) as postgres:
        prepare = _MigrateOnce(postgres) if settings.migrate_on_start else None
        if prepare is not None:
            try:
                await prepare()
            except DatabaseAbsent as error:
                logger.warning("%s. The service starts without it, and migrates when it can connect", error)
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


class _MigrateOnce:
    """Migrates the schema once, when it is first awaited and the server can be reached."""

    def __init__(self, postgres: PostgresServer) -> None:
        self._postgres = postgres
        self._turn = asyncio.Lock()
        self._done = False

    async def __call__(self) -> None:
        async with self._turn:
            if (
                not self._done
            ):  # pragma: no branch - a pool that migrates opens a second connection only in other processes
                await _migrate_if_behind(self._postgres)
                self._done = True

    async def before_connecting(self) -> None:
        """Migrate, for the pool, which handles and logs its own kind of error."""
        try:
            await self()
        except MigrationError as error:
            raise DatabaseUnavailable(str(error)) from error


async def _migrate_if_behind(postgres: PostgresServer) -> None:
    from service.migrations import runner  # noqa: PLC0415 - imports Alembic and SQLAlchemy, which serving does not need

    schema = HISTORY.compare(await runner.applied(postgres.connect))
    try:
        if schema.behind or schema.ahead:
            await runner.migrate(postgres.connect)
    except SchemaAhead as error:
        logger.warning("%s", error)
