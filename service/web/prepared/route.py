"""One route, and what is known of it before a request comes."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from inspect import iscoroutinefunction
from json import loads
from re import Match
from types import NoneType
from typing import Any, Protocol

from fastapi import params
from fastapi.datastructures import DefaultPlaceholder
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, RouteContext, serialize_response
from fastapi.security import OAuth2PasswordBearer
from fastapi.security.utils import get_authorization_scheme_param
from fastapi.utils import is_body_allowed_for_status_code
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from service.injection import Injections, injections_of

ERROR = "poolkeeper.error"
Values = list[Any]
"""What a request's calls get and give, each at its place."""

_REQUEST, _RESPONSE, _BODY, _FIRST_FREE = range(4)
_JSON = (b"content-type", b"application/json")
_TEXTS = (int, float, bool, str, int | None, float | None, bool | None, str | None)
_CONSTANTS = (int, float, bool, str, NoneType)


Call = tuple[Callable[..., Awaitable[Any]], Sequence[tuple[str, int]], Injections, int]
"""What is called, the names and places of its arguments, what is injected beside them, and the place for what it gives."""


class Parameter(Protocol):
    """FastAPI's record of a parameter or a body. Its class `ModelField` is private."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def alias(self) -> str: ...  # noqa: D102
    @property
    def validation_alias(self) -> str | None: ...  # noqa: D102
    @property
    def field_info(self) -> FieldInfo: ...  # noqa: D102
    @property
    def config(self) -> Any: ...  # noqa: D102
    def validate(self, value: Any, /) -> tuple[Any, Sequence[Any]]: ...  # noqa: D102


class NotPrepared(Exception):
    """A route has something that only FastAPI knows how to do."""


class Prepared:
    """A route with all that can be known of it before a request comes. Raises `NotPrepared`."""

    def __init__(self, route: RouteContext) -> None:
        _require(type(route.original_route) is APIRoute)
        field = route.response_field
        _require(
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
        self._path: list[_Text] = []
        self._query: list[_Text] = []
        self._headers: list[_Text] = []
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
        """Whether `read_body` is to follow `read`."""
        return self._body is not None

    def _add_body(self, route: RouteContext) -> None:
        """A body is prepared if it is one model, and all of it."""
        fields: Sequence[Parameter] = route.dependant.body_params
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
        call: Any = dependant.call
        if call in self._places:
            return self._places[call]
        if type(call) is OAuth2PasswordBearer and not call.auto_error:
            place = self._places[call] = self._add_place(None)
            self._tokens.append(place)
            return place
        _require(iscoroutinefunction(call) or iscoroutinefunction(type(call).__call__))
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
        named = tuple((name, at) for name, at in needs if name is not None)
        function, injections = injections_of(call)
        self._calls.append((function, named, injections, place))
        return place

    def _add_text(self, field: Parameter, texts: "list[_Text]") -> int:
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
        for place in self._tokens:
            values[place] = _bearer(_header(scope, b"authorization"))
        if self._body is not None and _header(scope, b"content-type") != "application/json":
            return None  # there are other ways to say JSON
        return values

    def read_body(self, body: bytes, values: Values) -> Values | None:
        """The values with the body's, or `None` where that is missing or wrong."""
        assert self._body is not None  # `takes_body`
        if not body:
            return None
        values[_BODY], errors = self._body.validate(loads(body))
        return None if errors else values

    async def answer(self, values: Values, scope: Scope, receive: Receive, send: Send, failed: ASGIApp) -> None:
        """Call what the route depends on, and then its endpoint, and send the answer.

        `failed` answers what these raise. It finds that under `ERROR` in the scope.
        """
        if self._takes_request:
            values[_REQUEST] = Request(scope, receive, send)
        if self._gives_response:
            values[_RESPONSE] = extra = Response()
            del extra.headers["content-length"]
            extra.status_code = None  # type: ignore[assignment]  # nobody has set it
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
        except Exception as error:  # noqa: BLE001 - an error that nobody handles is raised again there
            scope[ERROR] = error
            answer = failed
        await answer(scope, receive, send)

    async def _described(self, result: Any) -> bytes:
        """What does not validate is a mistake of the endpoint's, which FastAPI puts into its own words."""
        body: bytes = await serialize_response(
            field=self._field, response_content=result, dump_json=True, **self._options
        )
        return body


class _Json:
    """An answer in JSON, as Starlette's `Response` sends it."""

    __slots__ = ("_body", "_status")

    def __init__(self, status: int, body: bytes) -> None:
        self._status = status
        self._body = body

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        headers = [(b"content-length", b"%d" % len(self._body)), _JSON]
        await send({"type": "http.response.start", "status": self._status, "headers": headers})
        await send({"type": "http.response.body", "body": self._body})


class _Text:
    """A parameter that is one text of the request."""

    __slots__ = ("_required", "_validate", "default", "name", "place", "raw_name")

    def __init__(self, field: Parameter, place: int) -> None:
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


def _bearer(authorization: str | None) -> str | None:
    """The token of a header, as FastAPI's `OAuth2PasswordBearer` gives it."""
    scheme, token = get_authorization_scheme_param(authorization)
    return token if scheme.lower() == "bearer" else None


def _merged(status: int, body: bytes, extra: Response) -> Response:
    """An answer with the status and the headers that the endpoint has set on its parameter."""
    answer = Response(body, extra.status_code or status, media_type="application/json")
    if not is_body_allowed_for_status_code(answer.status_code):
        answer.body = b""
    answer.raw_headers.extend(extra.raw_headers)
    return answer
