"""The caller of a request: who sent it, and what that user may do."""

from dataclasses import dataclass
from typing import Protocol

from service.errors import Forbidden


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who makes a request. `user_id` is `None` where nobody signed in, which only mode `open` lets pass."""

    user_id: int | None
    is_admin: bool

    @property
    def owner_id(self) -> int | None:
        """Whose rows the caller may see: its own, or, with `None`, all."""
        return None if self.is_admin else self.user_id

    def require(self, user_id: int) -> None:
        """Raises `Forbidden` unless the caller is this user, or an admin."""
        if not self.is_admin and self.user_id != user_id:
            raise Forbidden

    def require_admin(self) -> None:
        """Raises `Forbidden` unless the caller is an admin."""
        if not self.is_admin:
            raise Forbidden


class Authentication(Protocol):
    """How a caller is identified."""

    async def identify(self, token: str | None) -> Caller:
        """Who sent this access token, or none. Raises `Unauthorized`."""
