"""Transaction blocks: BEGIN, COMMIT, ROLLBACK and savepoints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import asyncpg

from service.database.block import Block
from service.database.errors import CommitOutcomeUnknown, DatabaseUnavailable, TransactionAborted
from service.database.transaction_modes import PLAIN, Modes

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import ContextVar
    from types import TracebackType

    from service.database.lease import Lease
    from service.database.scope import Executor

_MODES_NOW = """
    SELECT current_setting('transaction_isolation') AS isolation,
           current_setting('transaction_read_only') = 'on' AS readonly,
           current_setting('transaction_deferrable') = 'on' AS deferrable
"""


class Transaction(Block):
    """`async with connection.transaction():` commits on a normal exit, and rolls back on any exception.

    Inside another transaction it is a savepoint.
    """

    kind = "transaction"

    def __init__(
        self,
        current: ContextVar[Executor | None],
        enclosing: Callable[[], Executor],
        turn_timeout: float,
        modes: Modes,
    ) -> None:
        super().__init__(current, enclosing, turn_timeout)
        self._modes = modes
        self._savepoint: str | None = None

    async def __aenter__(self) -> Self:
        lease = await self.take_lease()
        try:
            await self._start(lease)
        except (asyncpg.PostgresError, asyncpg.InterfaceError):  # refused: no transaction was begun
            lease.in_transaction = lease.in_transaction and lease.is_in_transaction(now=True)
            self.return_lease()
            raise
        except BaseException:
            await self._undo()
            raise
        lease.statements_at_begin, lease.savepoint = lease.statements, self._savepoint
        self.enter()
        return self

    async def _start(self, lease: Lease) -> None:
        if not lease.is_in_transaction():
            lease.in_transaction = True  # before the answer: a cancelled BEGIN may have begun
            lease.modes = self._modes
            await self._command(self._modes.begin)
            return
        if self._modes is not PLAIN:
            await self._check_modes(lease)
        lease.savepoint_count += 1
        self._savepoint = f"savepoint_{lease.savepoint_count}"
        await self._command(f"SAVEPOINT {self._savepoint}")

    async def _check_modes(self, lease: Lease) -> None:
        """Raise `asyncpg.InterfaceError` if the open transaction does not have the modes that this savepoint asks for."""
        outer = lease.modes
        if lease.in_transaction and outer.include(self._modes):
            return
        async with lease.statement_lock:
            now = await lease.guard(lambda: lease.raw.fetchrow(_MODES_NOW), None)
        outer = Modes(now["isolation"].replace(" ", "_"), now["readonly"], now["deferrable"], "BEGIN")
        if outer.isolation != (self._modes.isolation or outer.isolation):
            raise asyncpg.InterfaceError(
                f"nested transaction has a different isolation level: current {self._modes.isolation!r} != outer "
                f"{outer.isolation!r}; it is a savepoint, which cannot change it"
            )
        if not outer.include(self._modes):
            raise asyncpg.InterfaceError(
                f"a nested transaction is a savepoint: it cannot ask for {self._modes.begin!r} where the outer one is "
                f"{'read-only' if outer.readonly else 'not read-only'} and "
                f"{'deferrable' if outer.deferrable else 'not deferrable'}"
            )

    def ends_cursors(self) -> bool:
        """Return whether it is a real transaction: cursors can outlive a savepoint."""
        return self._savepoint is None

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()
        if kind is not None:
            await self._undo()
            return
        try:
            await self.take_turn()  # after the statements of child tasks that came first
            try:
                self.ended = True
                await self._save()
            finally:
                self.pass_turn()
        except BaseException:
            await self._undo()
            raise
        self.return_lease()

    async def _save(self) -> None:
        """Send COMMIT or RELEASE SAVEPOINT."""
        if self._savepoint is None:
            await self._commit()
            return
        self.lease.statements_at_begin = -1
        try:
            await self._command(f"RELEASE SAVEPOINT {self._savepoint}")
        except asyncpg.InFailedSQLTransactionError as error:
            raise TransactionAborted(_CAUGHT_ERROR) from error

    async def _commit(self) -> None:
        lease = self.lease
        if lease.is_closed():
            raise DatabaseUnavailable("the connection was lost before COMMIT: nothing was saved")
        try:
            status = await self._command("COMMIT")
        except DatabaseUnavailable as error:
            raise CommitOutcomeUnknown(
                f"the connection was lost during COMMIT in scope {self.scope.name!r}: the work may be saved or not"
            ) from error.__cause__
        except asyncpg.PostgresError:  # a deferred constraint, a serialization failure: certainly rolled back
            lease.in_transaction = lease.is_in_transaction(now=True)
            raise
        lease.in_transaction = False
        if status == "ROLLBACK":
            raise TransactionAborted(_CAUGHT_ERROR)

    async def _command(self, sql: str) -> str:
        async with self.lease.statement_lock:
            if (
                self.outer_has_ended()
            ):  # pragma: no cover - `take_turn` has checked it; checked again so that no late COMMIT is sent
                raise self.closed_error()
            if self.lease.tainted:
                await self.lease.settle()
            return await self.lease.command(sql)

    async def _undo(self) -> None:
        """Roll back and give the connection back, even while this task is being cancelled."""
        self.ended = True
        await self.finish(self._roll_back())

    async def _roll_back(self) -> None:
        lease = self.lease
        try:
            async with lease.statement_lock:  # a child task's statement may be running
                if lease.is_in_transaction() and not lease.is_closed() and not self.outer_has_ended():
                    await self._send_rollback(lease)
        finally:
            self.return_lease()

    async def _send_rollback(self, lease: Lease) -> None:
        lease.statements_at_begin = -1
        try:
            if self._savepoint is None:
                await lease.roll_back("ROLLBACK")
                lease.in_transaction = False
            else:
                await lease.roll_back(f"ROLLBACK TO SAVEPOINT {self._savepoint}; RELEASE SAVEPOINT {self._savepoint}")
        except asyncpg.PostgresError:
            pass  # the savepoint was not made: the transaction is aborted, and its end raises
        except (asyncpg.InterfaceError, DatabaseUnavailable):
            lease.tainted = True
            lease.terminate()  # the server rolls back when the connection is lost


_CAUGHT_ERROR = (
    "nothing was saved: a statement failed inside the transaction and its error was caught. "
    "Catch it around a nested `transaction()`, which undoes only that part"
)
