"""A block of code that keeps one connection: the common part of transactions and sessions."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextvars import ContextVar
from typing import Any, TypeVar

from service.database.errors import PoolTimeout, TransactionClosed
from service.database.lease import Lease
from service.database.scope import Frame, Scope

T = TypeVar("T")

_SETTLE = 1.0
"""Seconds that leaving a block waits for its ROLLBACK; past that the pool finishes it alone."""


class Held:
    """A frame with a connection. Its tasks take turns; a block inside it takes the turn for as long as it lasts."""

    what = "block"

    def __init__(self, current: ContextVar[Frame | None], outer: Frame, turn_timeout: float) -> None:
        self.scope: Scope = outer.scope
        self.ended = False
        self._current = current
        self._outer = outer
        self._held_outer = outer if isinstance(outer, Held) else None
        self._turn = asyncio.Lock()
        self.inner = False
        """Whether a block inside this one has the turn."""
        self._turn_timeout = turn_timeout
        self._lease: Lease | None = None
        self._rollbacks: set[asyncio.Task[None]] = set()

    @property
    def lease(self) -> Lease:
        """The connection that it keeps."""
        if self._lease is None:
            raise TransactionClosed(f"this {self.what} has not begun: write `async with`")
        return self._lease

    async def send(self, method: str, query: str, args: Iterable[Any], options: dict[str, Any]) -> Any:
        """Run one statement on the kept connection, in turn with the block's other tasks."""
        self.scope.statements += 1
        return await self.in_turn(lambda: self.lease.send(method, query, args, options))

    async def in_turn(self, call: Callable[[], Awaitable[T]]) -> T:
        """Await a call on the kept connection when its turn has come."""
        await self.take_turn()
        try:
            async with self.lease.wire:
                self.check_open()
                return await call()
        finally:
            self.pass_turn()

    def check_open(self) -> None:
        """Raises `ScopeClosed` or `TransactionClosed` when the block, or one around it, has ended."""
        self.scope.check_open()
        if self.has_ended():
            raise TransactionClosed(
                f"the {self.what} in scope {self.scope.name!r} has ended: await the tasks that use it "
                f"inside its `async with`, or let them open their own"
            )

    def has_ended(self) -> bool:
        """Whether this block or one around it has ended, and with it the right to the connection."""
        return self.ended or (self._held_outer is not None and self._held_outer.has_ended())

    async def take_lease(self) -> Lease:
        """Lease a connection, or take the turn on the one that the block around this one keeps."""
        if self._held_outer is None:
            self._lease = await self.scope.lease()
        else:
            await self._held_outer.take_turn()
            self._held_outer.inner = True
            self._lease = self._held_outer.lease
        return self._lease

    async def take_turn(self) -> None:
        """Wait until no other statement and no inner block uses the connection.

        Raises `PoolTimeout` when an inner block that is open keeps it for longer than `acquire_timeout`: its code may
        wait for the very task that waits here.
        """
        self.lease.pool.check_loop()
        self.check_open()
        if self.inner:
            await self._wait_for_inner()
        else:
            await self._turn.acquire()
        try:
            self.check_open()
        except BaseException:
            self._turn.release()
            raise

    async def _wait_for_inner(self) -> None:
        try:
            async with asyncio.timeout(self._turn_timeout):
                await self._turn.acquire()
        except TimeoutError as error:
            raise PoolTimeout(
                f"no turn on the connection of the {self.what} in scope {self.scope.name!r} within "
                f"{self._turn_timeout:g} s: another task's block inside it is still open"
            ) from error

    def return_lease(self) -> None:
        """The reverse of `take_lease`."""
        self.ended = True
        if self._held_outer is None:
            self.scope.give_back(self.lease)
        else:
            self._held_outer.inner = False
            self._held_outer.pass_turn()

    def pass_turn(self) -> None:
        """The reverse of `take_turn`."""
        self._turn.release()

    def enter(self) -> None:
        """From here on, the running code's statements come to this block."""
        self._current.set(self)

    def leave(self) -> None:
        """From here on, they go where they went before."""
        self._current.set(self._outer)

    async def settle(self, work: Coroutine[Any, Any, None]) -> None:
        """Finish `work` whatever happens to this task: wait for it a moment, and never cancel it."""
        task = asyncio.get_running_loop().create_task(work, name=f"{self.scope.name}: end of {self.what}")
        self._rollbacks.add(task)
        task.add_done_callback(self._rollbacks.discard)
        await asyncio.wait([task], timeout=_SETTLE)
