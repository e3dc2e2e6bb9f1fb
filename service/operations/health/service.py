"""The check of readiness."""

import logging

from asyncpg import PostgresError

from service.database import Database, DatabaseError, PoolTimeout, ScopedConnection
from service.migrations import HISTORY, MigrationError, applied_revisions
from service.operations.health.errors import NotReady
from service.web.drain import Drain

logger = logging.getLogger("service")


class HealthService:
    """Checks whether the service can answer requests."""

    def __init__(self, database: Database, connection: ScopedConnection, drain: Drain) -> None:
        self._database = database
        self._connection = connection
        self._drain = drain

    async def check_ready(self) -> None:
        """Raise `NotReady` while the service starts or stops, without a database, or with a schema older than the code."""
        if self._drain.active or self._database.is_closing:
            raise NotReady("draining: the service is stopping")
        if not self._database.is_open:
            raise NotReady("starting: the pool is not open yet")
        applied = await self._applied()
        try:
            schema = HISTORY.compare(applied)
        except MigrationError as error:
            raise NotReady(str(error)) from error
        if schema.behind:
            raise NotReady(f"the schema is {schema.said}")

    async def _applied(self) -> tuple[str, ...]:
        try:
            return await applied_revisions(self._connection)
        except PoolTimeout as error:
            raise NotReady("busy: no connection became free in time") from error
        except DatabaseError as error:
            raise NotReady("no database: it cannot be reached; see the log") from error
        except PostgresError as error:
            logger.warning("the schema's revision cannot be read: %s", error)
            raise NotReady("the schema's revision cannot be read; see the log") from error
