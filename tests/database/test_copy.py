"""COPY through files, paths, buffers and streams, by asyncpg's methods."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import nullcontext
from io import BytesIO
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from containers import Container
from service.database import Database, ScopedConnection
from tests.database.helpers import opened, tuples, whole


async def test_rows_go_out_and_come_back_by_each_way(
    database: Database, connection: ScopedConnection, tmp_path: Path
) -> None:
    """A path, a file, a coroutine function; a path, a file, a stream; names are quoted, and columns chosen."""
    path = tmp_path / "rows.csv"
    async with database.scope("copy"):
        await connection.execute('CREATE SCHEMA "my schema"; CREATE TABLE "my schema"."a table" ("a b" int, c text)')
        await connection.executemany('INSERT INTO "my schema"."a table" VALUES ($1, $2)', [(1, "x"), (2, None)])
        table: dict[str, Any] = {"schema_name": "my schema", "columns": ["a b", "c"], "format": "csv"}
        assert await connection.copy_from_table("a table", output=path, header=True, **table) == "COPY 2"
        assert path.read_text() == "a b,c\n1,x\n2,\n"
        file = BytesIO()
        query = 'SELECT * FROM "my schema"."a table" WHERE "a b" > $1'
        assert await connection.copy_from_query(query, 1, output=file, null="?") == "COPY 1"
        assert file.getvalue() == b"2\t?\n"
        parts: list[bytes] = []

        async def take(part: bytes) -> None:
            parts.append(part)

        assert await connection.copy_from_query("SELECT 1, 2", output=take, delimiter=";") == "COPY 1"
        assert b"".join(parts) == b"1;2\n"

        async def stream() -> AsyncIterator[bytes]:
            yield b"5,"
            yield b"five\n"

        for source in (path, str(path)):
            assert await connection.copy_to_table("a table", source=source, header=True, **table) == "COPY 2"
        assert await connection.copy_to_table("a table", source=BytesIO(b"3,\n"), **table) == "COPY 1"
        assert await connection.copy_to_table("a table", source=stream(), **table, where='"a b" = 5') == "COPY 1"
        assert await connection.fetchval('SELECT array_agg("a b" ORDER BY "a b") FROM "my schema"."a table"') == [
            1, 1, 1, 2, 2, 2, 3, 5,
        ]  # fmt: skip
    assert whole(database)


@pytest.mark.parametrize("in_transaction", [False, True], ids=["alone", "in a transaction"])
async def test_a_source_or_output_cannot_use_the_connection_that_copy_keeps(
    clone_dsn: str, in_transaction: bool
) -> None:
    """It gets asyncpg's `InterfaceError`; nothing is saved, and the connection serves the next statement."""
    async with opened(clone_dsn, max_size=1) as (database, connection), database.scope("copy"):
        await connection.execute("CREATE TABLE t (n int)")

        async def using(_: bytes = b"") -> None:
            await connection.fetchval("SELECT 1")

        async def preparing(_: bytes = b"") -> None:
            await connection.prepare("SELECT 1")

        async def reading(_: bytes = b"") -> None:
            connection.cursor("SELECT 1")

        async def stream(use: object) -> AsyncIterator[bytes]:
            assert callable(use)
            yield b"1\n"
            await use()

        async def copy(use: object) -> None:
            assert callable(use)
            with pytest.raises(asyncpg.InterfaceError, match="inside the output of copy_from_table"):
                async with connection.transaction():
                    await connection.execute("INSERT INTO t VALUES (7)")
                    await connection.copy_from_table("t", output=use)
            with pytest.raises(asyncpg.InterfaceError, match="inside the output of copy_from_query"):
                await connection.copy_from_query("SELECT 1", output=use)
            with pytest.raises(asyncpg.InterfaceError, match="inside the source of copy_to_table"):
                async with connection.transaction():
                    await connection.copy_to_table("t", source=stream(use))

        async with asyncio.timeout(60):
            for use in (using, preparing, reading):
                if in_transaction:
                    with pytest.raises(asyncpg.InterfaceError):
                        async with connection.transaction():
                            await connection.copy_from_query("SELECT 1", output=use)
                else:
                    await copy(use)
        assert await connection.fetchval("SELECT count(*) FROM t") == 0
    assert whole(database)


async def test_a_consumer_cannot_read_a_cursor_of_the_connection_that_copy_keeps(clone_dsn: str) -> None:
    """It cannot run a prepared statement on it in another scope either: it would wait for itself."""
    async with opened(clone_dsn, max_size=2) as (database, connection), database.scope("copy"):
        for in_scope in (False, True):
            for kind in ("cursor", "iterator", "statement"):
                with pytest.raises(asyncpg.InterfaceError, match="a cursor or prepared statement inside the output"):
                    async with asyncio.timeout(10), connection.transaction():
                        cursor = await connection.cursor("SELECT 1")
                        rows = aiter(connection.cursor("SELECT 1"))
                        statement = await connection.prepare("SELECT 1")
                        calls = {"cursor": cursor.fetchrow, "iterator": rows.__anext__, "statement": statement.fetch}

                        async def read(
                            _: bytes, kind: str = kind, in_scope: bool = in_scope, calls: Any = calls
                        ) -> None:
                            async with database.scope("inner") if in_scope else nullcontext():
                                await calls[kind]()

                        await connection.copy_from_query("SELECT 1", output=read)
        async with connection.transaction():
            cursor = await connection.cursor("SELECT 7")

            async def from_outside(_: bytes) -> None:
                row = await cursor.fetchrow()
                assert row is not None
                assert row[0] == 7

            async with database.scope("another connection"):
                await connection.copy_from_query("SELECT 1", output=from_outside)


async def test_a_file_that_fails_is_not_the_connections_fault(clone_dsn: str, tmp_path: Path) -> None:
    """A missing folder, a source that raises: that error, and the same connection after it."""
    async with opened(clone_dsn, max_size=1) as (database, connection), database.scope("copy"):
        await connection.execute("CREATE TABLE t (n int); INSERT INTO t SELECT generate_series(1, 50000)")
        pid = await connection.fetchval("SELECT pg_backend_pid()")

        async def broken() -> AsyncIterator[bytes]:
            yield b"1\n"
            raise FileNotFoundError("rows.csv")

        with pytest.raises(FileNotFoundError):
            await connection.copy_from_table("t", output=tmp_path / "missing" / "rows")
        with pytest.raises(FileNotFoundError):
            await connection.copy_to_table("t", source=tmp_path / "missing")
        with pytest.raises(FileNotFoundError):
            await connection.copy_to_table("t", source=broken())
        with pytest.raises(TypeError, match="output is expected"):
            await connection.copy_from_table("t", output=1)  # type: ignore[arg-type]
        assert await connection.fetchval("SELECT count(*) FROM t") == 50000
        assert await connection.fetchval("SELECT pg_backend_pid()") == pid


@pytest.mark.parametrize("rows", [1, 200_000], ids=["small", "large"])
async def test_after_an_output_that_fails_the_next_statement_does_not_wait_long(clone_dsn: str, rows: int) -> None:
    """A full disk, a cancelled or late consumer. asyncpg waits without an end if the server had sent everything already."""
    async with opened(clone_dsn, max_size=1) as (database, connection), database.scope("copy"):
        writing = asyncio.Event()

        async def full(_: bytes) -> None:
            raise OSError(28, "No space left on device")

        async def slow(_: bytes) -> None:
            writing.set()
            await asyncio.Event().wait()

        async def copy(output: Callable[[bytes], Awaitable[None]], timeout: float | None = None) -> None:
            await connection.copy_from_query("SELECT generate_series(1, $1)", rows, output=output, timeout=timeout)

        with pytest.raises(OSError, match="No space left"):
            await copy(full)
        assert await connection.fetchval("SELECT 1") == 1
        with pytest.raises(TimeoutError):
            await copy(slow, timeout=0.2)
        assert await connection.fetchval("SELECT 1") == 1
        writing.clear()
        task = asyncio.create_task(copy(slow))
        await writing.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await connection.fetchval("SELECT 1") == 1
        with pytest.raises(OSError, match="No space left"):
            async with connection.transaction():
                await copy(full)
        assert await connection.fetchval("SELECT 1") == 1
    assert whole(database)


async def test_many_rows_are_given_by_one_statement(database: Database, connection: ScopedConnection) -> None:
    """`fetchmany` keeps the order, takes any iterable, is all or nothing, and has the class of rows that is asked for."""

    class Row(asyncpg.Record):
        pass

    def arguments() -> Iterator[tuple[str]]:
        yield ("a",)
        yield ("b",)

    insert = "INSERT INTO t (v) VALUES ($1) RETURNING id"
    async with database.scope("many"):
        await connection.execute("CREATE TABLE t (id serial, v text UNIQUE)")
        assert tuples(await connection.fetchmany(insert, arguments())) == [(1,), (2,)]
        rows = await connection.fetchmany(insert, [["c"], ["d"]], record_class=Row)
        assert [type(row) for row in rows] == [Row, Row]
        assert await connection.fetchmany(insert, []) == []
        with pytest.raises(asyncpg.UniqueViolationError):
            await connection.fetchmany(insert, [("e",), ("a",)])
        with pytest.raises(asyncpg.DataError, match="element #1"):
            await connection.fetchmany(insert, [("f",), (1,)])
        with pytest.raises(asyncpg.InterfaceError, match="expects 1 argument"):
            await connection.fetchmany(insert, [("g",), ("h", "i")])
        assert await connection.fetchval("SELECT string_agg(v, '' ORDER BY id) FROM t") == "abcd"
        async with connection.transaction():
            assert len(await connection.fetchmany(insert, arguments_of("xy"))) == 2
        assert await connection.fetchval("SELECT count(*) FROM t") == 6


def arguments_of(text: str) -> Iterator[tuple[str]]:
    """A tuple for each letter."""
    return ((letter,) for letter in text)


async def test_an_empty_list_of_columns_means_all(database: Database, connection: ScopedConnection) -> None:
    """As in asyncpg."""
    async with database.scope("columns"):
        await connection.execute("CREATE TABLE t (n int, s text)")
        assert await connection.copy_records_to_table("t", records=[(1, "a")], columns=[]) == "COPY 1"
        assert await connection.copy_records_to_table("t", records=[], columns=["n"]) == "COPY 0"
        assert await connection.copy_records_to_table("t", records=[(2, "b"), (3, "c")], where="n > 2") == "COPY 1"
        assert await connection.fetchval("SELECT count(*) FROM t") == 2


async def test_the_tests_rollback_isolation_knows_these_methods(container: Container, rollback_dsn: str) -> None:
    """Nothing of them is committed, and one that fails undoes itself alone."""
    connection = container.connection()
    insert = "INSERT INTO users (email, password_hash) VALUES ($1, 'x') RETURNING email"
    count = "SELECT count(*) FROM users"
    async with container.database().scope("rollback"):
        await connection.fetchmany(insert, [("many@example.com",)])
        with pytest.raises(asyncpg.UniqueViolationError):
            await connection.fetchmany(insert, [("many@example.com",)])
        columns = ["email", "password_hash"]
        await connection.copy_to_table("users", source=BytesIO(b"copied@example.com\tx\n"), columns=columns)
        async with connection.session():
            await (await connection.prepare(insert)).fetch("prepared@example.com")
        output = BytesIO()
        assert await connection.copy_from_table("users", columns=["email"], output=output) == "COPY 3"
        assert await connection.copy_from_query("SELECT 1", output=output) == "COPY 1"
        assert await connection.fetchval(count) == 3
    outside = await asyncpg.connect(rollback_dsn)
    assert await outside.fetchval(count) == 0
    await outside.close()
