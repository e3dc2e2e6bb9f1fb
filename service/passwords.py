"""Passwords: hashed with argon2id, away from the event loop."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from secrets import token_urlsafe
from typing import TypeVar

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from service.errors import Unavailable, Unprocessable

T = TypeVar("T")


class PasswordTooShort(Unprocessable):
    """A new password has too few characters."""


class TooManyPasswords(Unavailable):
    """As many passwords wait to be hashed as may."""

    message = "Too many sign in or register at the moment"


class PasswordHasher:
    """Hashes in threads of its own, so that at most `threads` hashes take memory and processor time at once.

    `memory_kib`, `time_cost`: argon2id's memory in KiB and number of passes; parallelism is 1, one thread per hash.
    `min_length`: characters that a new password must have. `max_waiting`: how many are hashed or wait for it at once; without
    a bound, clients by the thousand would have everybody wait for minutes. The next is refused with `TooManyPasswords`.
    """

    def __init__(
        self, *, memory_kib: int, time_cost: int, threads: int, min_length: int, max_waiting: int = 200
    ) -> None:
        self._min_length = min_length
        self._max_waiting = max_waiting
        self._waiting = 0
        self._hasher = PasswordHash((Argon2Hasher(time_cost=time_cost, memory_cost=memory_kib, parallelism=1),))
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="password")
        self._of_nobody = self._threads.submit(self._hasher.hash, token_urlsafe())

    async def hash(self, password: str) -> str:
        """The hash to store, with its parameters and salt in it. Raises `PasswordTooShort` and `TooManyPasswords`."""
        if len(password) < self._min_length:
            raise PasswordTooShort(f"body.password: must have at least {self._min_length} characters")
        return await self._in_thread(self._hasher.hash, password)

    async def verify(self, password: str, password_hash: str | None) -> bool:
        """Whether the hash was made from this password. `None`, for a user who is not there, costs as much, and is not.

        Raises `TooManyPasswords`.
        """
        return await self._in_thread(self._verify, password, password_hash)

    def _verify(self, password: str, password_hash: str | None) -> bool:
        matches = self._hasher.verify(password, password_hash or self._of_nobody.result())
        return matches and password_hash is not None

    async def _in_thread(self, work: Callable[..., T], *arguments: str | None) -> T:
        if self._waiting >= self._max_waiting:
            raise TooManyPasswords
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)
        finally:
            self._waiting -= 1
