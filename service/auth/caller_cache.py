"""The callers of tokens, kept for a while so that not every request asks the database."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic

from service.auth.caller import Caller
from service.auth.repository import AccountRepository
from service.auth.settings import AuthSettings
from service.auth.tokens import Claims

_MAX_USERS = 10_000
"""Users in the cache, each in less than a kilobyte."""


@dataclass(frozen=True, slots=True)
class _Entry:
    version: int
    until: float
    caller: Caller


class CallerCache:
    """Looks up the users of tokens in PostgreSQL, and keeps each for `remember_seconds`; with 0, it asks each time.

    Code that changes a user does so inside `invalidating`, which ends the user's tokens at once in this process. Another
    process does not notice, and keeps its own entry until it expires. Only users who are found and active are kept.
    """

    def __init__(self, accounts: AccountRepository, settings: AuthSettings) -> None:
        self._accounts = accounts
        self._seconds = settings.remember_seconds
        self._entries: dict[int, _Entry] = {}
        """By user, oldest first."""
        self._changes = 0

    async def get(self, claims: Claims) -> Caller | None:
        """Return the caller of a token, or `None` if the user is gone or inactive, or has ended its tokens since."""
        known = self._entries.get(claims.sub)
        if known is not None and known.version == claims.ver and monotonic() < known.until:
            return known.caller
        until, changes = monotonic() + self._seconds, self._changes
        caller = await self._accounts.caller(claims)
        is_current = changes == self._changes  # otherwise the user may have changed after PostgreSQL answered
        if caller is not None and self._seconds and is_current:
            self._entries.pop(claims.sub, None)
            self._entries[claims.sub] = _Entry(claims.ver, until, caller)
            if len(self._entries) > _MAX_USERS:
                del self._entries[next(iter(self._entries))]
        return caller

    @contextmanager
    def invalidating(self, user_id: int) -> Iterator[None]:
        """Forget a user at the end of the block, which changes it, even if the block fails."""
        try:
            yield
        finally:
            self._entries.pop(user_id, None)
            self._changes += 1
