"""Whether the service can work."""

import logging

from asyncpg import PostgresError, UndefinedTableError

from service.database import Database, DatabaseError, PoolTimeout, ScopedConnection
from service.drain import Drain
from service.errors import Unavailable
from service.migrations import HEAD

logger = logging.getLogger("service")

SCHEMA_REVISION = "SELECT max(version_num) FROM alembic_version"


class NotReady(Unavailable):
    """The service cannot work now. The message says why."""


class HealthService:
    """Asks the database, where it can be asked."""

    def __init__(self, database: Database, connection: ScopedConnection, drain: Drain) -> None:
        self._database = database
        self._connection = connection
        self._drain = drain

    async def check_ready(self) -> None:
        """Raises `NotReady` while it starts or stops, without a database, or with a schema older than the code."""
        if self._drain.active or self._database.is_closing:
            raise NotReady("draining: the service is stopping")
        if not self._database.is_open:
            raise NotReady("starting: the pool is not open yet")
        try:
            revision = await self._connection.fetchval(SCHEMA_REVISION)
        except UndefinedTableError:
            revision = None
        except PoolTimeout as error:
            raise NotReady("busy: no connection became free in time") from error
        except DatabaseError as error:
            raise NotReady("no database: it cannot be reached; the log says why") from error
        except PostgresError as error:
            logger.warning("the schema's revision cannot be read: %s", error)
            raise NotReady("the schema's revision cannot be read; the log says why") from error
        if revision is None or revision < HEAD:
            raise NotReady(
                f"the schema is at {revision or 'nothing'} and the code needs {HEAD}: run `poolkeeper migrate`"
            )
