"""PostgreSQL as it is configured: where it is, and the embedded server."""

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


_STARTING = 15
"""Seconds that an interrupted start waits for the embedded server to have started, to stop it."""


@dataclass(frozen=True)
class PostgresServer:
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


@asynccontextmanager
async def postgres_server(settings: Settings, password: Secret | None = None) -> AsyncIterator[PostgresServer]:
    """PostgreSQL as configured; with no DSN, an embedded server that runs until the end of the block.

    `password`: in the place of the configured one, for instance an async function that asks Vault or IAM for it.
    Raises `EmbeddedServerError` when that cannot start.
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
            await asyncio.wait([starting], timeout=_STARTING)  # a thread cannot be cancelled: what it starts is stopped
            await asyncio.to_thread(server.stop)
