"""What a `session()` does with the connection does not reach the next user, even if asyncpg's reset leaves it."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import asyncpg
import pytest

from service.database import Database, DatabaseOptions, ScopedConnection
from tests.database.helpers import BACKEND, opened, until, whole

Raw = Any


def _ignore(*_: Any) -> None:
    pass


async def _codec(raw: Raw) -> None:
    await raw.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)


async def _builtin(raw: Raw) -> None:
    await raw.set_builtin_type_codec("jsonb", schema="pg_catalog", codec_name="text", format="text")


async def _listener(raw: Raw) -> None:
    await raw.add_listener("news", _ignore)


async def _log_listener(raw: Raw) -> None:
    raw.add_log_listener(_ignore)


async def _logger(raw: Raw) -> None:
    raw.add_query_logger(_ignore)


async def _termination(raw: Raw) -> None:
    raw.add_termination_listener(_ignore)


@pytest.mark.parametrize("change", [_codec, _builtin, _listener, _log_listener, _logger, _termination])
@pytest.mark.parametrize("nested", [False, True], ids=["alone", "in a transaction"])
async def test_what_a_reset_does_not_undo_ends_with_its_connection(
    clone_dsn: str, change: Callable[[Raw], Awaitable[None]], nested: bool
) -> None:
    """Codecs, listeners and loggers are kept by asyncpg, in Python. Nothing is warned about."""
    async with opened(clone_dsn, max_size=1) as (database, connection):
        async with database.scope("changes it"):
            pid = await connection.fetchval(BACKEND)
            if nested:
                async with connection.transaction(), connection.session() as raw:
                    await change(raw)
            else:
                async with connection.session() as raw:
                    await change(raw)
        async with database.scope("next"), connection.session() as raw:
            assert await connection.fetchval(BACKEND) != pid
            assert isinstance(await connection.fetchval("SELECT '{}'::jsonb"), str)
            inner = raw._con  # type: ignore[attr-defined]
            assert not any((inner._listeners, inner._log_listeners, inner._query_loggers, inner._termination_listeners))
        await until(lambda: whole(database))


async def test_a_session_that_changes_nothing_of_the_kind_keeps_its_connection(clone_dsn: str) -> None:
    """It is reset: one round trip, and not a new connection."""
    async with opened(clone_dsn, max_size=1) as (database, connection), database.scope("plain"):
        pid = await connection.fetchval(BACKEND)
        async with connection.session() as raw:
            await raw.execute("SET work_mem = '1MB'")
            await raw.prepare("SELECT 1")
        assert await connection.fetchval(BACKEND) == pid
        assert await connection.fetchval("SHOW work_mem") != "1MB"


async def test_the_codecs_of_init_are_those_of_each_connection(clone_dsn: str) -> None:
    """Before a session that sets others, and after it."""

    async def init(raw: "asyncpg.Connection[asyncpg.Record]") -> None:
        await raw.set_type_codec(
            "numeric", schema="pg_catalog", encoder=str, decoder=lambda text: ("init", Decimal(text)), format="text"
        )

    database = Database(DatabaseOptions(min_size=0, max_size=1), init=init)
    connection = ScopedConnection(database)
    await database.open(clone_dsn)
    seen = []
    async with database.scope("init"):
        pid = await connection.fetchval(BACKEND)
        async with connection.session() as raw:
            await raw.execute("SET work_mem = '1MB'")
        assert await connection.fetchval(BACKEND) == pid
        for changed in (False, True):
            async with connection.session() as raw:
                if changed:
                    await raw.reset_type_codec("numeric", schema="pg_catalog")
            seen.append(await connection.fetchval("SELECT 1.5"))
    await database.close()
    assert seen == [("init", Decimal("1.5"))] * 2


async def test_what_is_prepared_by_sql_is_deallocated(clone_dsn: str) -> None:
    """The driver's own statements stay prepared on the connection, which is the same."""
    async with opened(clone_dsn, max_size=1) as (database, connection), database.scope("prepared"):
        for _ in range(2):
            pid = await connection.fetchval(BACKEND)
            async with connection.session() as raw:
                await raw.execute('PREPARE plan AS SELECT 1; PREPARE "A plan; of" AS SELECT 2')
            await connection.execute("PREPARE plan AS SELECT 3")
            names = await connection.fetch("SELECT name FROM pg_prepared_statements WHERE from_sql")
            assert names == []
            assert await connection.fetchval(BACKEND) == pid


async def test_a_transaction_left_open_on_the_raw_connection_is_rolled_back(clone_dsn: str) -> None:
    """By asyncpg's object, or by hand."""
    asyncio.get_running_loop().set_exception_handler(_ignore)  # asyncpg reports what is open
    async with opened(clone_dsn, max_size=1) as (database, connection), database.scope("open"):
        await connection.execute("CREATE TABLE t (n int)")
        async with connection.session() as raw:
            await raw.transaction().start()
            await raw.execute("INSERT INTO t VALUES (1)")
        async with connection.session() as raw:
            await raw.execute("BEGIN; INSERT INTO t VALUES (1)")
        assert await connection.fetchval("SELECT count(*) FROM t") == 0
        async with connection.transaction():
            assert await connection.fetchval("SELECT count(*) FROM t") == 0


async def test_the_raw_connection_is_of_no_use_after_its_session(clone_dsn: str) -> None:
    """It raises an error after its end, and so do its prepared statements."""
    async with opened(clone_dsn, max_size=1) as (database, connection), database.scope("after"):
        async with connection.session() as raw:
            statement = await raw.prepare("SELECT 1")
        assert await connection.fetchval("SELECT 1") == 1
        with pytest.raises(asyncpg.InterfaceError, match="released"):
            await raw.fetchval("SELECT 1")
        with pytest.raises(asyncpg.InterfaceError, match="released"):
            await statement.fetchval()
