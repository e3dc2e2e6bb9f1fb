"""Runs Alembic over asyncpg: no second driver, and no ORM."""

import io
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TypeVar

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from service.database.failures import breaks_connection, reason
from service.migrations import DatabaseAbsent, MigrationError

_LOCK = 7_665_443_217_001
"""The advisory lock that one migration at a time holds; any number that nobody else uses."""
_LOCK_TIMEOUT = "10s"
"""A statement that waits longer for a table's lock fails: a migration must not queue up the whole service behind it."""
_STATEMENT_TIMEOUT = "15min"

T = TypeVar("T")
Connect = Callable[[], Awaitable["asyncpg.Connection[asyncpg.Record]"]]


async def migrate(connect: Connect, to: str = "head") -> tuple[str | None, str | None]:
    """Bring the schema to a revision, up or down. Processes that do so at once do it once, one after the other.

    `connect` gives a new connection of a role that may create tables. `to`: a revision, `head`, or `base` for none.
    Returns the revisions before and after, both read while no other process migrates.

    Raises `MigrationError` for an unknown revision or a statement that fails, and `DatabaseAbsent` without a server; what
    earlier revisions did is kept.
    """
    async with _connected(connect) as connection:
        await connection.execute("SELECT pg_advisory_lock($1)", _LOCK, timeout=None)
        await connection.execute(
            f"SET lock_timeout = '{_LOCK_TIMEOUT}'; SET statement_timeout = '{_STATEMENT_TIMEOUT}'"
        )
        return await _on(connection, lambda sync: _move(sync, to))


async def current(connect: Connect) -> str | None:
    """The revision of the schema, or `None` before the first migration. Raises as `migrate` does."""
    async with _connected(connect) as connection:
        exists = await connection.fetchval("SELECT to_regclass('alembic_version') IS NOT NULL")
        return await connection.fetchval("SELECT max(version_num) FROM alembic_version") if exists else None


@asynccontextmanager
async def _connected(connect: Connect) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
    try:
        connection = await connect()
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        kind = DatabaseAbsent if breaks_connection(error) else MigrationError
        raise kind(f"cannot connect to PostgreSQL to migrate: {reason(error)}") from error
    try:
        yield connection
    except asyncpg.PostgresError as error:
        raise MigrationError(f"the schema cannot be read or changed: {reason(error)}") from error
    finally:
        await connection.close()


def sql(to: str = "head") -> str:
    """The SQL that brings an empty database to a revision. Raises `MigrationError` for an unknown one."""
    output = io.StringIO()
    _upgrade(_config(output), to, as_sql=True)
    return output.getvalue()


async def _on(connection: "asyncpg.Connection[asyncpg.Record]", work: Callable[[Connection], T]) -> T:
    async def same() -> "asyncpg.Connection[asyncpg.Record]":
        return connection

    engine = create_async_engine("postgresql+asyncpg://", async_creator=same, poolclass=NullPool)
    async with engine.connect() as sync_facade:
        result = await sync_facade.run_sync(work)
        await sync_facade.commit()
    return result


def _move(connection: Connection, to: str) -> tuple[str | None, str | None]:
    config = _config(io.StringIO())
    config.attributes["connection"] = connection
    before = MigrationContext.configure(connection).get_current_revision()
    connection.commit()
    if to == "base" or (before is not None and to != "head" and to < before):
        _downgrade(config, to)
    else:
        _upgrade(config, to)
    return before, MigrationContext.configure(connection).get_current_revision()


def _upgrade(config: Config, to: str, *, as_sql: bool = False) -> None:
    with _explained(to):
        command.upgrade(config, to, sql=as_sql)


def _downgrade(config: Config, to: str) -> None:
    with _explained(to):
        command.downgrade(config, to)


@contextmanager
def _explained(to: str) -> Iterator[None]:
    try:
        yield
    except CommandError as error:
        raise MigrationError(f"cannot migrate to {to!r}: {error}") from error
    except DBAPIError as error:
        raise MigrationError(f"a migration towards {to!r} failed, and was rolled back: {error.orig}") from error


def _config(output: io.StringIO) -> Config:
    config = Config(output_buffer=output, stdout=output)
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    return config
