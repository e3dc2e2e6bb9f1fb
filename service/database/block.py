"""A block of code that keeps one connection: the common part of transactions and sessions."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

import asyncpg

from service.database.errors import NoActiveScope, PoolTimeout, TransactionClosed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from service.database.driver_methods import Method
    from service.database.lease import Lease
    from service.database.scope import Executor, Scope

T = TypeVar("T")

_ROLLBACK_WAIT_SECONDS = 1.0
"""How long leaving a block waits for its ROLLBACK. After that the ROLLBACK goes on in a task."""


class Block:
    """An executor with a connection. Its tasks take turns; an inner block holds the turn until it ends."""

    kind = "block"
    by_hand = False
    """Whether statements may begin and end transactions."""

    def __init__(
        self, current: ContextVar[Executor | None], enclosing: Callable[[], Executor], turn_timeout: float
    ) -> None:
        """Store how to enter the block later.

        Args:
            current: The variable with the running code's executor.
            enclosing: Returns the executor that the block is entered in.
            turn_timeout: Seconds to wait for a turn while an inner block holds it.
        """
        self.ended = False
        self.owner: asyncio.Task[Any] | None = None
        """The task that entered the block."""
        self._current = current
        self._enclosing = enclosing
        self._entered = False
        self._inside = False
        self._outer: Executor | None = None
        self._scope: Scope | None = None
        self._outer_block: Block | None = None
        self._lease: Lease | None = None
        self._turn = asyncio.Lock()
        self._turn_timeout = turn_timeout
        self._inner_has_turn = False
        self._turn_waits: set[asyncio.Timeout] = set()
        self._finishing: set[asyncio.Task[None]] = set()
        self.pending_closes: list[Callable[[], Awaitable[None]]] = []
        """Close abandoned cursors: awaited before the connection's next statement."""

    @property
    def outer(self) -> Executor:
        """The enclosing executor."""
        if self._outer is None:
            raise NoActiveScope(f"this {self.kind} has not begun: write `async with`")
        return self._outer

    @property
    def scope(self) -> Scope:
        """The scope that the block is in."""
        return self._scope or self.outer.scope

    @property
    def lease(self) -> Lease:
        """The connection that the block keeps."""
        if self._lease is None:
            raise TransactionClosed(f"this {self.kind} has not begun: write `async with`")
        return self._lease

    async def send(self, method: Method, query: str, args: Iterable[Any], options: dict[str, Any]) -> Any:
        """Run one statement on the block's connection, in turn with the block's other tasks."""
        self.scope.statements += 1
        return await self.in_turn(lambda: self.lease.send(method, query, args, options, by_hand=self.by_hand))

    def record_statement(self, query: str) -> None:
        """Count a statement that does not go through `send`, and check its effects."""
        self.lease.record_statement(query, by_hand=self.by_hand)
        self.scope.statements += 1

    async def in_turn(self, call: Callable[[], Awaitable[T]]) -> T:
        """Wait for a turn on the connection, and await `call`."""
        await self.take_turn()
        try:
            async with self.lease.statement_lock:
                self.check_open()
                if self.lease.tainted:
                    await self.lease.settle()
                if self.pending_closes:
                    await self.close_abandoned()
                return await call()
        finally:
            self.pass_turn()

    async def close_abandoned(self) -> None:
        """Close abandoned cursors."""
        while self.pending_closes:  # closing a cursor adds none
            await self.pending_closes.pop()()

    def cursor_block(self) -> Block:
        """Return the block that a cursor made here ends with: the transaction around all savepoints, or the session."""
        block = self
        while block._outer_block is not None and not block.ends_cursors():  # outwards, as in `has_ended`
            block = block._outer_block
        return block

    def outermost(self) -> Block:
        """Return the block that leased the connection and gives it back."""
        block = self
        while block._outer_block is not None:
            block = block._outer_block
        return block

    def ends_cursors(self) -> bool:
        """Return whether cursors made in the block end with it, although an outer block keeps the connection."""
        return False

    def check_open(self) -> None:
        """Raise `ScopeClosed` or `TransactionClosed` if the block or an enclosing one has ended."""
        self.scope.check_open()
        if self.has_ended():
            raise self.closed_error()

    def closed_error(self) -> TransactionClosed:
        """Return the error for a task that uses the block after its end."""
        return TransactionClosed(
            f"the {self.kind} in scope {self.scope.name!r} has ended: await the tasks that use it "
            f"inside its `async with`, or let them open their own"
        )

    def has_ended(self) -> bool:
        """Return whether this block or an enclosing one has ended, and the connection may be in use elsewhere."""
        block: Block | None = self
        while block is not None:  # outwards: each was entered once, before the one inside it
            if block.ended:
                return True
            block = block._outer_block  # noqa: SLF001 - another of this class
        return False

    def is_left_behind(self) -> bool:
        """Return whether the task that entered the block runs on after its end without leaving it.

        This happens when an asynchronous generator with the block inside is abandoned: asyncio ends it in another task,
        which cannot tell this one.
        """
        return self.ended and self.owner is asyncio.current_task()

    def outer_has_ended(self) -> bool:
        """Return whether an enclosing block has ended: the connection may belong to another scope by now."""
        return self._outer_block is not None and self._outer_block.has_ended()

    async def take_lease(self) -> Lease:
        """Lease a connection, or take the turn on the enclosing block's connection.

        Raises:
            asyncpg.InterfaceError: The block was entered before. It can be entered again after a lease failed.
        """
        if self._entered:
            raise asyncpg.InterfaceError(
                f"this {self.kind} was entered before: a block is entered once, so make a new one for each `async with`"
            )
        self._entered = True
        try:
            self._outer = outer = self._enclosing()
            self._scope = outer.scope
            if isinstance(outer, Block):
                await outer.take_turn(for_block=True)
                self._outer_block = outer
                self._lease = outer.lease
                self.pending_closes = outer.pending_closes
            else:
                self._lease = await self._scope.lease()
        except BaseException:
            self._entered = False
            self._outer = self._scope = None
            raise
        return self._lease

    async def take_turn(self, *, for_block: bool = False) -> None:
        """Wait until no other statement and no inner block uses the connection.

        Raises:
            PoolTimeout: An inner block held the turn for `acquire_timeout`: its code may wait for the task that waits here.
        """
        self.lease.pool.check_loop()
        self.check_open()
        if self._turn.locked() or self._turn_waits:
            async with self._limit_while_inner():
                await self._turn.acquire()
        else:
            await self._turn.acquire()
        try:
            self.check_open()
        except BaseException:
            self._turn.release()
            raise
        if for_block:
            self._set_inner_has_turn(value=True)

    def pass_turn(self) -> None:
        """Give the turn back after `take_turn`."""
        self._set_inner_has_turn(value=False)
        self._turn.release()

    @asynccontextmanager
    async def _limit_while_inner(self) -> AsyncIterator[None]:
        """Limit a wait for an inner block to `acquire_timeout`. Waiting for statements has no limit here: they have one."""
        try:
            async with asyncio.timeout(self._turn_timeout if self._inner_has_turn else None) as limit:
                self._turn_waits.add(limit)
                try:
                    yield
                finally:
                    self._turn_waits.discard(limit)
        except TimeoutError as error:
            raise PoolTimeout(
                f"no turn on the connection of the {self.kind} in scope {self.scope.name!r} within "
                f"{self._turn_timeout:g} s: another task's block inside it is still open"
            ) from error

    def _set_inner_has_turn(self, *, value: bool) -> None:
        """Record whether an inner block has the turn, and start or stop the time limits of the tasks that wait for it."""
        if value == self._inner_has_turn:
            return
        self._inner_has_turn = value
        when = asyncio.get_running_loop().time() + self._turn_timeout if value else None
        for limit in self._turn_waits:
            if not limit.expired():  # pragma: no branch - it is, when both happen in one turn of the event loop
                limit.reschedule(when)

    def return_lease(self) -> None:
        """Give the connection back after `take_lease`."""
        self.ended = True
        if self._outer_block is None:
            self.scope.give_back(self.lease)
        else:
            self._outer_block.pass_turn()

    def enter(self) -> None:
        """Make this block the executor of the running code."""
        self.owner = asyncio.current_task()
        self._inside = True
        self._current.set(self)

    def leave(self) -> None:
        """Restore the enclosing executor. A task that leaves a block which another task entered keeps its executor.

        Raises:
            asyncpg.InterfaceError: The block was not entered, or was left before.
        """
        if not self._inside:
            raise asyncpg.InterfaceError(f"this {self.kind} cannot be left: it was not entered, or was left before")
        self._inside = False
        if self._current.get() is self or self.owner is asyncio.current_task():
            self._current.set(self.outer)

    async def finish(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` in a task that is never cancelled, and wait for it for a second."""
        task = asyncio.get_running_loop().create_task(work, name=f"{self.scope.name}: end of {self.kind}")
        self._finishing.add(task)
        task.add_done_callback(self._finishing.discard)
        await asyncio.wait([task], timeout=_ROLLBACK_WAIT_SECONDS)
