"""Runs Alembic over asyncpg: no second driver, and no ORM."""

import io
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.script.revision import RevisionError
from alembic.util import CommandError
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from service.migrations import HISTORY, MigrationError, SchemaAhead, applied_revisions
from service.migrations.turn import Connect, connected, turn

_LOCK_TIMEOUT = "10s"
"""A statement that waits longer for a table's lock fails, as all statements of the service would queue up behind it."""
_STATEMENT_TIMEOUT = "15min"

INVALID_INDEXES = "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid ORDER BY 1"
"""The indexes that CREATE INDEX CONCURRENTLY leaves when it fails."""

SESSIONS = """
    SELECT coalesce(nullif(application_name, ''), 'unnamed')
    FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND coalesce(backend_type, 'client backend') = 'client backend'
    ORDER BY 1
"""

ADVICE = {
    "25006": "The server is read-only, as a replica is: migrate on its primary",
    "42501": "Migrate with a role that owns the tables and may create in their schema",
    "55P03": "Other sessions held a table's lock for too long: try again when they are done. "
    "A statement that blocks no other, as CREATE INDEX CONCURRENTLY, may wait longer: SET lock_timeout = 0 before it",
    "57014": "The statement was cancelled, or took too long",
}
"""Advice for errors of PostgreSQL, by SQLSTATE."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Descent:
    """The effects of going down: each undone revision with the docstring of its `downgrade`, and the sessions of each program."""

    before: str
    undone: tuple[tuple[str, str], ...]
    sessions: tuple[tuple[str, int], ...]


async def migrate(connect: Connect, to: str = "head", *, down_from: str | None = None) -> tuple[str | None, str | None]:
    """Migrate the schema to a revision, up or down. Processes that migrate at the same time take turns.

    Args:
        connect: Opens a connection of a role that may create tables.
        to: A revision, `head`, or `base` for none.
        down_from: The revision at which `descent` found the schema; if it is at another one now, nothing is done.

    Returns:
        The revisions before and after, both read while no other process migrates.

    Raises:
        MigrationError: The revision is unknown, or a statement failed. Earlier revisions are kept.
        SchemaAhead: The schema is at a revision of other code.
        DatabaseAbsent: The server cannot be reached.
    """
    HISTORY.check()
    async with turn(connect) as connection:
        await connection.execute(_limits())
        return await _on(connection, lambda sync: _move(sync, to, down_from))


async def applied(connect: Connect) -> tuple[str, ...]:
    """Return the revisions that the schema is at: none before the first migration. Raises as `migrate` does."""
    async with connected(connect) as connection:
        return await applied_revisions(connection)


async def current(connect: Connect) -> str | None:
    """Return the revision of the schema, or `None` before the first migration. Raises as `migrate` does."""
    return _named(await applied(connect))


async def descent(connect: Connect, to: str) -> Descent | None:
    """Return what `migrate` would undo on the way down to a revision; `None` if it is not down. Raises as `migrate` does."""
    HISTORY.check()
    async with connected(connect) as connection:
        before = await applied_revisions(connection)
        sessions = Counter(row[0] for row in await connection.fetch(SESSIONS))
    scripts = ScriptDirectory.from_config(_config(io.StringIO()))
    with _explained(to):
        if not _is_down(scripts, before, to):
            return None
        steps = list(scripts.iterate_revisions(before, to, select_for_downgrade=True))
    undone = tuple((step.revision, step.module.downgrade.__doc__ or step.doc) for step in steps)
    return Descent(_named(before) or "base", undone, tuple(sessions.items()))


def sql(to: str = "head") -> str:
    """Return the SQL that migrates an empty database to a revision. Raises `MigrationError` for an unknown one."""
    HISTORY.check()
    output = io.StringIO()
    with _explained(to):
        command.upgrade(_config(output), to, sql=True)
    return output.getvalue()


async def _on(connection: "asyncpg.Connection[asyncpg.Record]", work: Callable[[Connection], T]) -> T:
    async def same() -> "asyncpg.Connection[asyncpg.Record]":
        return connection

    engine = create_async_engine("postgresql+asyncpg://", async_creator=same, poolclass=NullPool)
    async with engine.connect() as sync_facade:
        result = await sync_facade.run_sync(work)
        await sync_facade.commit()
    return result


def _move(connection: Connection, to: str, down_from: str | None) -> tuple[str | None, str | None]:
    config = _config(io.StringIO())
    config.attributes.update(connection=connection, limits=_limits())
    with _explained(to, connection):
        before = _heads(connection)
        if down_from is not None and _named(before) != down_from:
            raise MigrationError(
                f"the schema was at {down_from}, and is at {_named(before) or 'base'} by now: ask again"
            )
        if _is_down(ScriptDirectory.from_config(config), before, to):
            command.downgrade(config, to)
        else:
            command.upgrade(config, to)
    return _named(before), _named(_heads(connection))


def _limits() -> str:
    """Return the statement that limits each statement of a migration, unless a revision sets its own limits."""
    return (
        f"SELECT set_config('lock_timeout', '{_LOCK_TIMEOUT}', false), "
        f"set_config('statement_timeout', '{_STATEMENT_TIMEOUT}', false)"
    )


def _heads(connection: Connection) -> tuple[str, ...]:
    heads = MigrationContext.configure(connection).get_current_heads()
    connection.commit()
    return heads


def _named(revisions: Iterable[str]) -> str | None:
    return " and ".join(sorted(revisions)) or None


def _is_down(scripts: ScriptDirectory, before: tuple[str, ...], to: str) -> bool:
    """Return whether a revision comes before the revisions of the schema. Raises `SchemaAhead` if the code lacks these."""
    schema = HISTORY.compare(before)
    if schema.ahead:
        raise SchemaAhead(f"the schema is {schema.said}. Nothing was changed: migrate with that code")
    if to in {"base", "head", "heads"} or to.startswith(("+", "-")):
        return to == "base" or to.startswith("-")
    target = scripts.get_revision(to).revision
    return any(target in HISTORY.ancestors(name) - {name} for name in before)


@contextmanager
def _explained(to: str, connection: Connection | None = None) -> Iterator[None]:
    if not to:
        raise MigrationError("cannot migrate to '': name a revision, `head` or `base`")
    try:
        yield
    except (CommandError, RevisionError) as error:
        raise MigrationError(f"cannot migrate to {to!r}: {error}") from error
    except DBAPIError as error:
        reason = error.orig.__cause__ or error.orig if error.orig is not None else error
        said = [f"a migration towards {to!r} failed, and was rolled back: {reason}"]
        said += [ADVICE[state]] if (state := getattr(reason, "sqlstate", None)) in ADVICE else []
        said += [_what_stays(connection)] if connection is not None and not error.connection_invalidated else []
        raise MigrationError("\n".join(filter(None, said))) from error


def _what_stays(connection: Connection) -> str:
    """Say what a revision that failed outside a transaction leaves, and what to do about it."""
    connection.rollback()
    indexes = connection.exec_driver_sql(INVALID_INDEXES).scalars().all()
    drop = "; ".join(f"DROP INDEX CONCURRENTLY {index}" for index in indexes)
    return (
        f"An index that is made outside a transaction stays, and is invalid: {drop}, then migrate again" if drop else ""
    )


def _config(output: io.StringIO) -> Config:
    config = Config(output_buffer=output, stdout=output)
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    return config
