"""Passwords: normalized, then hashed with argon2id in threads."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from secrets import token_urlsafe
from typing import TypeVar
from unicodedata import category, normalize

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from service.auth.errors import PasswordTooShort, TooManyPasswords
from service.auth.settings import PasswordSettings

T = TypeVar("T")


def normalized(password: str) -> str:
    """Return the form of a password that is hashed: RFC 8265's OpaqueString, with each kind of space as U+0020, in NFC.

    So a password also matches when another keyboard composes its characters or spaces differently. Case, width and
    surrounding spaces are significant. Nothing is refused here; the schema refuses control characters in new passwords. The
    RFC would also refuse variation selectors and joiners, which telephones put into emoji, and unassigned characters.
    """
    if password.isascii():
        return password
    return normalize("NFC", "".join(" " if category(character) == "Zs" else character for character in password))


class PasswordHasher:
    """Hashes passwords in a few threads, so that only as many hashes take memory and processor time at once.

    At most `max_waiting` passwords are hashed or wait for a thread; the next one is refused with `TooManyPasswords`. Without
    that bound, thousands of clients would make each other wait for minutes.
    """

    def __init__(self, settings: PasswordSettings) -> None:
        self._min_length = settings.min_length
        self._max_waiting = settings.max_waiting
        self._waiting = 0
        argon2 = Argon2Hasher(time_cost=settings.time_cost, memory_cost=settings.memory_kib, parallelism=1)
        self._hasher = PasswordHash((argon2,))
        self._threads = ThreadPoolExecutor(settings.threads, thread_name_prefix="password")
        self._hash_of_no_user = self._threads.submit(self._hasher.hash, token_urlsafe())

    async def hash(self, password: str) -> str:
        """Return the hash to store, which contains its parameters and salt. Raises `PasswordTooShort`, `TooManyPasswords`."""
        password = normalized(password)
        if len(password) < self._min_length:
            raise PasswordTooShort(f"body.password: must have at least {self._min_length} characters")
        return await self._in_thread(self._hasher.hash, password)

    async def verify(self, password: str, password_hash: str | None) -> bool:
        """Return whether the hash was made from this password. `None`, for an unknown user, is false and takes as long.

        A hash of another kind, for instance an imported one, is false too: its user needs a new password. Raises
        `TooManyPasswords`.
        """
        return await self._in_thread(self._verify, password, password_hash)

    async def verify_and_update(self, password: str, password_hash: str | None) -> tuple[bool, str | None]:
        """Verify as `verify` does. Also return the hash to store instead, if the password is right and its hash outdated.

        A hash is outdated if it was made with other parameters, or from a password that was not normalized. Raises
        `TooManyPasswords`.
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
        """Return the form of the password that the hash was made from: normalized, or as typed for an older hash.

        The time for a wrong password depends on the password only, not on whether there is a user.
        """
        known = password_hash if password_hash and self._hasher.current_hasher.identify(password_hash) else None
        stored = known or self._hash_of_no_user.result()
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
