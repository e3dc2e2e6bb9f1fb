"""Access rules of routes, for FastAPI.

Each route declares `caller: SignedIn` among its parameters, or `dependencies=[PUBLIC]`. A router with a route that declares
neither is for admins only, and so is a route that is added to the application later without either. A mounted application
is wrapped: `Public(application)`.
"""

import logging
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Security, params
from fastapi.dependencies.models import Dependant
from fastapi.security import OAuth2PasswordBearer
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from service.auth.caller import Authentication, Caller
from service.injection import Provide, inject
from service.web.routes import calls_of, routes_of

logger = logging.getLogger("service")

_token = OAuth2PasswordBearer("token", auto_error=False, description="An e-mail address and its password")


@inject
async def identify(
    token: Annotated[str | None, Depends(_token)], authentication: Authentication = Provide["authentication"]
) -> Caller:
    """Return the caller, as a dependency of FastAPI. Raises `Unauthorized`."""
    return await authentication.identify(token)


async def admins(caller: Annotated[Caller, Security(identify)]) -> None:
    """Raise `Forbidden` unless the caller is an admin."""
    caller.require_admin()


async def everyone() -> None:
    """Accept every caller."""


SignedIn = Annotated[Caller, Security(identify)]
"""The type of a handler's `caller`: the user who signed in."""
ADMINS = Security(admins)
"""For `dependencies=` of routes for admins only."""
PUBLIC = Depends(everyone)
"""For `dependencies=` of routes that need no token."""


class Public:
    """An ASGI application that needs no token: `app.mount("/files", Public(StaticFiles(...)))`.

    Without it a mounted application is for admins only. With it the application decides which requests it answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    @property
    def routes(self) -> list[Any]:
        """Return the application's routes, for `url_path_for`."""
        return getattr(self._app, "routes", [])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102 - ASGI
        await self._app(scope, receive, send)


def says_who_may_call(route: object) -> bool:
    """Return whether a route of FastAPI, a mount or another route of Starlette declares its callers."""
    dependant: Dependant | None = getattr(route, "dependant", None)
    if dependant is None:
        return isinstance(getattr(route, "app", None), Public)
    return any(call in {identify, admins, everyone} for call in calls_of(dependant))


def access_of(router: APIRouter) -> Sequence[params.Depends]:
    """Return the dependencies to include a router with: none if each of its routes declares its callers, else `ADMINS`.

    Log the routes that do not.
    """
    undecided = [str(route.path) for route in routes_of(router.routes) if not says_who_may_call(route)]
    if not undecided:
        return ()
    logger.warning(
        "%s: nothing says who may call: take `caller: SignedIn`, or `dependencies=[PUBLIC]`. Until then, admins only",
        ", ".join(undecided),
    )
    return (ADMINS,)


async def require_admin(scope: Scope) -> None:
    """Raise `Unauthorized` or `Forbidden` unless an admin sends this request or opens this websocket."""
    token = await _token(HTTPConnection(scope))
    await admins(await identify(token))
