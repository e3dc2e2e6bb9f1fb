"""Passwords: normalized, then hashed with argon2id, away from the event loop."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from secrets import token_urlsafe
from typing import TypeVar
from unicodedata import category, normalize

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from service.auth.errors import PasswordTooShort, TooManyPasswords

T = TypeVar("T")


def normalized(password: str) -> str:
    """The form of a password that is hashed: RFC 8265's OpaqueString, with each kind of space a U+0020, in NFC.

    So a password is right on each keyboard that composes its characters or spaces otherwise. Case, width and spaces around
    it belong to it. Nothing is refused here; new passwords have no control characters, as the schema sees to. The RFC would
    refuse more: variation selectors and joiners, which telephones put into emoji, and what Python's Unicode does not know yet.
    """
    if password.isascii():
        return password
    return normalize("NFC", "".join(" " if category(character) == "Zs" else character for character in password))


class PasswordHasher:
    """Hashes in threads of its own, so that at most `threads` hashes take memory and processor time at once.

    `memory_kib`, `time_cost`: argon2id's memory in KiB and number of passes; parallelism is 1, one thread per hash.
    `min_length`: code points that a new password must have, normalized. `max_waiting`: how many are hashed or wait for it at
    once; without a bound, clients by the thousand would have everybody wait for minutes. The next is refused with
    `TooManyPasswords`.
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
        password = normalized(password)
        if len(password) < self._min_length:
            raise PasswordTooShort(f"body.password: must have at least {self._min_length} characters")
        return await self._in_thread(self._hasher.hash, password)

    async def verify(self, password: str, password_hash: str | None) -> bool:
        """Whether the hash was made from this password. `None`, for a user who is not there, costs as much, and is not.

        Neither is a hash of another kind, such as an imported one: its user needs a new password. Raises `TooManyPasswords`.
        """
        return await self._in_thread(self._verify, password, password_hash)

    async def verify_and_update(self, password: str, password_hash: str | None) -> tuple[bool, str | None]:
        """As `verify`; and the hash to store instead, if the password is right and its hash was made otherwise than now.

        Otherwise: with other parameters, or from a password that was not normalized. Raises `TooManyPasswords`.
        """
        return await self._in_thread(self._verify_and_update, password, password_hash)

    def _verify(self, password: str, password_hash: str | None) -> bool:
        return self._matching(password, password_hash) is not None

    def _verify_and_update(self, password: str, password_hash: str | None) -> tuple[bool, str | None]:
        matching = self._matching(password, password_hash)
        if matching is None or password_hash is None:
            return False, None
        wanted = normalized(password)
        if matching == wanted and not self._hasher.current_hasher.check_needs_rehash(password_hash):
            return True, None
        return True, self._hasher.hash(wanted)

    def _matching(self, password: str, password_hash: str | None) -> str | None:
        """The form of the password that the hash was made from: normalized, or as typed for an older hash.

        What it costs to find none depends on the password alone, and not on whether there is a user.
        """
        known = password_hash if password_hash and self._hasher.current_hasher.identify(password_hash) else None
        stored = known or self._of_nobody.result()
        forms = dict.fromkeys((normalized(password), password))
        found = next((form for form in forms if self._hasher.verify(form, stored)), None)
        return None if known is None else found

    async def _in_thread(self, work: Callable[..., T], *arguments: str | None) -> T:
        if self._waiting >= self._max_waiting:
            raise TooManyPasswords
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)
        finally:
            self._waiting -= 1
