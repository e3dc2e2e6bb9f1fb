"""The connections of a pool: how they are opened, lost, renewed and cleaned."""

import asyncio
from pathlib import Path
from time import monotonic

import asyncpg
import pytest

from service.database import (
    Database,
    DatabaseOptions,
    DatabaseUnavailable,
    EmbeddedServer,
    PoolTimeout,
    ScopedConnection,
)
from tests.database.helpers import BACKEND, opened, terminate, until, whole
from tests.support.sql import fetchval


async def test_min_size_connections_are_open_at_once(clone_dsn: str) -> None:
    """`min_size` connections are ready when `open` returns."""
    async with opened(clone_dsn, min_size=3) as (database, _):
        assert (database.stats().size, database.stats().idle) == (3, 3)


async def test_a_dead_connection_is_not_handed_out(clone_dsn: str) -> None:
    """An idle connection with a terminated backend is replaced without an error."""
    async with opened(clone_dsn, min_size=1, max_size=1) as (database, connection):
        async with database.scope("first"):
            pid = await connection.fetchval(BACKEND)
        first = database.pool()._idle[0].raw
        await terminate(clone_dsn, pid)
        await until(first.is_closed)
        async with database.scope("second"):
            assert await connection.fetchval(BACKEND) != pid
        assert database.stats().size == 1


async def test_a_connection_that_breaks_in_use_is_named_and_dropped(clone_dsn: str) -> None:
    """`DatabaseUnavailable`, with the driver's error as its cause; the next statement works."""
    async with opened(clone_dsn, max_size=1) as (database, connection), database.scope("broken"):
        pid = await connection.fetchval(BACKEND)
        sleeping = asyncio.create_task(connection.fetchval("SELECT pg_sleep(30)"))
        await until(lambda: database.stats().leased == 1)
        await asyncio.sleep(0.05)
        await terminate(clone_dsn, pid)
        with pytest.raises(DatabaseUnavailable) as caught:
            await sleeping
        assert isinstance(caught.value.__cause__, asyncpg.PostgresError | asyncpg.InterfaceError)
        assert await connection.fetchval(BACKEND) != pid
        await until(lambda: whole(database))


async def test_a_server_that_is_not_there_is_said_at_the_statement(tmp_path: Path) -> None:
    """Opening without a server succeeds; statements raise `DatabaseUnavailable` at once, with the cause."""
    async with opened(f"postgresql://postgres@/postgres?host={tmp_path}", min_size=2) as (database, connection):
        async with database.scope("no server"):
            with pytest.raises(DatabaseUnavailable) as caught:
                await connection.fetchval("SELECT 1")
        assert isinstance(caught.value.__cause__, OSError)
        assert database.stats().size == 0


async def test_when_the_server_is_back_so_is_the_pool(open_path: Path) -> None:
    """Started without a server, stopped under it and started again: statements fail in words, then work, without a restart."""
    server = EmbeddedServer(open_path / "data")
    dsn = server.start()
    server.stop()
    async with opened(dsn, min_size=2, max_size=2) as (database, connection), database.scope("patient"):
        for _ in range(2):
            with pytest.raises(DatabaseUnavailable):
                await connection.fetchval("SELECT 1")
            server = EmbeddedServer(open_path / "data")
            await asyncio.to_thread(server.start)
            assert await connection.fetchval("SELECT 1") == 1
            await until(lambda: database.stats().idle == 2)
            await asyncio.to_thread(server.stop)


async def test_a_password_is_rotated_on_a_real_server(open_path: Path) -> None:
    """Connections in use live on; the next one uses the new password, and an outdated one is refused in words."""
    server = EmbeddedServer(open_path / "data")
    dsn = await asyncio.to_thread(server.start)
    hba = server.data_dir / "pg_hba.conf"
    hba.write_text(f"local all rotating scram-sha-256\n{hba.read_text()}")
    await fetchval(dsn, "SELECT pg_reload_conf()")
    await fetchval(dsn, "CREATE ROLE rotating LOGIN PASSWORD 'first'")
    secret = open_path / "password"
    secret.write_text("first")
    database = Database(DatabaseOptions(min_size=1, max_size=2, acquire_timeout=2))
    connection = ScopedConnection(database)
    await database.open(dsn.replace("postgres:@", "rotating@"), password=secret.read_text)
    async with database.scope("rotation"), connection.transaction():
        assert await connection.fetchval("SELECT current_user") == "rotating"
        await fetchval(dsn, "ALTER ROLE rotating PASSWORD 'second'")
        async with database.scope("too early"):
            with pytest.raises(PoolTimeout, match="no further one can be opened: password authentication failed"):
                await connection.fetchval("SELECT 1")
        secret.write_text("second")
        async with database.scope("in time"):
            assert await connection.fetchval("SELECT 1") == 1
        assert await connection.fetchval("SELECT 1") == 1
    await database.close()
    await asyncio.to_thread(server.stop)


async def test_the_tls_mode_reaches_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """As libpq names it; without one, the DSN decides."""
    asked: list[object] = []

    async def connect(*_: object, ssl: object, **__: object) -> None:
        asked.append(ssl)
        raise ConnectionRefusedError

    monkeypatch.setattr(asyncpg, "connect", connect)
    for mode in ("verify-full", None):
        async with opened("postgresql://h/d", sslmode=mode, min_size=1):
            pass
    assert asked == ["verify-full", None]


async def test_a_server_that_takes_no_more_connections_makes_slow_and_not_wrong(clone_dsn: str) -> None:
    """If one connection exists, the waiters get it, although no second one can be opened."""
    owner = await asyncpg.connect(clone_dsn)
    await owner.execute("DROP ROLE IF EXISTS modest; CREATE ROLE modest LOGIN CONNECTION LIMIT 1")
    async with opened(clone_dsn.replace("postgres:@", "modest@"), min_size=1, max_size=5) as (database, connection):
        async with database.scope("crowd"):
            answers = await asyncio.gather(*(connection.fetchval("SELECT 1 FROM pg_sleep(0.01)") for _ in range(20)))
        assert answers == [1] * 20
    await owner.execute("DROP ROLE modest")
    await owner.close()


@pytest.mark.parametrize(
    ("dsn", "asked"),
    [
        ("postgresql://u:p@a:1,b:2,[::1]:3/d?x=y", [(["a"], [1]), (["b"], [2]), (["::1"], [3])]),
        ("postgresql://a,b:2/d?target_session_attrs=prefer-standby", [(["a", "b"], [5432, 2])]),
        ("postgresql://u@/d?host=/run", [(["/run"], [5432])]),
        ("postgresql:///d", [(None, None)]),
    ],
)
async def test_each_host_has_its_share_of_the_time(
    monkeypatch: pytest.MonkeyPatch, dsn: str, asked: list[tuple[list[str] | None, list[int] | None]]
) -> None:
    """One after the other until one accepts; asyncpg handles a search for a standby, and a DSN without hosts."""
    tried: list[tuple[object, object, float]] = []

    async def connect(*, timeout: float, host: object = None, port: object = None, **_: object) -> None:
        tried.append((host, port, timeout))
        raise TimeoutError

    monkeypatch.setattr(asyncpg, "connect", connect)
    async with opened(dsn, connect_timeout=6, min_size=1):
        pass
    assert [one[:2] for one in tried] == asked
    assert [one[2] for one in tried] == pytest.approx([6 / len(asked)] * len(asked), rel=0.2)


async def test_a_host_that_answers_with_a_refusal_ends_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong password is the same mistake at every host."""
    tried: list[object] = []

    async def connect(*, host: object, **_: object) -> None:
        tried.append(host)
        raise asyncpg.InvalidPasswordError("no")

    monkeypatch.setattr(asyncpg, "connect", connect)
    async with opened("postgresql://a,b/d", min_size=1):
        pass
    assert tried == [["a"]]


async def test_a_statement_past_the_command_timeout_is_given_up(clone_dsn: str) -> None:
    """The client's limit ends a statement with `DatabaseUnavailable`; the caller's own with `TimeoutError`, as asyncpg's."""
    async with opened(clone_dsn, command_timeout=0.2, statement_timeout=0) as (database, connection):
        async with database.scope("slow"):
            with pytest.raises(DatabaseUnavailable, match="in time"):
                await connection.fetchval("SELECT pg_sleep(5)")
            with pytest.raises(TimeoutError):
                await connection.fetchval("SELECT pg_sleep(5)", timeout=0.1)
            assert await connection.fetchval("SELECT 1") == 1
        await until(lambda: whole(database))


async def test_the_servers_limits_are_set_on_each_connection(clone_dsn: str) -> None:
    """Statement and idle-in-transaction timeouts and the application's name reach the session."""
    options = {"statement_timeout": 7, "idle_in_transaction_timeout": 8.5, "application_name": "under test"}
    async with opened(clone_dsn, **options) as (database, connection), database.scope("limits"):
        assert await connection.fetchval("SHOW statement_timeout") == "7s"
        assert await connection.fetchval("SHOW idle_in_transaction_session_timeout") == "8500ms"
        assert await connection.fetchval("SHOW application_name") == "under test"


async def test_a_connection_is_renewed_at_the_end_of_its_life(clone_dsn: str) -> None:
    """Past `max_lifetime` a connection is replaced, with up to a tenth of jitter, though it is in use all the time."""
    async with opened(clone_dsn, min_size=1, max_size=1, max_lifetime=0.3) as (database, connection):
        async with database.scope("long life"):
            pids, started = set(), monotonic()
            for _ in range(10):
                pids.add(await connection.fetchval(BACKEND))
                await asyncio.sleep(0.1)
        assert 2 <= len(pids) <= 1 + (monotonic() - started) / 0.3
        assert database.stats().totals.closed >= 1


async def test_an_idle_connection_is_renewed_too(clone_dsn: str) -> None:
    """The pool checks idle connections in the background, and keeps `min_size` of them."""
    async with opened(clone_dsn, min_size=1, max_size=1, max_lifetime=0.2) as (database, _):
        await until(lambda: database.stats().totals.opened >= 2)
        await until(lambda: database.stats().idle == 1)


async def test_spare_connections_are_closed_when_idle_for_long(clone_dsn: str) -> None:
    """Beyond `min_size`, connections go after `max_inactive_lifetime`."""
    async with opened(clone_dsn, min_size=1, max_size=4, max_inactive_lifetime=0.2) as (database, connection):
        async with database.scope("burst"):
            await asyncio.gather(*(connection.fetchval("SELECT pg_sleep(0.05)") for _ in range(4)))
        assert database.stats().size == 4
        await until(lambda: database.stats().size == 1)


async def test_a_connection_is_renewed_after_max_queries(clone_dsn: str) -> None:
    """After `max_queries` statements another backend answers."""
    async with opened(clone_dsn, max_size=1, max_queries=5) as (database, connection), database.scope("many"):
        pids = [await connection.fetchval(BACKEND) for _ in range(12)]
    assert len(set(pids)) >= 2


async def test_a_rotated_password_is_used_for_the_next_connection(server_dsn: str, clone_dsn: str) -> None:
    """A function given as the password is asked for each new connection."""
    asked: list[str] = []

    def password() -> str:
        asked.append("asked")
        return f"password {len(asked)}"

    database = Database(DatabaseOptions(min_size=1, max_size=2))
    await database.open(clone_dsn, password=password)
    async with database.scope("two"):
        connection = ScopedConnection(database)
        await asyncio.gather(*(connection.fetchval("SELECT pg_sleep(0.05)") for _ in range(2)))
    await database.close()
    assert len(asked) == 2


async def test_a_lost_idle_connection_is_replaced_without_being_asked_for(clone_dsn: str) -> None:
    """The pool notices in the background, and returns to `min_size`."""
    async with opened(clone_dsn, min_size=1, max_size=2) as (database, connection):
        async with database.scope("first"):
            await terminate(clone_dsn, await connection.fetchval(BACKEND))
        await until(lambda: database.stats().totals.closed == 1)
        await until(lambda: database.stats().idle == 1)


class Stubborn(asyncpg.Connection):
    """A connection that fails to reset and to close."""

    def get_reset_query(self) -> str:
        return "SELECT 1 / 0"

    async def close(self, *, timeout: float | None = None) -> None:
        raise TimeoutError


async def test_what_cannot_be_reset_or_closed_is_ended(clone_dsn: str) -> None:
    """A failing reset or close costs its connection, and nothing else."""
    database = Database(DatabaseOptions(min_size=1, max_size=1), connection_class=Stubborn)
    connection = ScopedConnection(database)
    await database.open(clone_dsn)
    async with database.scope("stubborn"):
        first = await connection.fetchval(BACKEND)
        await connection.execute("SET work_mem = '1MB'")
        assert await connection.fetchval(BACKEND) != first
        assert await connection.fetchval("SHOW work_mem") == "4MB"
    await database.close()
    assert database.stats().size == 0


async def test_connections_may_live_for_ever(clone_dsn: str) -> None:
    """With `max_lifetime` 0 none is renewed for its age."""
    async with opened(clone_dsn, max_lifetime=0) as (database, connection), database.scope("old"):
        assert await connection.fetchval(BACKEND) == await connection.fetchval(BACKEND)


async def test_what_cannot_be_cleaned_is_closed_and_nothing_else(
    clone_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that asyncpg's pool has taken back and handed out again belongs to its new user."""
    async with opened(clone_dsn, max_size=2) as (database, connection):
        pool = database.pool()
        driver = pool._driver
        somebody = []

        class Unlucky:
            """Hands out the connection that just came back to another client, and then fails."""

            async def release(self, lent: "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]") -> None:
                await driver.release(lent)
                somebody.append(await driver.acquire())

            async def acquire(self) -> None:
                monkeypatch.undo()
                raise TimeoutError

        async with database.scope("dirty"):
            pid = await connection.fetchval(BACKEND)
            monkeypatch.setattr(pool, "_driver", Unlucky())
            await connection.execute("SET work_mem = '1MB'")
        await until(lambda: bool(somebody) and pool._driver is driver)
        assert database.stats().size == 0
        assert await somebody[0].fetchval(BACKEND) == pid
        await driver.release(somebody[0])
