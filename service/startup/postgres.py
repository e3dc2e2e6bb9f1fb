"""The PostgreSQL of the settings: its address, or the embedded server."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg

from service.database import EmbeddedServer
from service.database.connect import Connector, Secret
from service.database.options import TlsMode
from service.settings import Settings
from service.startup.signals import ends_on_hangup

logger = logging.getLogger("service")


_STOP_SECONDS = 15
"""How long an interrupted start waits until the embedded server has started and can be stopped."""


@dataclass(frozen=True)
class PostgresServer:
    """The address of PostgreSQL, and connections to it outside the pool."""

    dsn: Secret
    password: Secret | None
    settings: Settings

    @property
    def remote_sslmode(self) -> TlsMode:
        """Return the TLS mode for another machine if the DSN and the settings have none: `require` in production."""
        return "prefer" if self.settings.is_local else "require"

    async def connect(self) -> "asyncpg.Connection[asyncpg.Record]":
        """Open a connection without time limits for statements, for migrations and checks."""
        settings = self.settings.database
        connector = Connector(self.dsn, self.password, settings, self.remote_sslmode)
        connection: asyncpg.Connection[asyncpg.Record] = await connector.connect(
            server_settings={"application_name": f"{settings.application_name} migrate"}
        )
        return connection


@asynccontextmanager
async def postgres_server(settings: Settings, password: Secret | None = None) -> AsyncIterator[PostgresServer]:
    """Yield the PostgreSQL of the settings. Without a DSN, run an embedded server until the end of the block.

    `password` replaces the one of the settings, for instance by an async function that asks Vault or IAM. Raises
    `EmbeddedServerError` if the embedded server cannot start.
    """
    if settings.dsn() is not None:
        yield PostgresServer(settings.dsn, password or settings.database_password, settings)
        return
    server = EmbeddedServer(settings.embedded_data_dir)
    with ends_on_hangup():
        starting = asyncio.create_task(asyncio.to_thread(server.start))
        try:
            dsn = await asyncio.shield(starting)
            logger.info("embedded PostgreSQL with its data in %s", server.data_dir)
            yield PostgresServer(dsn, password or settings.database_password, settings)
        finally:
            await asyncio.wait(
                [starting], timeout=_STOP_SECONDS
            )  # a thread cannot be cancelled: wait for its server, then stop it
            await asyncio.to_thread(server.stop)
