"""Mistakes of the program keep their own names, and cost no connection: PostgreSQL is not to blame."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from service.database import Database, ScopedConnection
from tests.database.helpers import BACKEND, opened, until, whole

One = tuple[Database, ScopedConnection]
Mistake = Callable[[ScopedConnection], Awaitable[Any]]


@pytest.fixture
async def one(clone_dsn: str) -> AsyncIterator[One]:
    """A pool of one connection, which is the same at the end."""
    async with opened(clone_dsn, max_size=1) as (database, connection):
        async with database.scope("before"):
            await connection.execute("CREATE TABLE t (n int)")
            pid = await connection.fetchval(BACKEND)
        yield database, connection
        await until(lambda: whole(database))
        async with database.scope("after"):
            assert await connection.fetchval(BACKEND) == pid


class Unspeakable:
    """What no codec takes."""

    def __str__(self) -> str:
        raise ConnectionResetError("not the server's")

    __index__ = __str__


@pytest.mark.parametrize(
    ("mistake", "error"),
    [
        (lambda c: c.fetchval("SELECT $1::int", "one"), asyncpg.DataError),
        (lambda c: c.fetchval("SELECT $1::int", Unspeakable()), asyncpg.DataError),
        (lambda c: c.fetchval("SELECT $1::int"), asyncpg.InterfaceError),
        (lambda c: c.fetchval("SELECT 1", 1, 2), asyncpg.InterfaceError),
        (lambda c: c.executemany("INSERT INTO t VALUES ($1)", [(1, 2)]), asyncpg.InterfaceError),
        (lambda c: c.executemany("INSERT INTO t VALUES ($1)", 5), TypeError),
        (lambda c: c.fetchval("SELECT 1", timeout="soon"), ValueError),
        (lambda c: c.fetchval("SELECT 1", timeout=-1), TimeoutError),
        (lambda c: c.copy_records_to_table("t", records=[("one",)]), TypeError),
        (lambda c: c.copy_records_to_table("none", records=[]), asyncpg.UndefinedTableError),
        (lambda c: c.execute("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '08006'; END $$"), asyncpg.PostgresError),
        (lambda c: c.execute("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '57P01'; END $$"), asyncpg.PostgresError),
    ],
)
@pytest.mark.parametrize("block", [False, True], ids=["alone", "in a transaction"])
async def test_a_mistake_keeps_its_name(one: One, mistake: Mistake, error: type[Exception], block: bool) -> None:
    """As asyncpg names it. A statement may raise what looks like the end of a connection, as dblink does."""
    database, connection = one
    async with database.scope("mistake"):
        with pytest.raises(error) as seen:
            if block:
                async with connection.transaction():
                    await mistake(connection)
            else:
                await mistake(connection)
    assert "DatabaseUnavailable" not in {kind.__name__ for kind in type(seen.value).__mro__}


@pytest.mark.parametrize("error", [ConnectionResetError, TimeoutError, BrokenPipeError, asyncpg.InterfaceError])
@pytest.mark.parametrize("kind", ["transaction", "session"])
async def test_what_the_code_in_a_block_raises_is_its_own(one: One, kind: str, error: type[Exception]) -> None:
    """Another server's connection may break while this one is fine."""
    database, connection = one
    async with database.scope("mistake"):
        with pytest.raises(error, match="somebody else"):
            async with getattr(connection, kind)():
                raise error("somebody else's")


async def _failing(error: Exception) -> AsyncIterator[tuple[int]]:
    yield (1,)
    raise error


@pytest.mark.parametrize("error", [ConnectionResetError, FileNotFoundError, TimeoutError])
async def test_what_the_source_of_a_copy_raises_is_not_the_servers(one: One, error: type[Exception]) -> None:
    """The caller gets it, or asyncpg's own of the same kind."""
    database, connection = one
    async with database.scope("mistake"):
        with pytest.raises(error):
            await connection.copy_records_to_table("t", records=_failing(error("the source's")))


async def test_what_a_codec_raises_is_its_own(one: One) -> None:
    """When it reads a value that came from a healthy connection."""
    database, connection = one

    def decode(_: str) -> object:
        raise ConnectionAbortedError("the codec's")

    async with database.scope("codec"), connection.transaction():
        raw = database.executor().lease.raw  # type: ignore[attr-defined]
        await raw.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=decode)
        with pytest.raises(ConnectionAbortedError, match="the codec's"):
            await connection.fetchval("SELECT '{}'::jsonb")


async def test_a_type_without_a_binary_codec_cannot_be_copied(one: One) -> None:
    """The driver's `InternalClientError` names it, and the connection is as good as before."""
    database, connection = one
    async with database.scope("codec"):
        await connection.execute("CREATE TABLE j (j jsonb)")
        with pytest.raises(asyncpg.InternalClientError, match="no binary format encoder"):
            async with connection.transaction():
                raw = database.executor().lease.raw  # type: ignore[attr-defined]
                await raw.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)
                await connection.copy_records_to_table("j", records=[({},)])


async def test_a_second_statement_on_the_raw_connection_is_the_programs_mistake(one: One) -> None:
    """In asyncpg's words: another operation is in progress."""
    database, connection = one
    async with database.scope("raw"), connection.session() as raw:
        slow = asyncio.create_task(raw.fetchval("SELECT pg_sleep(0.2)"))
        await asyncio.sleep(0)
        with pytest.raises(asyncpg.InterfaceError, match="another operation is in progress"):
            await connection.fetchval("SELECT 1")
        await slow
