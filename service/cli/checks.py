"""The checks of `poolkeeper check`, which runs before a new version starts."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from time import perf_counter

import asyncpg

from service.auth.tokens import CLOCK_TOLERANCE
from service.database import DatabaseUnavailable
from service.database.driver_errors import reason
from service.database.tls import encryption, is_socket
from service.migrations import HISTORY, MigrationError, applied_revisions
from service.startup.postgres import PostgresServer

PRIVILEGES = ("SELECT", "INSERT", "UPDATE", "DELETE")

MISSING_PRIVILEGES = """
    SELECT privilege || ' on ' || relation
    FROM unnest($1::text[]) AS relation, unnest($2::text[]) AS privilege
    WHERE to_regclass(relation) IS NOT NULL AND NOT has_table_privilege(relation, privilege)
"""

ABSENT = """
    SELECT relation
    FROM unnest($1::text[]) AS relation
    WHERE to_regclass(relation) IS NULL
"""


@dataclass(frozen=True, slots=True)
class Check:
    """A check and its result. `said`: the finding, or the mistake and how to correct it."""

    name: str
    passed: bool
    said: str


async def checks(postgres: PostgresServer) -> AsyncIterator[Check]:
    """Try connection, privileges, schema and clock, in this order. Stop if there is no connection."""
    started = perf_counter()
    try:
        connection = await postgres.connect()
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError, DatabaseUnavailable) as error:
        yield Check("connection", False, reason(error))
        return
    try:
        milliseconds = (perf_counter() - started) * 1000
        version = await connection.fetchval("SHOW server_version")
        where = "through a Unix socket" if is_socket(connection) else encryption(connection)
        yield Check("connection", True, f"PostgreSQL {version}, in {milliseconds:.0f} ms, {where}")
        yield await _privileges(connection)
        yield await _schema(connection)
        yield await _clock(connection)
    finally:
        await connection.close()


async def _privileges(connection: "asyncpg.Connection[asyncpg.Record]") -> Check:
    missing = [row[0] for row in await connection.fetch(MISSING_PRIVILEGES, HISTORY.tables, PRIVILEGES)]
    user = await connection.fetchval("SELECT current_user")
    if missing:
        return Check("privileges", False, f"{user} lacks {', '.join(missing)}: GRANT them")
    if absent := [row[0] for row in await connection.fetch(ABSENT, HISTORY.tables)]:
        return Check("privileges", False, f"{', '.join(absent)} do not exist yet")
    return Check("privileges", True, f"{user} may read and write {', '.join(HISTORY.tables)}")


async def _schema(connection: "asyncpg.Connection[asyncpg.Record]") -> Check:
    try:
        schema = HISTORY.compare(await applied_revisions(connection))
    except asyncpg.InsufficientPrivilegeError as error:
        return Check("schema", False, f"{reason(error)}: GRANT SELECT on it")
    except MigrationError as error:
        return Check("schema", False, str(error))
    return Check("schema", not schema.behind, schema.said)


async def _clock(connection: "asyncpg.Connection[asyncpg.Record]") -> Check:
    before = datetime.now(UTC)
    there = await connection.fetchval("SELECT clock_timestamp()")
    here = before + (datetime.now(UTC) - before) / 2
    seconds = abs((there - here).total_seconds())
    if seconds > CLOCK_TOLERANCE.total_seconds():
        return Check("clock", False, f"{seconds:.1f} s away from the server's: synchronise both")
    return Check("clock", True, f"{seconds:.3f} s away from the server's")
