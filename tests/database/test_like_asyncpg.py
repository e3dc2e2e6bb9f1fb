"""The same calls on a `ScopedConnection` and on asyncpg's connection: results and errors are the same."""

import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from decimal import Decimal
from io import BytesIO
from typing import Any

import asyncpg

from service.database import Database, ScopedConnection
from tests.database.helpers import until, whole

Connection = Any
INSERT = "INSERT INTO t VALUES ($1, $2)"


class Row(asyncpg.Record):
    """A class of rows."""


def _rows() -> Iterator[tuple[int, str]]:
    yield (1, "a")
    yield (2, "b")


def _failing() -> Iterator[tuple[int, str]]:
    yield (1, "a")
    raise ZeroDivisionError


class Awkward:
    """An iterable that is no sequence."""

    def __iter__(self) -> Iterator[list[object]]:
        return iter([[1, "a"], [2, None]])


async def _async_rows() -> AsyncIterator[tuple[int, str]]:
    yield (1, "a")


async def _copied(connection: Connection, query: str, *args: object, **options: Any) -> bytes:
    output = BytesIO()
    await connection.copy_from_query(query, *args, output=output, **options)
    return output.getvalue()


CALLS: dict[str, Callable[[Connection], Awaitable[object]]] = {
    # columns of fetchval
    "column 1": lambda c: c.fetchval("SELECT 1, 2", column=1),
    "column -1": lambda c: c.fetchval("SELECT 1, 2", column=-1),
    "column 2": lambda c: c.fetchval("SELECT 1, 2", column=2),
    "column -3": lambda c: c.fetchval("SELECT 1, 2", column=-3),
    "column by name": lambda c: c.fetchval("SELECT 1 AS a, 2 AS b", column="b"),
    "column of nothing": lambda c: c.fetchval("SELECT 1 WHERE false", column=9),
    "column of no columns": lambda c: c.fetchval("SELECT FROM (VALUES (1)) AS v"),
    # statements without a result, several statements, none
    "fetch without a result": lambda c: c.fetch("CREATE TABLE u ()"),
    "fetchrow without a result": lambda c: c.fetchrow("UPDATE t SET n = 1"),
    "fetchval without a result": lambda c: c.fetchval("DELETE FROM t"),
    "fetchmany without a result": lambda c: c.fetchmany(INSERT, _rows()),
    "a script": lambda c: c.execute("SELECT 1; SELECT 2; INSERT INTO t VALUES (1)"),
    "a script with arguments": lambda c: c.execute("SELECT $1::int; SELECT 2", 1),
    "a script to fetch": lambda c: c.fetch("SELECT 1; SELECT 2"),
    "nothing": lambda c: c.execute(""),
    "nothing to fetch": lambda c: c.fetch(""),
    "a comment": lambda c: c.execute("-- nothing"),
    "a failing script": lambda c: c.execute("INSERT INTO t VALUES (1); SELECT 1/0"),
    # wrong calls
    "too few arguments": lambda c: c.fetch("SELECT $1::int, $2::int", 1),
    "too many arguments": lambda c: c.fetch("SELECT 1", 1),
    "a wrong type": lambda c: c.fetch("SELECT $1::int", "1"),
    "an undetermined type": lambda c: c.fetch("SELECT $1", 1),
    "a NUL": lambda c: c.fetchval("SELECT $1::text", "a\0b"),
    "a lone surrogate": lambda c: c.fetchval("SELECT $1::text", "\ud800"),
    "too many parameters": lambda c: c.fetch(f"SELECT {'+'.join(f'${n}::int' for n in range(1, 32769))}", *[1] * 32768),
    "no class of rows": lambda c: c.fetch("SELECT 1", record_class=dict),
    # values
    "None": lambda c: c.fetchval("SELECT $1::int", None),
    "NaN": lambda c: c.fetchval("SELECT $1::float8::text", math.nan),
    "infinity": lambda c: c.fetchval("SELECT $1::float8", -math.inf),
    "numeric infinity": lambda c: c.fetchval("SELECT $1::numeric", Decimal("Infinity")),
    "numeric NaN": lambda c: c.fetchval("SELECT $1::numeric::text", Decimal("NaN")),
    "a large int": lambda c: c.fetchval("SELECT $1::numeric", 10**100),
    "the largest bigint": lambda c: c.fetchval("SELECT $1::bigint", 2**63 - 1),
    "too large for bigint": lambda c: c.fetchval("SELECT $1::bigint", 2**63),
    "a float for an int": lambda c: c.fetchval("SELECT $1::int", 1.5),
    "nested lists": lambda c: c.fetchval("SELECT $1::int[]", [[1, 2], [3, 4]]),
    "an empty list": lambda c: c.fetchval("SELECT $1::int[]", []),
    # many
    "many from a generator": lambda c: c.executemany(INSERT, _rows()),
    "many from an iterable": lambda c: c.executemany(INSERT, Awkward()),
    "many of none": lambda c: c.executemany(INSERT, []),
    "many from an asynchronous generator": lambda c: c.executemany(INSERT, _async_rows()),
    "many with a wrong count": lambda c: c.executemany(INSERT, [(1, "a"), (2,)]),
    "many with a wrong type": lambda c: c.executemany(INSERT, [(1, "a"), ("2", "b")]),
    "many of texts": lambda c: c.executemany(INSERT, ["ab"]),
    "many of numbers": lambda c: c.executemany(INSERT, [1, 2]),
    "many from a generator that fails": lambda c: c.executemany(INSERT, _failing()),
    "many of a script": lambda c: c.executemany("SELECT $1::int; SELECT 2", [(1,)]),
    "many rows": lambda c: c.fetchmany("SELECT $1::int + n FROM generate_series(0, 1) AS n", [(1,), (5,)]),
    "many rows of none": lambda c: c.fetchmany("SELECT $1::int", []),
    # COPY
    "records": lambda c: c.copy_records_to_table("t", records=_rows()),
    "asynchronous records": lambda c: c.copy_records_to_table("t", records=_async_rows()),
    "records and columns": lambda c: c.copy_records_to_table("t", records=[("a",)], columns=["s"]),
    "records and no columns": lambda c: c.copy_records_to_table("t", records=[(1, "a")], columns=()),
    "records where": lambda c: c.copy_records_to_table("t", records=_rows(), where="n > 1"),
    "records of a wrong type": lambda c: c.copy_records_to_table("t", records=[("a", 1)]),
    "records of a wrong length": lambda c: c.copy_records_to_table("t", records=[(1,)]),
    "records that are none": lambda c: c.copy_records_to_table("t", records=1),
    "no such table": lambda c: c.copy_records_to_table("missing", records=_rows()),
    "no such schema": lambda c: c.copy_records_to_table("t", records=_rows(), schema_name="missing"),
    "a table with a dot": lambda c: c.copy_records_to_table("public.t", records=_rows()),
    "csv": lambda c: _copied(c, "SELECT 'a \"b\"', NULL, $1::int", 7, format="csv", header=True, force_quote=True),
    "text": lambda c: _copied(c, "SELECT E'a\\tb', NULL", delimiter="|", null="-"),
    "a wrong format": lambda c: _copied(c, "SELECT 1", format="json5"),
    "a buffer": lambda c: c.copy_to_table("t", source=bytearray(b"1\ta\n"), columns=["n", "s"]),
    "bytes, which are a path": lambda c: c.copy_to_table("t", source=b"1\ta\n"),
    "csv in": lambda c: c.copy_to_table(
        "t", source=BytesIO(b"n,s\n1,\n"), format="csv", header=True, force_not_null=["s"]
    ),
    "bad csv": lambda c: c.copy_to_table("t", source=BytesIO(b"1\n"), format="csv"),
    "no source": lambda c: c.copy_to_table("t", source=1),
}


async def test_a_call_gives_what_asyncpgs_gives(
    database: Database, connection: ScopedConnection, clone_dsn: str
) -> None:
    """Its result, or its error with the same words, and the same rows in the table; in a transaction too."""
    driver = await asyncpg.connect(clone_dsn)
    other: dict[str, object] = {}
    async with database.scope("like asyncpg"):
        for name, call in CALLS.items():
            for inside in (False, True):
                expected = await _seen(driver, call, inside=inside)
                seen = await _seen(connection, call, inside=inside)
                if seen != expected:
                    other[name] = {"inside": inside, "expected": expected, "seen": seen}
    await driver.close()
    assert not other
    await until(lambda: whole(database))


async def _seen(connection: Connection, call: Callable[[Connection], Awaitable[object]], *, inside: bool) -> object:
    await connection.execute("DROP TABLE IF EXISTS t, u; CREATE TABLE t (n int, s text)")
    try:
        if inside:
            async with connection.transaction():
                result = await call(connection)
        else:
            result = await call(connection)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is compared
        result = (type(error), str(error))
    return repr(result), repr(await connection.fetch("SELECT * FROM t"))


async def test_each_method_gives_rows_of_the_class_that_is_asked_for(
    database: Database, connection: ScopedConnection
) -> None:
    """Wherever asyncpg takes a `record_class`."""
    async with database.scope("rows"), connection.transaction():
        rows = [
            *await connection.fetch("SELECT 1", record_class=Row),
            await connection.fetchrow("SELECT 1", record_class=Row),
        ]
        rows += await connection.fetchmany("SELECT $1::int", [(1,)], record_class=Row)
        rows += [row async for row in connection.cursor("SELECT 1", record_class=Row)]
        statement = await connection.prepare("SELECT 1", record_class=Row)
        rows += [*await statement.fetch(), await statement.fetchrow(), *[row async for row in statement.cursor()]]
        assert [type(row) for row in rows] == [Row] * 7
