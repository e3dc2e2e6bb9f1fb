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

    from service.database.lease import Lease
    from service.database.scope import Executor, Scope

T = TypeVar("T")

_SETTLE = 1.0
"""Seconds that leaving a block waits for its ROLLBACK; past that the pool finishes it alone."""


class Block:
    """A frame with a connection. Its tasks take turns; a block inside it takes the turn for as long as it lasts."""

    what = "block"
    by_hand = False
    """Whether statements may begin and end transactions."""

    def __init__(
        self, current: ContextVar[Executor | None], surroundings: Callable[[], Executor], turn_timeout: float
    ) -> None:
        self.ended = False
        self.owner: asyncio.Task[Any] | None = None
        """The task that entered the block."""
        self._current = current
        self._surroundings = surroundings
        self._entered = False
        self._inside = False
        self._outer: Executor | None = None
        self._scope: Scope | None = None
        self._held_outer: Block | None = None
        self._lease: Lease | None = None
        self._turn = asyncio.Lock()
        self._turn_timeout = turn_timeout
        self._inner = False
        self._patience: set[asyncio.Timeout] = set()
        self._settling: set[asyncio.Task[None]] = set()
        self.leftovers: list[Callable[[], Awaitable[None]]] = []
        """Closes the cursors that nobody reads any more: awaited before the connection's next statement."""

    @property
    def outer(self) -> Executor:
        """The frame around the block."""
        if self._outer is None:
            raise NoActiveScope(f"this {self.what} has not begun: write `async with`")
        return self._outer

    @property
    def scope(self) -> Scope:
        """The scope that the block is in."""
        return self._scope or self.outer.scope

    @property
    def lease(self) -> Lease:
        """The connection that it keeps."""
        if self._lease is None:
            raise TransactionClosed(f"this {self.what} has not begun: write `async with`")
        return self._lease

    async def send(self, method: str, query: str, args: Iterable[Any], options: dict[str, Any]) -> Any:
        """Run one statement on the kept connection, in turn with the block's other tasks."""
        self.scope.statements += 1
        return await self.in_turn(lambda: self.lease.send(method, query, args, options, by_hand=self.by_hand))

    async def in_turn(self, call: Callable[[], Awaitable[T]]) -> T:
        """Await a call on the kept connection when its turn has come."""
        await self.take_turn()
        try:
            async with self.lease.wire:
                self.check_open()
                if self.lease.tainted:
                    await self.lease.settle()
                if self.leftovers:
                    await self.tidy()
                return await call()
        finally:
            self.pass_turn()

    async def tidy(self) -> None:
        """Close the cursors that nobody reads any more."""
        while self.leftovers:  # closing a cursor leaves none behind
            await self.leftovers.pop()()

    def home(self) -> Block:
        """The block that a cursor made here ends with: the outermost of the same transaction, or the session."""
        block = self
        while block._held_outer is not None and not block.begins_anew():  # outwards, as in `has_ended`
            block = block._held_outer
        return block

    def outermost(self) -> Block:
        """The block that leased the connection and returns it."""
        block = self
        while block._held_outer is not None:
            block = block._held_outer
        return block

    def begins_anew(self) -> bool:
        """Whether cursors that are made inside it end with it, though a block around it has the same connection."""
        return False

    def check_open(self) -> None:
        """Raises `ScopeClosed` or `TransactionClosed` when the block, or one around it, has ended."""
        self.scope.check_open()
        if self.has_ended():
            raise self.closed()

    def closed(self) -> TransactionClosed:
        """What a task is told that uses the block after its end."""
        return TransactionClosed(
            f"the {self.what} in scope {self.scope.name!r} has ended: await the tasks that use it "
            f"inside its `async with`, or let them open their own"
        )

    def has_ended(self) -> bool:
        """Whether this block or one around it has ended, and with it the right to the connection."""
        block: Block | None = self
        while block is not None:  # outwards: each was entered once, before the one inside it
            if block.ended:
                return True
            block = block._held_outer  # noqa: SLF001 - another of this class
        return False

    def is_left_behind(self) -> bool:
        """Whether the task that entered the block runs on after its end, without having left it.

        So it is when an asynchronous generator with the block inside is given up in the middle: asyncio ends it in a task of
        its own, and cannot tell this one.
        """
        return self.ended and self.owner is asyncio.current_task()

    def outer_has_ended(self) -> bool:
        """Whether a block around this one has ended: the connection may be somebody else's by now."""
        return self._held_outer is not None and self._held_outer.has_ended()

    async def take_lease(self) -> Lease:
        """Lease a connection, or take the turn on the one that the block around this one keeps.

        Raises `asyncpg.InterfaceError` when the block was entered before. One for which no connection was free was not.
        """
        if self._entered:
            raise asyncpg.InterfaceError(
                f"this {self.what} was entered before: a block is entered once, so make a new one for each `async with`"
            )
        self._entered = True
        try:
            self._outer = outer = self._surroundings()
            self._scope = outer.scope
            if isinstance(outer, Block):
                await outer.take_turn(for_block=True)
                self._held_outer = outer
                self._lease = outer.lease
                self.leftovers = outer.leftovers
            else:
                self._lease = await self._scope.lease()
        except BaseException:
            self._entered = False
            self._outer = self._scope = None
            raise
        return self._lease

    async def take_turn(self, *, for_block: bool = False) -> None:
        """Wait until no other statement and no inner block uses the connection.

        Raises `PoolTimeout` when an inner block keeps it for longer than `acquire_timeout`: its code may wait for the
        very task that waits here.
        """
        self.lease.pool.check_loop()
        self.check_open()
        if self._turn.locked() or self._patience:
            async with self._bounded_while_inner():
                await self._turn.acquire()
        else:
            await self._turn.acquire()
        try:
            self.check_open()
        except BaseException:
            self._turn.release()
            raise
        if for_block:
            self._set_inner(inner=True)

    def pass_turn(self) -> None:
        """The reverse of `take_turn`."""
        self._set_inner(inner=False)
        self._turn.release()

    @asynccontextmanager
    async def _bounded_while_inner(self) -> AsyncIterator[None]:
        """Those who wait for statements wait as long as these take; those who wait for a block, `acquire_timeout`."""
        try:
            async with asyncio.timeout(self._turn_timeout if self._inner else None) as patience:
                self._patience.add(patience)
                try:
                    yield
                finally:
                    self._patience.discard(patience)
        except TimeoutError as error:
            raise PoolTimeout(
                f"no turn on the connection of the {self.what} in scope {self.scope.name!r} within "
                f"{self._turn_timeout:g} s: another task's block inside it is still open"
            ) from error

    def _set_inner(self, *, inner: bool) -> None:
        """Note whether a block has the turn, and start or stop the clock of those who wait for it."""
        if inner == self._inner:
            return
        self._inner = inner
        when = asyncio.get_running_loop().time() + self._turn_timeout if inner else None
        for patience in self._patience:
            if not patience.expired():  # pragma: no branch - it is, when both happen in one turn of the event loop
                patience.reschedule(when)

    def return_lease(self) -> None:
        """The reverse of `take_lease`."""
        self.ended = True
        if self._held_outer is None:
            self.scope.give_back(self.lease)
        else:
            self._held_outer.pass_turn()

    def enter(self) -> None:
        """From here on, the running code's statements come to this block."""
        self.owner = asyncio.current_task()
        self._inside = True
        self._current.set(self)

    def leave(self) -> None:
        """From here on, they go where they went before.

        Raises `asyncpg.InterfaceError` when nobody is inside. A task that leaves a block which another task entered
        keeps its own surroundings.
        """
        if not self._inside:
            raise asyncpg.InterfaceError(f"this {self.what} cannot be left: it was not entered, or was left before")
        self._inside = False
        if self._current.get() is self or self.owner is asyncio.current_task():
            self._current.set(self.outer)

    async def settle(self, work: Coroutine[Any, Any, None]) -> None:
        """Finish `work` whatever happens to this task: wait for it a moment, and never cancel it."""
        task = asyncio.get_running_loop().create_task(work, name=f"{self.scope.name}: end of {self.what}")
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)
        await asyncio.wait([task], timeout=_SETTLE)
