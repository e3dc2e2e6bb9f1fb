"""Errors over HTTP: RFC 9457 problem details, and where each kind of error gets its status."""

import json
import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import quote

import asyncpg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import BaseRoute, Match
from starlette.types import Scope

from service.database import CommitOutcomeUnknown, DatabaseUnavailable, PoolNotOpen, PoolTimeout, SchemaChanged
from service.errors import (
    BadRequest,
    Conflict,
    Forbidden,
    NotFound,
    PreconditionFailed,
    ServiceError,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    Unprocessable,
)
from service.web.input import message_of
from service.web.request_id import id_of, name_of

logger = logging.getLogger("service")

RETRY_AFTER = "1"
"""Seconds after which a client that was told 503 may try again."""

STATUS_OF: Mapping[type[Exception], int] = {
    BadRequest: 400,
    ClientDisconnect: 400,
    Unauthorized: 401,
    Forbidden: 403,
    PreconditionFailed: 412,
    NotFound: 404,
    Conflict: 409,
    Unprocessable: 422,
    TooManyRequests: 429,
    Unavailable: 503,
    DatabaseUnavailable: 503,
    PoolTimeout: 503,
    PoolNotOpen: 503,
    SchemaChanged: 503,
    CommitOutcomeUnknown: 503,
    asyncpg.SerializationError: 503,
    asyncpg.DeadlockDetectedError: 503,
    asyncpg.LockNotAvailableError: 503,
    asyncpg.QueryCanceledError: 503,
    asyncpg.InsufficientResourcesError: 503,
}
"""The status of an error and of all that derive from it."""

DETAIL_OF: Mapping[type[Exception], str] = {
    ClientDisconnect: "The body stopped",
    DatabaseUnavailable: "The database cannot be reached at the moment",
    PoolTimeout: "The service is busy: no database connection became free in time",
    PoolNotOpen: "The service is starting or stopping",
    SchemaChanged: "The database was changed in the meantime",
    CommitOutcomeUnknown: "The database was lost while it saved: the change may have been made or not",
    asyncpg.SerializationError: "The change collided with another one",
    asyncpg.DeadlockDetectedError: "The change collided with another one",
    asyncpg.LockNotAvailableError: "The change collided with another one",
    asyncpg.QueryCanceledError: "The database took too long",
    asyncpg.InsufficientResourcesError: "The database is short of resources",
}
"""What the caller is told where the error's own text is for the log."""


EXAMPLE_ID = "9f86d081884c7d659a2feaa0c55ad015"
INTERNAL_ERROR = "The service failed, and the failure is in its log"
NOT_JSON = "body: must be JSON, sent as application/json"

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_MOST_FIELDS = 50
_LONGEST = 300


class CountedMistakes(RequestValidationError):
    """Mistakes of which whoever found them keeps the number in bounds: all of them are named."""


class FieldProblem(BaseModel):
    """What is wrong with one part of the request."""

    field: Annotated[str, Field(examples=["body.email"])]
    message: Annotated[str, Field(examples=["value is not a valid email address"])]


class Problem(BaseModel):
    """RFC 9457: an error, for programs and for people."""

    type: Annotated[str, Field(examples=["about:blank"])] = "about:blank"
    title: Annotated[str, Field(examples=["Not Found"])]
    status: Annotated[int, Field(examples=[404])]
    detail: Annotated[str, Field(examples=["User not found"])]
    instance: Annotated[str, Field(examples=["/users/1"])]
    request_id: Annotated[str, Field(description="Also in `X-Request-ID`, and in the log", examples=[EXAMPLE_ID])]
    errors: list[FieldProblem] | None = None


class ProblemResponse(JSONResponse):
    """A problem in its own media type."""

    media_type = "application/problem+json"

    def render(self, content: Any) -> bytes:
        """JSON; where the client sent half of a surrogate pair, with a question mark for it."""
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


_RENAMED = {
    "Request Entity Too Large": "Content Too Large",
    "Request-URI Too Long": "URI Too Long",
    "Requested Range Not Satisfiable": "Range Not Satisfiable",
    "Unprocessable Entity": "Unprocessable Content",
}
"""Reason phrases as Python has them up to 3.12, and as RFC 9110 and later versions do."""


def phrase(status: int) -> str:
    """RFC 9110's reason phrase of a status, the same on every Python; for a status without one, its class."""
    try:
        text = HTTPStatus(status).phrase
    except ValueError:  # a status of the program's own, such as 499
        text = HTTPStatus(status // 100 * 100).phrase
    return _RENAMED.get(text, text)


def install_problems(app: FastAPI) -> None:
    """Make every error of the application a problem. An error that is none of these passes on, to `RequestScope`."""

    async def answer(request: Request, error: Exception) -> ProblemResponse:
        problem = problem_of(request.scope, error)
        _forget_frames(error)
        return problem

    for kind in (HTTPException, RequestValidationError, ServiceError, *STATUS_OF):
        app.add_exception_handler(kind, answer)


def _forget_frames(error: BaseException | None) -> None:
    """Let go of the frames that an error came through, and with them of the request.

    FastAPI has some errors in a variable of the very frame that raises them: a circle, which only the garbage collector would
    find, long after it has reached a process's older memory.
    """
    while error is not None and error.__traceback__ is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


def problem_of(scope: Scope, error: Exception) -> ProblemResponse:
    """The answer to an error. One that nobody expected is a 500, and goes into the log under the request's id."""
    if isinstance(error, HTTPException):
        headers = _allow(scope, error) if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED else error.headers
        detail = _RENAMED.get(error.detail, error.detail)  # Starlette's default is the interpreter's phrase
        return _answer(scope, error.status_code, detail, headers=headers)
    if isinstance(error, RequestValidationError):
        return _invalid(scope, error)
    status = next((code for kind, code in STATUS_OF.items() if isinstance(error, kind)), None)
    if status is None:
        logger.error("%s failed", name_of(scope), exc_info=error)
        return _answer(scope, 500, INTERNAL_ERROR)
    detail = next((text for kind, text in DETAIL_OF.items() if isinstance(error, kind)), str(error))
    return _answer(scope, status, detail, headers=_headers(error))


def _allow(scope: Scope, error: HTTPException) -> Mapping[str, str]:
    """The methods that the routes of a path declare: the router's own `Allow` has those of the first route alone.

    Below a mount no route is known: what is mounted may have said its methods, and files have these two.
    """
    asked = {"type": "http", "path": scope["path"], "root_path": scope.get("root_path", ""), "headers": []}
    routes: list[BaseRoute] = scope["app"].routes
    found = {m for m in _METHODS if any(route.matches({**asked, "method": m})[0] == Match.FULL for route in routes)}
    if not found:
        return {"Allow": "GET, HEAD", **(error.headers or {})}
    return {"Allow": ", ".join(method for method in _METHODS if method in found)}


def _invalid(scope: Scope, error: RequestValidationError) -> ProblemResponse:
    mistakes = error.errors()
    if isinstance(error.body, bytes) and any(mistake["loc"][0] == "body" for mistake in mistakes):  # nobody parsed it
        return _answer(scope, 415, NOT_JSON, headers={"Accept": "application/json"})
    fields = [
        {"field": _short(_field(mistake["loc"])), "message": _short(message_of(mistake))}
        for mistake in (mistakes if isinstance(error, CountedMistakes) else mistakes[:_MOST_FIELDS])
    ]
    detail = "; ".join(f"{field['field']}: {field['message']}" for field in fields)
    if more := len(mistakes) - len(fields):
        detail += f"; and {more} more"
    return _answer(scope, 422, detail, errors=fields)


def _field(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location)


def _short(text: str) -> str:
    """Names and messages can be as long as what the client sent."""
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _headers(error: Exception) -> dict[str, str]:
    """What an error says in its answer's headers."""
    if isinstance(error, Unauthorized):
        return {"WWW-Authenticate": "Bearer"}
    if isinstance(error, TooManyRequests):
        return {"Retry-After": str(error.retry_after)}
    return {}


def _answer(
    scope: Scope,
    status: int,
    detail: str,
    *,
    errors: list[dict[str, str]] | None = None,
    headers: Mapping[str, str] | None = None,
) -> ProblemResponse:
    instance = quote(scope["path"], safe="/:@!$&'()*+,;=~", errors="replace")
    content = problem_content(status, detail, instance, id_of(scope), errors)
    every = dict(headers or {})
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        every.setdefault("Retry-After", RETRY_AFTER)
    return ProblemResponse(content, status, every)


def problem_content(
    status: int, detail: str, instance: str, request_id: str, errors: list[dict[str, str]] | None = None
) -> dict[str, Any]:
    """Return the members of a problem."""
    problem: dict[str, Any] = {
        "type": "about:blank",
        "title": phrase(status),
        "status": status,
        "detail": detail,
        "instance": instance,
        "request_id": request_id,
    }
    if errors is not None:
        problem["errors"] = errors
    return problem
