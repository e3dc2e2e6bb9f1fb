"""Who calls, and what that caller may do.

Each route says one of two things: `caller: SignedIn` among its parameters, or `dependencies=[PUBLIC]`. A router in which a
route says neither is closed to all but admins, and so is whatever is added to the application later and says neither. A
mounted application says it by `Public(application)`.
"""

from typing import Annotated, Any

from fastapi import Depends, Security
from fastapi.dependencies.models import Dependant
from fastapi.security import OAuth2PasswordBearer
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from service.auth.caller import Authentication, Caller
from service.injection import Provide, inject
from service.web.routes import calls_of

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


class Public:
    """An ASGI application that everybody may call: `app.mount("/files", Public(StaticFiles(...)))`.

    Without it a mounted application is for admins alone. With it the application itself decides whom it answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    @property
    def routes(self) -> list[Any]:
        """The application's routes, for `url_path_for`."""
        return getattr(self._app, "routes", [])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102 - ASGI
        await self._app(scope, receive, send)


def says_who_may_call(route: object) -> bool:
    """Whether a route of FastAPI, a mount or another route of Starlette says who may call it."""
    dependant: Dependant | None = getattr(route, "dependant", None)
    if dependant is None:
        return isinstance(getattr(route, "app", None), Public)
    return any(call in {identify, admins, anybody} for call in calls_of(dependant))


async def require_admin(scope: Scope) -> None:
    """Raises `Unauthorized` or `Forbidden` unless an admin sends this request or opens this websocket."""
    token = await _token(HTTPConnection(scope))
    await admins(await identify(token))
