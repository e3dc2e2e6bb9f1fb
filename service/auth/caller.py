"""The caller of a request and its rights. Imports no FastAPI, so that services can use it."""

from dataclasses import dataclass
from typing import Protocol

from service.errors import Forbidden


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The user who sends a request. `user_id` is `None` without a token, which only mode `open` accepts."""

    user_id: int | None
    is_admin: bool

    @property
    def owner_id(self) -> int | None:
        """Return the only owner that the caller may see rows of; `None` for admins, who see all rows."""
        return None if self.is_admin else self.user_id

    def require(self, user_id: int) -> None:
        """Raise `Forbidden` unless the caller is this user or an admin."""
        if not self.is_admin and self.user_id != user_id:
            raise Forbidden

    def require_admin(self) -> None:
        """Raise `Forbidden` unless the caller is an admin."""
        if not self.is_admin:
            raise Forbidden


class Authentication(Protocol):
    """Identifies callers: one class for each value of `auth.mode`."""

    async def identify(self, token: str | None) -> Caller:
        """Return the caller who sent this access token, or no token. Raises `Unauthorized`."""
