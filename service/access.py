"""Who calls, and what that caller may do.

Each route says one of two things: `caller: SignedIn` among its parameters, or `dependencies=[PUBLIC]`. A router in which a
route says neither is closed to all but admins.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

from fastapi import Depends, Security
from fastapi.security import OAuth2PasswordBearer

from service.errors import Forbidden
from service.injection import Provide, inject


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


_token = OAuth2PasswordBearer("token", auto_error=False, description="An e-mail address and its password")


@inject
async def identify(
    token: Annotated[str | None, Depends(_token)], authentication: Authentication = Provide["authentication"]
) -> Caller:
    """FastAPI's way to the caller."""
    return await authentication.identify(token)


async def admins(caller: Annotated[Caller, Security(identify)]) -> None:
    """Lets admins pass."""
    caller.require_admin()


async def anybody() -> None:
    """Lets everybody pass."""


SignedIn = Annotated[Caller, Security(identify)]
"""The parameter of a handler that needs to know its caller."""
ADMINS = Security(admins)
"""For `dependencies=` of what is an admin's alone."""
PUBLIC = Depends(anybody)
"""For `dependencies=` of what everybody may call."""


def is_decision(call: Callable[..., Any]) -> bool:
    """Whether a dependency of a route says who may call it."""
    return call in {identify, admins, anybody}
