"""From a request to its route."""

from collections.abc import Callable, Iterator, Sequence
from re import Match

from fastapi import FastAPI
from fastapi.routing import RouteContext, iter_route_contexts
from starlette._utils import get_route_path
from starlette.convertors import StringConvertor
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.routing import WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.prepared.route import NotPrepared, Prepared

Beginning = tuple[int, str]
"""How many slashes a path has, and what is between the first two."""
Candidates = Sequence[tuple[Callable[[str], Match[str] | None], Prepared | None]]
"""What a path may match, in FastAPI's order, with `None` for the routes that FastAPI answers itself."""

_ERROR = "poolkeeper.error"


class PreparedRoutes:
    """The innermost middleware: answers for the routes of `api` that could be prepared, and hands all else on to it."""

    def __init__(self, app: ASGIApp, api: FastAPI) -> None:
        self._app = app
        self._api = api
        self._candidates = _candidates(api)
        handlers = {kind: handler for kind, handler in api.exception_handlers.items() if kind not in (500, Exception)}
        self._failed = ExceptionMiddleware(_fail_again, handlers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102 - ASGI
        found = self._find(scope) if scope["type"] == "http" else None
        if found is None:
            await self._app(scope, receive, send)
            return
        route, match = found
        try:
            values = route.read(scope, match)
            if values is not None and route.takes_body:
                receive = again = _Again(receive)
                values = route.read_body(await again.body(), values)
        except Exception:  # noqa: BLE001 - whatever it is, FastAPI meets it again
            values = None
        if values is None:
            await self._app(scope, receive, send)
            return
        scope["router"] = self._api.router
        scope["route"] = route.original
        scope["endpoint"] = route.endpoint
        scope["path_params"] = match.groupdict()
        try:
            answer: ASGIApp = await route.answer(Request(scope, receive, send), values)
        except Exception as error:  # noqa: BLE001 - an error that nobody handles is raised again there
            scope[_ERROR] = error
            answer = self._failed
        await answer(scope, receive, send)

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


def _candidates(api: FastAPI) -> dict[tuple[str, int, str], Candidates]:
    """All routes that may match, by method and by the beginning of the path."""
    routes = [(route, _beginning_of(route), _prepared(route)) for route in _http_routes(api)]
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
    raise scope.pop(_ERROR)
