"""Passwords: hashed with argon2id, away from the event loop."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from secrets import token_urlsafe

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from service.errors import Unprocessable


class PasswordTooShort(Unprocessable):
    """A new password has too few characters."""


class PasswordHasher:
    """Hashes in threads of its own, so that at most `threads` hashes take memory and processor time at once.

    `memory_kib`, `time_cost`: argon2id's memory in KiB and number of passes; parallelism is 1, one thread per hash.
    `min_length`: characters that a new password must have.
    """

    def __init__(self, *, memory_kib: int, time_cost: int, threads: int, min_length: int) -> None:
        self._min_length = min_length
        self._hasher = PasswordHash((Argon2Hasher(time_cost=time_cost, memory_cost=memory_kib, parallelism=1),))
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="password")
        self._of_nobody = self._threads.submit(self._hasher.hash, token_urlsafe())

    async def hash(self, password: str) -> str:
        """The hash to store, with its parameters and salt in it. Raises `PasswordTooShort`."""
        if len(password) < self._min_length:
            raise PasswordTooShort(f"body.password: must have at least {self._min_length} characters")
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._hasher.hash, password)

    async def verify(self, password: str, password_hash: str | None) -> bool:
        """Whether the hash was made from this password. `None`, for a user who is not there, costs as much, and is not."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._verify, password, password_hash)

    def _verify(self, password: str, password_hash: str | None) -> bool:
        matches = self._hasher.verify(password, password_hash or self._of_nobody.result())
        return matches and password_hash is not None
