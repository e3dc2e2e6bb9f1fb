"""Passwords: hashed with argon2id, away from the event loop."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher


class PasswordHasher:
    """Hashes in threads of its own, so that at most `threads` hashes take memory and processor time at once.

    `memory_kib`, `time_cost`: argon2id's memory in KiB and number of passes; parallelism is 1, one thread per hash.
    """

    def __init__(self, *, memory_kib: int, time_cost: int, threads: int) -> None:
        self._hasher = PasswordHash((Argon2Hasher(time_cost=time_cost, memory_cost=memory_kib, parallelism=1),))
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="password")

    async def hash(self, password: str) -> str:
        """The hash to store, with its parameters and salt in it."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._hasher.hash, password)

    async def verify(self, password: str, password_hash: str) -> bool:
        """Whether the hash was made from this password."""
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, self._hasher.verify, password, password_hash
        )
