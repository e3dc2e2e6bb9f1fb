"""The last step before FastAPI's router."""

import logging
from collections.abc import Awaitable, Callable, Collection
from typing import Any

from fastapi.routing import APIRouter, _IncludedRouter
from starlette.routing import BaseRoute, Match
from starlette.types import Message, Receive, Scope, Send

from service.web.routes import calls_of, refuse_markers

logger = logging.getLogger("service")


class Dispatch:
    """Lets only admins through to a route that does not say who may call it, however and whenever it was added.

    It asks the routes themselves which of them FastAPI will choose. Prepared routes, which all say who may call them, do
    not come this way.

    HEAD is answered as GET is, without the body, where a route does not have a HEAD of its own.
    """

    def __init__(
        self,
        router: APIRouter,
        says_who_may_call: Callable[[object], bool],
        require_admin: Callable[[Scope], Awaitable[None]],
    ) -> None:
        self._router = router
        self._says_who_may_call = says_who_may_call
        self._require_admin = require_admin
        self._own = {id(route): route for route in router.routes}
        """FastAPI's own, the OpenAPI document: everybody may read it."""
        self._decided: dict[int, tuple[object, bool]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102 - ASGI
        if scope["type"] == "lifespan":
            await self._router.app(scope, receive, send)
            return
        route = _chosen(self._router, scope)
        head: _Head | None = None
        if scope["type"] == "http" and scope["method"] == "HEAD":
            send = head = _Head(send)
            if "HEAD" not in _methods(route):
                scope = {**scope, "method": "GET"}  # the server keeps its own, and with it what it was asked
                route = _chosen(self._router, scope)
        if not self._is_decided(route):
            await self._require_admin(scope)
        try:
            await self._router.app(scope, receive, send)
        except HeadAnswered:
            if head is None:
                raise

    def _is_decided(self, route: object) -> bool:
        """Whether a route says who may call it. Raises `NotWired` for one that would get a marker."""
        if route is None or id(route) in self._own:
            return True
        if id(route) not in self._decided:  # each is kept with its id, which no other can have then
            self._decided[id(route)] = (route, self._decide(route))
        return self._decided[id(route)][1]

    def _decide(self, route: Any) -> bool:
        for call in calls_of(route.dependant) if hasattr(route, "dependant") else ():
            refuse_markers(call)
        decided = self._says_who_may_call(route)
        if not decided:
            logger.warning(
                "%s: nothing says who may call: take `caller: SignedIn`, or `dependencies=[PUBLIC]`, or mount "
                "`Public(application)`. Until then, admins only",
                getattr(route, "path", route),
            )
        return decided


class HeadAnswered(Exception):
    """Ends an answer to GET that would go on: its head is sent, and nobody takes its body."""


class _Head:
    """Sends the head of an answer, and ends it where its body begins."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._ended = False

    async def __call__(self, message: Message) -> None:
        """As ASGI has it. Raises `HeadAnswered` where more of the body would follow."""
        if message["type"] == "http.response.start":
            await self._send(message)
            return
        if not self._ended:
            self._ended = True
            await self._send({"type": "http.response.body", "body": b""})
        if message.get("more_body", False):
            raise HeadAnswered


def _methods(route: Any) -> Collection[str]:
    return getattr(route, "methods", None) or ()


def _chosen(router: APIRouter, scope: Scope) -> object:
    """What the router hands a request to, or `None` where it answers itself: with 404, or with a redirect."""
    partial = None
    for route in router.routes:
        match, found = _match(route, scope)
        if match == Match.FULL:
            return found
        if match == Match.PARTIAL and partial is None:
            partial = found
    if partial is not None:
        return partial
    match, _, page, context = router._match_low_priority(scope)  # noqa: SLF001 - what `app.frontend()` adds
    if match != Match.NONE:
        return context or page
    return None if router.default == router.not_found else router.default


def _match(route: BaseRoute, scope: Scope) -> tuple[Match, object]:
    """How far a route matches, and itself, or the one below it of a router that is included."""
    if not isinstance(route, _IncludedRouter):
        return route.matches(scope)[0], route
    match, _, below, context = route._match(scope)  # noqa: SLF001 - FastAPI's `matches` of it, which does not say which
    if context is not None:
        return match, context.starlette_route or context
    return _match(below, scope) if below is not None else (match, None)
