"""From a request to its route."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from re import Match

from fastapi import FastAPI
from fastapi.routing import RouteContext, iter_route_contexts
from starlette._utils import get_route_path
from starlette.convertors import StringConvertor
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.routing import WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.web.prepared.parameters import NotPrepared, Values
from service.web.prepared.route import ERROR, Prepared

Beginning = tuple[int, str]
"""How many slashes a path has, and what is between the first two."""
Candidates = Sequence[tuple[Callable[[str], Match[str] | None], Prepared | None]]
"""What a path may match, in FastAPI's order, with `None` for the routes that FastAPI answers itself."""


class PreparedRoutes:
    """The innermost middleware: answers for the routes of `api` that could be prepared, and hands all else on to it.

    `admits`: whether a route may be prepared at all.

    It waits for nothing itself, and is no coroutine: of these, each that waits with a request costs as much as what it does.
    """

    def __init__(self, app: ASGIApp, api: FastAPI, admits: Callable[[RouteContext], bool] = lambda _: True) -> None:
        self._app = app
        self._api = api
        self._candidates = _candidates(api, admits)
        handlers = {kind: handler for kind, handler in api.exception_handlers.items() if kind not in (500, Exception)}
        self._failed = ExceptionMiddleware(_fail_again, handlers)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:  # noqa: D102 - ASGI
        found = self._find(scope) if scope["type"] == "http" else None
        if found is None:
            return self._app(scope, receive, send)
        route, match = found
        try:
            values = route.read(scope, match)
        except Exception:  # noqa: BLE001 - whatever it is, FastAPI meets it again
            values = None
        if values is None:
            return self._app(scope, receive, send)
        if route.takes_body:
            return self._answer_to_body(route, match, values, scope, _Again(receive), send)
        return self._answer(route, match, values, scope, receive, send)

    async def _answer_to_body(
        self, route: Prepared, match: Match[str], values: Values, scope: Scope, receive: "_Again", send: Send
    ) -> None:
        scope["route"] = route.original  # which may have limits of its own for a body
        try:
            read = route.read_body(await receive.body(), values)
        except Exception:  # noqa: BLE001 - as above
            read = None
        if read is None:
            await self._app(scope, receive, send)
        else:
            await self._answer(route, match, read, scope, receive, send)

    def _answer(
        self, route: Prepared, match: Match[str], values: Values, scope: Scope, receive: Receive, send: Send
    ) -> Awaitable[None]:
        scope["router"] = self._api.router
        scope["route"] = route.original
        scope["endpoint"] = route.endpoint
        scope["path_params"] = match.groupdict()
        return route.answer(values, scope, receive, send, self._failed)

    def _find(self, scope: Scope) -> "tuple[Prepared, Match[str]] | None":
        """The route of a request: the first that matches, as FastAPI has it, if it is a prepared one."""
        if self._api.dependency_overrides or "fastapi.telemetry" in scope:
            return None
        path = get_route_path(scope)
        for matches, route in self._candidates.get((scope["method"], *_beginning(path)), ()):
            if match := matches(path):
                return None if route is None else (route, match)
        return None


class _Again:
    """What a request sends, and from the beginning again after its body was read."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._seen: list[Message | Exception] = []

    async def body(self) -> bytes:
        """The whole body, or none where it breaks off. Raises what receiving raises."""
        parts = []
        while True:
            try:
                message = await self._receive()
            except Exception as error:
                self._seen.append(error)
                raise
            self._seen.append(message)
            if message["type"] != "http.request":
                return b""
            parts.append(message.get("body", b""))
            if not message.get("more_body", False):
                return b"".join(parts)

    async def __call__(self) -> Message:
        """As ASGI has it."""
        if not self._seen:
            return await self._receive()
        seen = self._seen.pop(0)
        if isinstance(seen, Exception):
            raise seen
        return seen


def _candidates(api: FastAPI, admits: Callable[[RouteContext], bool]) -> dict[tuple[str, int, str], Candidates]:
    """All routes that may match, by method and by the beginning of the path."""
    routes = [(route, _beginning_of(route), _prepared(route) if admits(route) else None) for route in _http_routes(api)]
    keys = {
        (method, beginning)
        for route, beginning, prepared in routes
        if prepared is not None and beginning is not None
        for method in route.methods or ()
    }
    return {
        (method, *key): [
            (route.path_regex.match, None if beginning is None else prepared)
            for route, beginning, prepared in routes
            if method in (route.methods or (method,)) and beginning in (None, key)
        ]
        for method, key in keys
    }


def _http_routes(api: FastAPI) -> Iterator[RouteContext]:
    for route in iter_route_contexts(api.routes):
        if isinstance(route.original_route, WebSocketRoute):
            continue
        if not hasattr(route, "path_regex"):  # what it matches is not known, nor then what comes to those after it
            return
        yield route


def _prepared(route: RouteContext) -> Prepared | None:
    try:
        return Prepared(route)
    except NotPrepared:
        return None


def _beginning_of(route: RouteContext) -> Beginning | None:
    """The beginning of the paths of a route, where they all have the same."""
    beginning = _beginning(route.path or "")
    # A string convertor, and whatever is made from it, takes one part of a path.
    plain = all(isinstance(convertor, StringConvertor) for convertor in route.param_convertors.values())
    return beginning if plain and "{" not in beginning[1] else None


def _beginning(path: str) -> Beginning:
    return path.count("/"), path[1:].partition("/")[0]


async def _fail_again(scope: Scope, _receive: Receive, _send: Send) -> None:
    """What a route was that failed: Starlette then finds who handles the error."""
    raise scope.pop(ERROR)
