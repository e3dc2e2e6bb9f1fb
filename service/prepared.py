"""What FastAPI does anew for each request, and what is the same each time, is done here once, at the start.

FastAPI searches its routers twice, walks through a route's dependencies, looks again at each parameter's type, and opens
three exit stacks: two thirds of the time of a small request (docs/performance.md). A prepared route is found, read and
answered from what was looked at before. It does what FastAPI does, to the byte. A route with anything that is not known
here, and every request with anything wrong in it, goes to FastAPI as though nobody had looked at it.

The switch is `http.prepared_routes`. tests/test_prepared_routes.py sends everything both ways, and compares.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from inspect import iscoroutinefunction
from json import loads
from re import Match
from types import NoneType
from typing import Any

from fastapi import FastAPI, params
from fastapi._compat import ModelField
from fastapi.datastructures import DefaultPlaceholder
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts, serialize_response
from fastapi.utils import is_body_allowed_for_status_code
from pydantic import BaseModel, ValidationError
from starlette._utils import get_route_path
from starlette.convertors import StringConvertor
from starlette.datastructures import QueryParams
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

Values = list[Any]
"""What a request's calls get and give, each at its place."""

_ERROR = "poolkeeper.error"
_REQUEST, _RESPONSE, _BODY, _FIRST_FREE = range(4)
_TEXTS = (int, float, bool, str, int | None, float | None, bool | None, str | None)
_CONSTANTS = (int, float, bool, str, NoneType)


class NotPrepared(Exception):
    """A route has something that only FastAPI knows how to do."""


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
        values = route.read(scope, match)
        if values is not None and route.takes_body:
            receive = _Again(receive)
            values = await route.read_body(receive, values)
        if values is None:
            await self._app(scope, receive, send)
            return
        scope["router"] = self._api.router
        scope["route"] = route.original
        scope["endpoint"] = route.endpoint
        scope["path_params"] = match.groupdict()
        try:
            answer = await route.answer(Request(scope, receive, send), values)
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


class Prepared:
    """A route with all that can be known of it before a request comes. Raises `NotPrepared`."""

    def __init__(self, route: RouteContext) -> None:
        _require(type(route.original_route) is APIRoute)
        field = route.response_field
        _require(
            isinstance(route.response_class, DefaultPlaceholder)
            and field is not None
            and route.max_body_size is None
            and not (route.is_sse_stream or route.is_json_stream)
        )
        self.original = route.original_route
        self.endpoint = route.endpoint
        self._status = route.status_code or 200
        self._options = {
            option: getattr(route, f"response_model_{option}")
            for option in ("include", "exclude", "by_alias", "exclude_unset", "exclude_defaults", "exclude_none")
        }
        self._field = field
        self._validated = partial(field._type_adapter.validator.validate_python, from_attributes=True)  # noqa: SLF001
        self._dumped = partial(field._type_adapter.serializer.to_json, **self._options)  # noqa: SLF001

        self._empty: Values = [None] * _FIRST_FREE
        self._path: list[_Text] = []
        self._query: list[_Text] = []
        self._headers: list[_Text] = []
        self._body: ModelField | None = None
        self._calls: list[tuple[Callable[..., Awaitable[Any]], tuple[tuple[str, int], ...], int]] = []
        self._places: dict[Callable[..., Any], int] = {}
        self._add_body(route)
        self._add(route.dependant)
        self._gives_response = any(at == _RESPONSE for _, needs, _ in self._calls for _, at in needs)

    @property
    def takes_body(self) -> bool:
        """Whether `read_body` is to follow `read`."""
        return self._body is not None

    def _add_body(self, route: RouteContext) -> None:
        """A body is prepared if it is one model, and all of it."""
        fields: list[ModelField] = route.dependant.body_params
        if route.body_field is None:
            return
        kind = fields[0].field_info.annotation if fields else None
        _require(
            len(fields) == 1
            and fields[0] is route.body_field  # else FastAPI has made one that has the model below its name
            and type(fields[0].field_info) is params.Body
            and isinstance(kind, type)
            and issubclass(kind, BaseModel)
            and fields[0].field_info.is_required()
        )
        self._body = fields[0]

    def _add(self, dependant: Dependant, *, depth: int = 0) -> int:
        """Add what a call needs, and then the call. Gives the place of what it gives. FastAPI, too, calls each but once."""
        call = dependant.call
        if call in self._places:
            return self._places[call]
        _require(
            iscoroutinefunction(call) or iscoroutinefunction(getattr(type(call), "__call__", None))  # noqa: B004
        )
        _require(not _unknown(dependant, is_endpoint=depth == 0))
        needs = [(below.name, self._add(below, depth=depth + 1)) for below in dependant.dependencies]
        for fields, texts in (
            (dependant.path_params, self._path),
            (dependant.query_params, self._query),
            (dependant.header_params, self._headers),
        ):
            needs += [(field.name, self._add_text(field, texts)) for field in fields]
        needs += [(field.name, _BODY) for field in dependant.body_params]
        needs += [(dependant.request_param_name, _REQUEST), (dependant.http_connection_param_name, _REQUEST)]
        needs += [(dependant.response_param_name, _RESPONSE)]
        place = self._places[call] = self._add_place(None)
        self._calls.append((call, tuple((name, at) for name, at in needs if name is not None), place))
        return place

    def _add_text(self, field: ModelField, texts: "list[_Text]") -> int:
        text = _Text(field, self._add_place(None))
        self._empty[text.place] = text.default
        texts.append(text)
        return text.place

    def _add_place(self, value: object) -> int:
        self._empty.append(value)
        return len(self._empty) - 1

    def read(self, scope: Scope, match: Match[str]) -> Values | None:
        """The values in a request's path, query and headers, or `None` where one of them is missing or wrong."""
        values = self._empty.copy()
        for text in self._path:
            if not text.read(match[text.name], values):
                return None
        if self._query:
            query = scope["query_string"]
            given = QueryParams(query).get if query else _nothing
            if not all(text.read(given(text.name), values) for text in self._query):
                return None
        if self._headers and not all(text.read(_header(scope, text.raw_name), values) for text in self._headers):
            return None
        if self._body is not None and _header(scope, b"content-type") != "application/json":
            return None  # there are other ways to say JSON
        return values

    async def read_body(self, receive: "_Again", values: Values) -> Values | None:
        """The values with the body's, or `None` where that is missing or wrong."""
        assert self._body is not None  # `takes_body`
        try:
            body = await receive.body()
            values[_BODY], errors = self._body.validate(loads(body), {}) if body else (None, True)
        except Exception:  # noqa: BLE001 - whatever it is, FastAPI meets it again
            return None
        return None if errors else values

    async def answer(self, request: Request, values: Values) -> Response:
        """Call what the route depends on, and then its endpoint. Raises what these raise."""
        values[_REQUEST] = request
        extra = None
        if self._gives_response:
            values[_RESPONSE] = extra = Response()
            del extra.headers["content-length"]
            extra.status_code = None  # type: ignore[assignment] - nobody has set it, as in FastAPI
        for call, needs, place in self._calls:
            values[place] = await call(**{name: values[at] for name, at in needs})
        result = values[-1]
        if isinstance(result, Response):
            return result
        answer = Response(await self._json(result), self._status, media_type="application/json")
        return answer if extra is None else _merged(answer, extra)

    async def _json(self, result: Any) -> bytes:
        try:
            return self._dumped(self._validated(result))
        except ValidationError:  # a mistake of the endpoint's, which FastAPI puts into its own words
            return await serialize_response(
                field=self._field, response_content=result, dump_json=True, **self._options
            )


class _Text:
    """A parameter that is one text of the request."""

    __slots__ = ("_required", "_validate", "default", "name", "place", "raw_name")

    def __init__(self, field: ModelField, place: int) -> None:
        info = field.field_info
        _require(
            info.annotation in _TEXTS
            and not field.config
            and info.default_factory is None
            and not info.validate_default
            and isinstance(info.validation_alias, str | None)
            and (info.is_required() or type(info.default) in _CONSTANTS)
        )
        self.place = place
        self.name = field.validation_alias or field.alias
        self.raw_name = self.name.lower().encode("latin-1")
        self.default = None if info.is_required() else info.default
        self._required = info.is_required()
        self._validate = field.validate

    def read(self, text: str | None, values: Values) -> bool:
        """Put it to the values of a request, if the request has it. Whether all is well."""
        if text is None:
            return not self._required
        values[self.place], errors = self._validate(text)
        return not errors


class _Again:
    """What a request sends, and from the beginning again after its body was read."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._seen: list[Message | Exception] = []

    async def body(self) -> bytes | None:
        """The whole body, or `None` where it breaks off."""
        parts = []
        while True:
            try:
                message = await self._receive()
            except Exception as error:
                self._seen.append(error)
                raise
            self._seen.append(message)
            if message["type"] != "http.request":
                return None
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


def _candidates(
    api: FastAPI,
) -> dict[tuple[str, int, str], Sequence[tuple[Callable[[str], Match[str] | None], Prepared | None]]]:
    """By method and beginning of the path, all routes that may match there, in FastAPI's order; `None` for its own."""
    routes = []
    for route in iter_route_contexts(api.routes):
        if isinstance(route.original_route, WebSocketRoute):
            continue
        if not hasattr(route, "path_regex"):  # it decides by something else than the path: who knows what comes after it
            break
        plain = all(type(convertor) is StringConvertor for convertor in route.param_convertors.values())
        beginning = _beginning(route.path) if plain and "{" not in _beginning(route.path)[1] else None
        routes.append((route, beginning, _prepared(route) if beginning is not None else None))
    keys = {
        (method, *beginning) for route, beginning, prepared in routes if prepared is not None for method in route.methods
    }
    return {
        (method, *key): [
            (route.path_regex.match, prepared)
            for route, beginning, prepared in routes
            if (not route.methods or method in route.methods) and beginning in (None, tuple(key))
        ]
        for method, *key in keys
    }


def _prepared(route: RouteContext) -> Prepared | None:
    try:
        return Prepared(route)
    except NotPrepared:
        return None


def _beginning(path: str) -> tuple[int, str]:
    """How many slashes a path has, and what is between the first two."""
    return path.count("/"), path[1:].partition("/")[0]


def _unknown(dependant: Dependant, *, is_endpoint: bool) -> bool:
    """Whether FastAPI has to do something for a call that is not known here."""
    return bool(
        dependant.cookie_params
        or dependant.websocket_param_name
        or dependant.background_tasks_param_name
        or dependant.security_scopes_param_name
        or dependant.own_oauth_scopes
        or dependant.parent_oauth_scopes
        or dependant.concurrency
        or not dependant.use_cache
        or (not is_endpoint and (dependant.scope or dependant.body_params))
    )


def _require(known: object) -> None:
    if not known:
        raise NotPrepared


def _nothing(_: str) -> None:
    """What an empty query has."""


def _header(scope: Scope, name: bytes) -> str | None:
    """The first header of a name, as Starlette gives it."""
    for key, value in scope["headers"]:
        if key == name:
            return str(value, "latin-1")
    return None


def _merged(answer: Response, extra: Response) -> Response:
    """An answer with the status and the headers that the endpoint has set on its parameter."""
    if extra.status_code:
        answer = Response(answer.body, extra.status_code, media_type="application/json")
        if not is_body_allowed_for_status_code(extra.status_code):
            answer.body = b""
    answer.raw_headers.extend(extra.raw_headers)
    return answer


async def _fail_again(scope: Scope, _receive: Receive, _send: Send) -> None:
    """What a route was that failed: Starlette then finds who handles the error."""
    raise scope.pop(_ERROR)
