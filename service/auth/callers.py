"""Who tokens speak for, and for how long that is believed."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic

from service.auth.caller import Caller
from service.auth.repository import AccountRepository
from service.auth.settings import AuthSettings
from service.auth.tokens import Claims

_REMEMBERED = 10_000
"""So many users at once, each in less than a kilobyte."""


@dataclass(frozen=True, slots=True)
class _Known:
    version: int
    until: float
    caller: Caller


class Callers:
    """Asks PostgreSQL who a token speaks for, and believes what it said for `remember_seconds`; with 0, it asks each time.

    What is done to a user is done inside `changing`, which ends its tokens at once in this process. Another process, which
    does not hear of it, believes its own answer to the end. Only a good answer is remembered.
    """

    def __init__(self, accounts: AccountRepository, settings: AuthSettings) -> None:
        self._accounts = accounts
        self._seconds = settings.remember_seconds
        self._known: dict[int, _Known] = {}
        """By user, in the order in which they were asked about."""
        self._changes = 0

    async def of(self, claims: Claims) -> Caller | None:
        """Who a token speaks for, or `None` if that user is gone or inactive, or has ended its tokens since."""
        known = self._known.get(claims.sub)
        if known is not None and known.version == claims.ver and monotonic() < known.until:
            return known.caller
        until, changes = monotonic() + self._seconds, self._changes
        caller = await self._accounts.caller(claims)
        is_current = changes == self._changes  # else a change may have overtaken the answer
        if caller is not None and self._seconds and is_current:
            self._known.pop(claims.sub, None)
            self._known[claims.sub] = _Known(claims.ver, until, caller)
            if len(self._known) > _REMEMBERED:
                del self._known[next(iter(self._known))]
        return caller

    @contextmanager
    def changing(self, user_id: int) -> Iterator[None]:
        """Around what changes a user: however it ends, PostgreSQL is asked again."""
        try:
            yield
        finally:
            self._known.pop(user_id, None)
            self._changes += 1
