"""The connection of the *rollback* isolation: real SQL on a real server, of which nothing is ever committed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg


class RollbackConnection(asyncpg.Connection):
    """asyncpg's connection inside a transaction that ends only when the connection is closed.

    A transaction of the code under test becomes a savepoint, and so does each statement outside one, so that a failing
    statement undoes itself alone, as it would with autocommit.
    """

    _in_transaction = False

    def is_in_transaction(self) -> bool:
        """Whether the code under test is in a transaction: the outer one is not its own."""
        return self._in_transaction

    async def execute(self, query: str, *args: Any, timeout: float | None = None) -> str:
        if query.startswith("BEGIN"):
            return await self._begin()
        if query == "COMMIT":
            return await self._commit()
        if query == "ROLLBACK":
            return await self._roll_back()
        async with self._like_autocommit():
            return await super().execute(query, *args, timeout=timeout)

    async def executemany(self, command: str, args: Any, *, timeout: float | None = None) -> None:
        async with self._like_autocommit():
            await super().executemany(command, args, timeout=timeout)

    async def fetch(self, *args: Any, **options: Any) -> Any:
        async with self._like_autocommit():
            return await super().fetch(*args, **options)

    async def fetchrow(self, *args: Any, **options: Any) -> Any:
        async with self._like_autocommit():
            return await super().fetchrow(*args, **options)

    async def fetchval(self, *args: Any, **options: Any) -> Any:
        async with self._like_autocommit():
            return await super().fetchval(*args, **options)

    async def fetchmany(self, *args: Any, **options: Any) -> Any:
        async with self._like_autocommit():
            return await super().fetchmany(*args, **options)

    async def prepare(self, *args: Any, **options: Any) -> Any:
        await self._open_outer()  # what the statement does later is not committed either
        return await super().prepare(*args, **options)

    async def copy_records_to_table(self, *args: Any, **options: Any) -> str:
        async with self._like_autocommit():
            return await super().copy_records_to_table(*args, **options)

    async def copy_to_table(self, *args: Any, **options: Any) -> str:
        async with self._like_autocommit():
            return await super().copy_to_table(*args, **options)

    async def copy_from_table(self, *args: Any, **options: Any) -> str:
        async with self._like_autocommit():
            return await super().copy_from_table(*args, **options)

    async def copy_from_query(self, *args: Any, **options: Any) -> str:
        async with self._like_autocommit():
            return await super().copy_from_query(*args, **options)

    def get_reset_query(self) -> str:
        """Nothing: a reset would end the outer transaction's settings."""
        return ""

    async def _reset(self) -> None:
        """Nothing, for the same reason."""

    async def _begin(self) -> str:
        await self._open_outer()
        await super().execute("SAVEPOINT under_test")
        self._in_transaction = True
        return "BEGIN"

    async def _commit(self) -> str:
        try:
            await super().execute("RELEASE SAVEPOINT under_test")
        except asyncpg.InFailedSQLTransactionError:
            return await self._roll_back()
        self._in_transaction = False
        return "COMMIT"

    async def _roll_back(self) -> str:
        if self._in_transaction:
            await super().execute("ROLLBACK TO SAVEPOINT under_test; RELEASE SAVEPOINT under_test")
            self._in_transaction = False
        return "ROLLBACK"

    async def _open_outer(self) -> None:
        if not super().is_in_transaction():
            await super().execute("BEGIN")

    @asynccontextmanager
    async def _like_autocommit(self) -> AsyncIterator[None]:
        await self._open_outer()
        if self._in_transaction:
            yield
            return
        await super().execute("SAVEPOINT statement")
        try:
            yield
        except BaseException:
            await super().execute("ROLLBACK TO SAVEPOINT statement")
            raise
        await super().execute("RELEASE SAVEPOINT statement")
