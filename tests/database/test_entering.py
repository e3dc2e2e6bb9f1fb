"""Scopes and blocks as objects: each is entered once and left once, and any other use loses nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import asyncpg
import pytest

from service.database import (
    Database,
    NoActiveScope,
    PoolTimeout,
    ScopeClosed,
    ScopedConnection,
    Session,
    Transaction,
    WrongEventLoop,
)
from tests.database.helpers import hold, opened, until, whole

Block = Transaction | Session
KINDS = pytest.mark.parametrize("kind", ["transaction", "session"])


@pytest.fixture
async def one(clone_dsn: str) -> AsyncIterator[tuple[Database, ScopedConnection]]:
    """A pool of one connection: a lost connection is missed at once."""
    async with opened(clone_dsn, max_size=1, acquire_timeout=1) as (database, connection):
        yield database, connection
        await until(lambda: whole(database))
        async with database.scope("after"):
            assert await connection.fetchval("SELECT 1") == 1


One = tuple[Database, ScopedConnection]


def _block(connection: ScopedConnection, kind: str) -> Block:
    block: Block = getattr(connection, kind)()
    return block


@KINDS
async def test_a_block_inside_itself_is_refused(one: One, kind: str) -> None:
    """As by asyncpg. The block that is open goes on, and ends as it would have."""
    database, connection = one
    for _ in range(3):
        async with database.scope("twice"):
            block = _block(connection, kind)
            async with block:
                with pytest.raises(asyncpg.InterfaceError, match="entered before"):
                    async with block:
                        pass
                assert await connection.fetchval("SELECT 1") == 1
            assert await connection.fetchval("SELECT 1") == 1


@KINDS
async def test_a_block_is_not_used_again_after_its_end(one: One, kind: str) -> None:
    """A new one is made for each `async with`."""
    database, connection = one
    async with database.scope("again"):
        block = _block(connection, kind)
        async with block:
            pass
        with pytest.raises(asyncpg.InterfaceError, match="entered before"):
            async with block:
                pass


@KINDS
async def test_of_two_tasks_that_enter_one_block_one_is_refused(one: One, kind: str) -> None:
    """Also while the first still waits for its connection."""
    database, connection = one
    entered, leave = asyncio.Event(), asyncio.Event()
    async with database.scope("holder"):
        holder = asyncio.create_task(hold(connection, entered, leave))
        await entered.wait()
    async with database.scope("at once"):
        block = _block(connection, kind)

        async def enter() -> None:
            async with block:
                assert await connection.fetchval("SELECT 1") == 1

        first = asyncio.create_task(enter())
        await until(lambda: database.stats().waiting)
        with pytest.raises(asyncpg.InterfaceError, match="entered before"):
            await enter()
        leave.set()
        await asyncio.gather(first, holder, return_exceptions=True)
        assert first.exception() is None


@KINDS
async def test_a_block_that_got_no_connection_was_not_entered(one: One, kind: str) -> None:
    """After a `PoolTimeout`, after a cancelled wait and outside any scope it can be tried again."""
    database, connection = one
    block = _block(connection, kind)
    with pytest.raises(NoActiveScope):
        await block.__aenter__()
    async with database.scope("again"):
        async with database.scope("holder"), connection.transaction():
            async with database.scope("waiter"):
                with pytest.raises(PoolTimeout):
                    await block.__aenter__()
                waiting = asyncio.create_task(_enter(block))
                await until(lambda: database.stats().waiting)
                waiting.cancel()
                await asyncio.gather(waiting, return_exceptions=True)
        async with block:
            assert await connection.fetchval("SELECT 1") == 1


async def _enter(block: Block) -> None:
    await block.__aenter__()


async def test_a_block_that_was_refused_by_the_server_is_not_entered_again(one: One) -> None:
    """A BEGIN was sent: asyncpg's transaction is in its error state then, too."""
    database, connection = one
    async with database.scope("refused"), connection.transaction():
        inner = connection.transaction(isolation="serializable")
        for match in ("different isolation level", "entered before"):
            with pytest.raises(asyncpg.InterfaceError, match=match):
                async with inner:
                    pass
        assert await connection.fetchval("SELECT 1") == 1


@KINDS
async def test_what_was_not_entered_cannot_be_left(one: One, kind: str) -> None:
    """A block that was left before cannot either: its connection may be in use elsewhere by now."""
    database, connection = one
    async with database.scope("out"):
        block = _block(connection, kind)
        with pytest.raises(asyncpg.InterfaceError, match="cannot be left"):
            await block.__aexit__(None, None, None)
        async with block:
            pass
        async with connection.transaction():
            for _ in range(2):
                with pytest.raises(asyncpg.InterfaceError, match="cannot be left"):
                    await block.__aexit__(None, None, None)
            assert await connection.fetchval("SELECT 1") == 1
        assert database.stats().leased == 0


@KINDS
async def test_a_block_left_by_another_task_is_over_for_both(one: One, kind: str) -> None:
    """Each task's next statement goes where it belongs: to its own scope."""
    database, connection = one
    block = None
    entered, left = asyncio.Event(), asyncio.Event()

    async def enters() -> None:
        nonlocal block
        async with database.scope("enters"):
            block = _block(connection, kind)
            await block.__aenter__()
            entered.set()
            await left.wait()
            assert database.executor() is database.executor().scope
            assert await connection.fetchval("SELECT 1") == 1
            assert await asyncio.create_task(connection.fetchval("SELECT 1")) == 1

    async def leaves() -> None:
        async with database.scope("leaves") as own:
            await entered.wait()
            assert block is not None
            await block.__aexit__(None, None, None)
            left.set()
            assert database.executor() is own
            assert await connection.fetchval("SELECT 1") == 1

    async with asyncio.TaskGroup() as group:
        group.create_task(enters())
        group.create_task(leaves())


async def test_blocks_may_be_left_in_any_order(one: One) -> None:
    """The connection is back when the outermost has ended, and the task goes on in its scope."""
    database, connection = one
    async with database.scope("order"):
        outer, inner = connection.transaction(), connection.transaction()
        await outer.__aenter__()
        await inner.__aenter__()
        with pytest.raises(PoolTimeout):  # the inner one has the turn
            await outer.__aexit__(None, None, None)
        await asyncio.wait_for(inner.__aexit__(ZeroDivisionError, ZeroDivisionError(), None), 60)
        assert await connection.fetchval("SELECT 1") == 1


async def test_a_block_of_another_scope_is_in_the_one_where_it_is_entered(one: One) -> None:
    """Where it was made does not matter."""
    database, connection = one
    async with database.scope("maker"):
        block = connection.transaction()
    async with database.scope("user") as user, block:
        assert block.scope is user
        assert await connection.fetchval("SELECT 1") == 1


async def test_a_block_of_another_event_loop_is_refused(one: One) -> None:
    """Nothing is taken from the pool."""
    database, connection = one

    async def elsewhere() -> None:
        async with database.scope("elsewhere"):
            for kind in ("transaction", "session"):
                with pytest.raises(WrongEventLoop):
                    async with _block(connection, kind):
                        pass

    await asyncio.to_thread(asyncio.run, elsewhere())
    assert database.stats().leased == 0


async def test_blocks_on_an_exit_stack_end_in_turn(one: One) -> None:
    """A thousand savepoints deep as well: nothing recurses."""
    database, connection = one
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(database.scope("stack"))
        for _ in range(1000):
            await stack.enter_async_context(connection.transaction())
        assert await connection.fetchval("SELECT 1") == 1


async def test_a_scope_is_entered_once(one: One) -> None:
    """Inside itself it would be its own enclosing executor, without an end."""
    database, connection = one
    scope = database.scope("twice")
    with pytest.raises(asyncpg.InterfaceError, match="cannot be left"):
        await scope.__aexit__(None, None, None)
    async with scope:
        with pytest.raises(asyncpg.InterfaceError, match="entered before"):
            await scope.__aenter__()
        assert await asyncio.wait_for(connection.fetchval("SELECT 1"), 60) == 1
    for leave_or_enter in (scope.__aenter__(), scope.__aexit__(None, None, None)):
        with pytest.raises(asyncpg.InterfaceError):
            await leave_or_enter
    with pytest.raises(NoActiveScope):
        await connection.fetchval("SELECT 1")


async def test_a_scope_left_by_another_task_is_closed_for_all_but_that_task(one: One) -> None:
    """The task that leaves it stays in its own scope, and the one that opened it is outside again."""
    database, connection = one
    scope = database.scope("shared")
    entered, left = asyncio.Event(), asyncio.Event()

    async def child() -> None:
        await left.wait()
        with pytest.raises(ScopeClosed):
            await connection.fetchval("SELECT 1")

    async def opens() -> None:
        async with database.scope("around"):
            await scope.__aenter__()
            offspring = asyncio.create_task(child())
            entered.set()
            await left.wait()
            assert await connection.fetchval("SELECT 1") == 1
            await offspring

    async def closes() -> None:
        async with database.scope("own") as own:
            await entered.wait()
            await scope.__aexit__(None, None, None)
            left.set()
            assert database.executor() is own

    async with asyncio.TaskGroup() as group:
        group.create_task(opens())
        group.create_task(closes())
