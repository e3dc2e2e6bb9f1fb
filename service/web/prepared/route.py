"""One route, with everything that is known before a request: parameters, calls, and the response's serializer."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from inspect import iscoroutinefunction
from json import loads
from re import Match
from typing import Any

from fastapi import params
from fastapi.datastructures import DefaultPlaceholder
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, RouteContext, serialize_response
from fastapi.security import OAuth2PasswordBearer
from fastapi.utils import is_body_allowed_for_status_code
from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from service.injection import Injections, injections_of
from service.web.prepared.parameters import Parameter, TextParameter, Values, bearer_token, header_of, require

ERROR = "poolkeeper.error"
_REQUEST, _RESPONSE, _BODY, _FIRST_FREE = range(4)
_JSON = (b"content-type", b"application/json")


Call = tuple[Callable[..., Awaitable[Any]], Sequence[tuple[str, int]], Injections, int]
"""A function, the names and places of its arguments, its injections, and the place of its result."""


class Prepared:
    """A route that is answered without FastAPI. Its constructor raises `NotPrepared` for a route that needs FastAPI."""

    def __init__(self, route: RouteContext) -> None:
        require(type(route.original_route) is APIRoute)
        field = route.response_field
        require(
            isinstance(route.response_class, DefaultPlaceholder)
            and field is not None
            and route.max_body_size is None
            and is_body_allowed_for_status_code(route.status_code)
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
        adapter: Any = TypeAdapter(route.response_model)
        self._validated = partial(adapter.validator.validate_python, from_attributes=True)
        self._dumped = partial(adapter.serializer.to_json, **self._options)

        self._empty: Values = [None] * _FIRST_FREE
        self._path: list[TextParameter] = []
        self._query: list[TextParameter] = []
        self._headers: list[TextParameter] = []
        self._body: Parameter | None = None
        self._tokens: list[int] = []
        self._calls: list[Call] = []
        self._places: dict[Callable[..., Any], int] = {}
        self._add_body(route)
        self._add(route.dependant)
        needed = {at for _, needs, _, _ in self._calls for _, at in needs}
        self._takes_request = _REQUEST in needed
        self._gives_response = _RESPONSE in needed

    @property
    def takes_body(self) -> bool:
        """Whether `read_body` has to follow `read`."""
        return self._body is not None

    def _add_body(self, route: RouteContext) -> None:
        """Prepare the body, if the whole body is one model."""
        fields: Sequence[Parameter] = route.dependant.body_params
        if route.body_field is None:
            return
        kind = fields[0].field_info.annotation if fields else None
        require(
            len(fields) == 1
            and fields[0] is route.body_field  # otherwise FastAPI embeds the model under its name
            and type(fields[0].field_info) is params.Body
            and isinstance(kind, type)
            and issubclass(kind, BaseModel)
            and fields[0].field_info.is_required()
        )
        self._body = fields[0]

    def _add(self, dependant: Dependant, *, depth: int = 0) -> int:
        """Add the dependencies of a call, then the call, and return the place of its result. FastAPI also calls each once."""
        call: Any = dependant.call
        if call in self._places:
            return self._places[call]
        if type(call) is OAuth2PasswordBearer and not call.auto_error:
            place = self._places[call] = self._add_place(None)
            self._tokens.append(place)
            return place
        require(iscoroutinefunction(call) or iscoroutinefunction(type(call).__call__))
        require(not _unknown(dependant, is_endpoint=depth == 0))
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
        named = tuple((name, at) for name, at in needs if name is not None)
        function, injections = injections_of(call)
        self._calls.append((function, named, injections, place))
        return place

    def _add_text(self, field: Parameter, texts: list[TextParameter]) -> int:
        text = TextParameter(field, self._add_place(None))
        self._empty[text.place] = text.default
        texts.append(text)
        return text.place

    def _add_place(self, value: object) -> int:
        self._empty.append(value)
        return len(self._empty) - 1

    def read(self, scope: Scope, match: Match[str]) -> Values | None:
        """Return the values of a request's path, query and headers, or `None` if one is missing or wrong."""
        values = self._empty.copy()
        for text in self._path:
            if not text.read(match[text.name], values):
                return None
        if self._query:
            query = scope["query_string"]
            given = QueryParams(query).get if query else _nothing
            if not all(text.read(given(text.name), values) for text in self._query):
                return None
        if self._headers and not all(text.read(header_of(scope, text.raw_name), values) for text in self._headers):
            return None
        for place in self._tokens:
            values[place] = bearer_token(header_of(scope, b"authorization"))
        if self._body is not None and header_of(scope, b"content-type") != "application/json":
            return None  # FastAPI accepts other spellings of JSON
        return values

    def read_body(self, body: bytes, values: Values) -> Values | None:
        """Return the values with the body, or `None` if it is missing or wrong."""
        assert self._body is not None  # `takes_body`
        if not body:
            return None
        values[_BODY], errors = self._body.validate(loads(body))
        return None if errors else values

    async def answer(self, values: Values, scope: Scope, receive: Receive, send: Send, failed: ASGIApp) -> None:
        """Call the dependencies and the endpoint, and send the response.

        `failed` responds to their errors. It finds the error in the scope, under `ERROR`.
        """
        if self._takes_request:
            values[_REQUEST] = Request(scope, receive, send)
        if self._gives_response:
            values[_RESPONSE] = extra = Response()
            del extra.headers["content-length"]
            extra.status_code = None  # type: ignore[assignment]  # not set by the endpoint
        answer: ASGIApp
        try:
            for call, needs, injections, place in self._calls:
                arguments = {name: values[at] for name, at in needs}
                for name, provider in injections():
                    given = provider()
                    arguments[name] = await given if isinstance(given, Awaitable) else given
                values[place] = await call(**arguments)
            result = values[-1]
            if isinstance(result, Response):
                answer = result
            else:
                try:
                    body = self._dumped(self._validated(result))
                except ValidationError:
                    body = await self._described(result)
                answer = _merged(self._status, body, extra) if self._gives_response else _Json(self._status, body)
        except Exception as error:  # noqa: BLE001 - `failed` raises an error without a handler again
            scope[ERROR] = error
            answer = failed
        await answer(scope, receive, send)

    async def _described(self, result: Any) -> bytes:
        """Raise FastAPI's error for a result that does not fit the response model."""
        body: bytes = await serialize_response(
            field=self._field, response_content=result, dump_json=True, **self._options
        )
        return body


class _Json:
    """A JSON response, as Starlette's `Response` sends it."""

    __slots__ = ("_body", "_status")

    def __init__(self, status: int, body: bytes) -> None:
        self._status = status
        self._body = body

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        headers = [(b"content-length", b"%d" % len(self._body)), _JSON]
        await send({"type": "http.response.start", "status": self._status, "headers": headers})
        await send({"type": "http.response.body", "body": self._body})


def _unknown(dependant: Dependant, *, is_endpoint: bool) -> bool:
    """Return whether a call needs something that only FastAPI does."""
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


def _nothing(_: str) -> None:
    """Return the value of a parameter in an empty query."""


def _merged(status: int, body: bytes, extra: Response) -> Response:
    """Return a response with the status and headers that the endpoint has set on its `Response` parameter."""
    answer = Response(body, extra.status_code or status, media_type="application/json")
    if not is_body_allowed_for_status_code(answer.status_code):
        answer.body = b""
    answer.raw_headers.extend(extra.raw_headers)
    return answer
