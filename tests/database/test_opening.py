"""How a connection is opened: with what the DSN says, a password that takes an await to get, and the program's own `init`."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from service.database import Database, DatabaseOptions, DatabaseUnavailable, InvalidDsn, ScopedConnection
from service.database.connect import Secret
from service.database.connection_init import Init
from tests.database.helpers import opened


@pytest.fixture
async def scram_dsn(server_dsn: str, clone_dsn: str) -> str:
    """The DSN of a role with the password `right`, which the server asks for."""
    owner = await asyncpg.connect(clone_dsn)
    await owner.execute("""
        SET password_encryption = 'scram-sha-256';
        DO $$BEGIN CREATE ROLE scram LOGIN; EXCEPTION WHEN duplicate_object THEN END$$;
        ALTER ROLE scram PASSWORD 'right';
    """)
    hba = Path(server_dsn.partition("?host=")[2]) / "pg_hba.conf"
    rule = "local all scram scram-sha-256\n"
    if not hba.read_text().startswith(rule):
        hba.write_text(rule + hba.read_text())
    await owner.execute("SELECT pg_reload_conf()")
    dsn = clone_dsn.replace("postgres:@", "scram@")
    async with asyncio.timeout(60):
        while True:  # until the rule is in force
            try:
                await (await asyncpg.connect(dsn)).close()
            except asyncpg.InvalidPasswordError:
                break
            await asyncio.sleep(0.01)
    await owner.close()
    return dsn


async def _user(dsn: Secret, password: Secret | None = None, **options: Any) -> str:
    """The session's user, of a new connection."""
    database = Database(DatabaseOptions(min_size=0, max_size=1, **options))
    await database.open(dsn, password=password)
    try:
        async with database.scope("user"):
            user: str = await ScopedConnection(database).fetchval("SELECT session_user")
            return user
    finally:
        await database.close()


async def test_what_the_dsn_says_reaches_the_session(clone_dsn: str) -> None:
    """Nothing of it is lost to an option that is at its default; the rest is as the options have it."""
    said = "&application_name=billing&statement_timeout=7s&options=-c%20idle_in_transaction_session_timeout%3D8s"
    async with opened(f"{clone_dsn}{said}") as (database, connection), database.scope("limits"):
        names = ("application_name", "statement_timeout", "idle_in_transaction_session_timeout")
        values = await asyncio.gather(*(connection.fetchval("SELECT current_setting($1)", name) for name in names))
        assert values == ["billing", "7s", "8s"]


@pytest.mark.parametrize("said", ["application_name=a", "statement_timeout=7s", "sslmode=require"])
async def test_an_option_that_contradicts_the_dsn_stops_the_opening(clone_dsn: str, said: str) -> None:
    """It is not clear which of the two is meant."""
    database = Database(DatabaseOptions(application_name="b", statement_timeout=8, sslmode="disable"))
    with pytest.raises(InvalidDsn, match="keep one of them"):
        await database.open(f"{clone_dsn}&{said}")
    assert not database.is_open


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_dsn_and_password_may_take_an_await_to_get(scram_dsn: str, asynchronous: bool) -> None:
    """As in asyncpg; the server asks for the password, and it is right."""

    async def password() -> str:
        await asyncio.sleep(0)
        return "right"

    async def dsn() -> str:
        await asyncio.sleep(0)
        return scram_dsn

    assert await _user(dsn if asynchronous else scram_dsn, password if asynchronous else lambda: "right") == "scram"


async def test_a_password_is_got_anew_for_each_connection(scram_dsn: str) -> None:
    """One that has expired by then does no harm to the next connection."""
    asked: list[str] = []

    async def password() -> str:
        asked.append("asked")
        return "right"

    database = Database(DatabaseOptions(min_size=1, max_size=1, max_queries=1))
    await database.open(scram_dsn, password=password)
    connection = ScopedConnection(database)
    async with database.scope("renewals"):
        for _ in range(3):
            await connection.fetchval("SELECT 1")
    await database.close()
    assert len(asked) >= 3


@pytest.mark.parametrize("what", ["DSN", "password"])
async def test_a_function_that_fails_is_named_and_what_it_says_is_not(
    clone_dsn: str, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Its error is the cause; its text may quote the secret."""
    failure = OSError("vault said: hunter2 has expired")

    async def fail() -> str:
        raise failure

    with pytest.raises(DatabaseUnavailable, match=f"the function for the {what} failed: OSError") as caught:
        await _user(fail if what == "DSN" else clone_dsn, fail)
    assert caught.value.__cause__ is failure
    assert f"the function for the {what} failed: OSError" in caplog.text
    assert "hunter2" not in caplog.text + str(caught.value)


async def test_a_password_that_never_comes_is_given_up_after_connect_timeout(clone_dsn: str) -> None:
    """And the error names the function that took too long."""

    async def never() -> str:
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    with pytest.raises(DatabaseUnavailable, match="the function for the password failed: TimeoutError"):
        await _user(clone_dsn, never, connect_timeout=0.2, acquire_timeout=20)
    with pytest.raises(DatabaseUnavailable, match="function for the password failed: TimeoutError"):
        await _user(f"{clone_dsn}&connect_timeout=1", never, acquire_timeout=20)


async def test_a_password_that_is_no_text_is_named(clone_dsn: str) -> None:
    """By its type."""
    with pytest.raises(DatabaseUnavailable, match="the function for the password must return str, not bytes"):
        await _user(clone_dsn, lambda: b"hunter2")  # type: ignore[arg-type]


async def test_a_dsn_that_a_function_gives_is_looked_at_as_well(clone_dsn: str) -> None:
    """The error has no secret, and says what to change."""
    with pytest.raises(DatabaseUnavailable, match="the DSN has an invalid host or port") as caught:
        await _user(lambda: "postgresql://app:hunter2/x@h/d")
    assert "hunter2" not in str(caught.value)


async def _json(raw: Any) -> None:
    for name in ("json", "jsonb"):
        await raw.set_type_codec(name, encoder=json.dumps, decoder=json.loads, schema="pg_catalog")


async def _search_path(raw: Any) -> None:
    await raw.execute("SET search_path = elsewhere, public")


@asynccontextmanager
async def _initialised(
    dsn: str, init: Init | list[Init], **options: Any
) -> AsyncIterator[tuple[Database, ScopedConnection]]:
    database = Database(DatabaseOptions(**{"min_size": 0, "max_size": 1, "acquire_timeout": 2, **options}), init=init)
    await database.open(dsn)
    try:
        async with database.scope("initialised"):
            yield database, ScopedConnection(database)
    finally:
        await database.close()


async def _is_initialised(connection: ScopedConnection) -> bool:
    row = await connection.fetchrow(
        "SELECT $1::jsonb, '[1]'::json, current_setting('search_path'), pg_backend_pid()", {"colour": "blue"}
    )
    assert row
    return tuple(row)[:3] == ({"colour": "blue"}, [1], "elsewhere, public")


async def test_init_is_in_force_on_each_connection(clone_dsn: str) -> None:
    """Several functions, in their order, before a connection's first use."""
    async with _initialised(clone_dsn, [_json, _search_path], max_size=3) as (_, connection):
        assert all(await asyncio.gather(*(_is_initialised(connection) for _ in range(3))))


async def test_init_survives_a_reset(clone_dsn: str) -> None:
    """Of a session that has undone all of it, codecs too."""
    async with _initialised(clone_dsn, [_json, _search_path]) as (database, connection):
        async with connection.session() as raw:
            await raw.execute("SET search_path = public")
            await raw.set_type_codec("jsonb", encoder=str, decoder=str, schema="pg_catalog")
            await raw.reset_type_codec("json", schema="pg_catalog")
        assert await _is_initialised(connection)
        await connection.execute("SELECT set_config('search_path', 'public', false)")
        assert await _is_initialised(connection)
        assert database.stats().size == 1


@pytest.mark.parametrize("options", [{"max_queries": 1}, {"max_lifetime": 0.001}])
async def test_init_survives_a_renewal(clone_dsn: str, options: dict[str, Any]) -> None:
    """After `max_queries` statements and after `max_lifetime`."""
    async with _initialised(clone_dsn, [_json, _search_path], **options) as (database, connection):
        async with asyncio.timeout(60):
            while database.stats().totals.opened < 3:
                assert await _is_initialised(connection)


async def test_init_that_raises_is_named_and_tried_once_for_each_asking(
    clone_dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    """In the log and in the error, with its own as the cause; there is no loop, and nothing stays open."""
    tried: list[int] = []

    async def hstore(raw: Any) -> None:
        tried.append(raw.get_server_pid())
        await raw.set_type_codec("hstore", encoder=str, decoder=str, schema="nowhere")

    async with _initialised(clone_dsn, hstore) as (database, connection):
        with pytest.raises(DatabaseUnavailable, match=r"init .*hstore failed: ValueError: .*hstore") as caught:
            await connection.fetchval("SELECT 1")
        assert isinstance(caught.value.__cause__, ValueError)
        assert "hstore failed" in caplog.text
        assert len(tried) == 1
        assert database.stats().size == 0
        await _are_gone(clone_dsn, tried)


async def test_init_that_never_ends_is_given_up_after_connect_timeout(clone_dsn: str) -> None:
    """A waiter gets an error, and closing does not hang."""

    async def never(_: Any) -> None:
        await asyncio.Event().wait()

    async with _initialised(clone_dsn, never, connect_timeout=0.2, acquire_timeout=20) as (_, connection):
        with pytest.raises(DatabaseUnavailable, match=r"init .*never failed: TimeoutError"):
            await connection.fetchval("SELECT 1")


async def test_init_that_never_ends_after_a_reset_costs_the_connection(clone_dsn: str) -> None:
    """The next is another one."""
    backends: list[int] = []

    async def once(raw: Any) -> None:
        if raw.get_server_pid() in backends:
            await asyncio.Event().wait()
        backends.append(raw.get_server_pid())

    async with _initialised(clone_dsn, once, connect_timeout=1, acquire_timeout=20) as (_, connection):
        async with connection.session() as raw:
            assert raw.get_server_pid() == backends[0]
        assert await connection.fetchval("SELECT pg_backend_pid()") == backends[1]
        await _are_gone(clone_dsn, backends[:1])


async def test_an_opening_that_is_cancelled_in_init_leaves_no_connection(clone_dsn: str) -> None:
    """No other code would end it."""
    begun: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def never(raw: Any) -> None:
        begun.set_result(raw.get_server_pid())
        await asyncio.Event().wait()

    database = Database(DatabaseOptions(min_size=1, max_size=1, connect_timeout=0.5), init=never)
    opening = asyncio.create_task(database.open(clone_dsn))
    await begun
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    await _are_gone(clone_dsn, [begun.result()])


async def _cancelled(_: Any) -> None:
    task = asyncio.create_task(asyncio.sleep(60))
    task.cancel()
    await task


async def _closes(raw: Any) -> None:
    await raw.close()


async def _begins(raw: Any) -> None:
    await raw.execute("BEGIN")


@pytest.mark.parametrize(
    ("init", "message"),
    [(_cancelled, "CancelledError"), (_closes, "it closed the connection"), (_begins, "it left a transaction open")],
)
async def test_init_that_leaves_no_usable_connection_is_named(clone_dsn: str, init: Init, message: str) -> None:
    """Each time, and the pool of one has room for the next attempt; nothing would ever be committed after a BEGIN."""
    async with _initialised(clone_dsn, init, acquire_timeout=20) as (_, connection):
        for _attempt in range(2):
            with pytest.raises(DatabaseUnavailable, match=f"init .* failed: .*{message}"):
                await connection.fetchval("SELECT 1")


async def test_a_password_that_waits_for_a_cancelled_task_is_asked_for_again(clone_dsn: str) -> None:
    """The pool's own task was not cancelled: one that renews tokens was. The next attempt gets a connection."""
    renewals = [asyncio.create_task(asyncio.sleep(60, "first")), asyncio.create_task(asyncio.sleep(0, "second"))]
    renewals[0].cancel()

    async def password() -> str:
        return await renewals.pop(0)

    database = Database(DatabaseOptions(min_size=0, max_size=1, acquire_timeout=20))
    await database.open(clone_dsn, password=password)
    connection = ScopedConnection(database)
    async with database.scope("renewals"):
        with pytest.raises(DatabaseUnavailable, match="function for the password failed: CancelledError"):
            await connection.fetchval("SELECT 1")
        assert await connection.fetchval("SELECT 1") == 1
    await database.close()


async def _are_gone(dsn: str, backends: list[int]) -> None:
    owner = await asyncpg.connect(dsn)
    async with asyncio.timeout(10):
        while await owner.fetchval("SELECT count(*) FROM pg_stat_activity WHERE pid = ANY($1)", backends):
            await asyncio.sleep(0.01)
    await owner.close()


async def test_init_may_be_given_where_the_pool_is_opened(clone_dsn: str) -> None:
    """As with asyncpg's `create_pool`; after the constructor's."""
    order: list[str] = []

    async def first(_: Any) -> None:
        order.append("first")

    async def second(_: Any) -> None:
        order.append("second")

    database = Database(DatabaseOptions(min_size=1, max_size=1), init=first)
    await database.open(clone_dsn, init=second)
    await database.close()
    assert order == ["first", "second"]
