"""Errors over HTTP: RFC 9457 problem details, and where each kind of error gets its status."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any

import asyncpg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.types import Scope

from service.database import CommitOutcomeUnknown, DatabaseUnavailable, PoolNotOpen, PoolTimeout
from service.errors import (
    BadRequest,
    Forbidden,
    NotFound,
    ServiceError,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    Unprocessable,
)

RETRY_AFTER = "1"
"""Seconds after which a client that was told 503 may try again."""

STATUS_OF: Mapping[type[Exception], int] = {
    BadRequest: 400,
    Unauthorized: 401,
    Forbidden: 403,
    NotFound: 404,
    Unprocessable: 422,
    TooManyRequests: 429,
    Unavailable: 503,
    DatabaseUnavailable: 503,
    PoolTimeout: 503,
    PoolNotOpen: 503,
    CommitOutcomeUnknown: 503,
    asyncpg.SerializationError: 503,
    asyncpg.DeadlockDetectedError: 503,
    asyncpg.LockNotAvailableError: 503,
    asyncpg.QueryCanceledError: 503,
    asyncpg.InsufficientResourcesError: 503,
}
"""The status of an error and of all that derive from it."""

DETAIL_OF: Mapping[type[Exception], str] = {
    DatabaseUnavailable: "The database cannot be reached at the moment",
    PoolTimeout: "The service is busy: no database connection became free in time",
    PoolNotOpen: "The service is starting or stopping",
    CommitOutcomeUnknown: "The database was lost while it saved: the change may have been made or not",
    asyncpg.SerializationError: "The change collided with another one",
    asyncpg.DeadlockDetectedError: "The change collided with another one",
    asyncpg.LockNotAvailableError: "The change collided with another one",
    asyncpg.QueryCanceledError: "The database took too long",
    asyncpg.InsufficientResourcesError: "The database is short of resources",
}
"""What the caller is told where the error's own text is for the log."""


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
    errors: list[FieldProblem] | None = None


class ProblemResponse(JSONResponse):
    """A problem in its own media type."""

    media_type = "application/problem+json"


_EXAMPLES = {
    400: "Email already registered",
    401: Unauthorized.message,
    403: Forbidden.message,
    404: "User not found",
    408: "body: did not arrive within 30 seconds",
    413: "body: larger than the 1048576 bytes allowed",
    415: "body: must be JSON, sent as application/json",
    422: "query.limit: Input should be less than or equal to 500",
    429: TooManyRequests.message,
    500: "The service failed, and the failure is in its log",
    503: "The service is busy: no database connection became free in time",
}

_RETRY = {"Retry-After": {"description": "Seconds until the next try", "schema": {"type": "integer"}}}
_HEADERS = {
    401: {"WWW-Authenticate": {"description": "How to sign in", "schema": {"type": "string"}, "example": "Bearer"}},
    429: _RETRY,
    503: _RETRY,
}
"""The headers that answers of a status have in OpenAPI."""


def answers(*statuses: int, validates: bool = True) -> dict[int | str, dict[str, Any]]:
    """The problems that an endpoint can answer with, for OpenAPI; 422, 500 and 503 are always among them.

    `validates`: whether the endpoint has input that can be wrong.
    """
    always = {500, 503, *([422] if validates else [])}
    return {status: _documented(status) for status in sorted(always.union(statuses))}


def _documented(status: int) -> dict[str, Any]:
    problem = _problem(status, _EXAMPLES[status], "/users/1" if status == HTTPStatus.NOT_FOUND else "/users/")
    documented: dict[str, Any] = {
        "description": HTTPStatus(status).phrase,
        "content": {
            ProblemResponse.media_type: {"schema": {"$ref": "#/components/schemas/Problem"}, "example": problem}
        },
    }
    if status in _HEADERS:
        documented["headers"] = _HEADERS[status]
    return documented


def install_problems(app: FastAPI) -> None:
    """Make every error of the application a problem."""

    async def http_error(request: Request, error: HTTPException) -> ProblemResponse:
        return _answer(request, error.status_code, error.detail, headers=error.headers)

    async def invalid(request: Request, error: RequestValidationError) -> ProblemResponse:
        fields = [
            {"field": _field(mistake["loc"]), "message": mistake["msg"].removeprefix("Value error, ")}
            for mistake in error.errors()
        ]
        detail = "; ".join(f"{field['field']}: {field['message']}" for field in fields)
        return _answer(request, 422, detail, errors=fields)

    async def known(request: Request, error: Exception) -> ProblemResponse:
        status = next(code for kind, code in STATUS_OF.items() if isinstance(error, kind))
        detail = next((text for kind, text in DETAIL_OF.items() if isinstance(error, kind)), str(error))
        return _answer(request, status, detail, headers=_headers(error))

    async def unknown(request: Request, _: Exception) -> ProblemResponse:
        return _answer(request, 500, _EXAMPLES[500])

    app.add_exception_handler(HTTPException, http_error)  # type: ignore[arg-type]
    app.add_exception_handler(RequestValidationError, invalid)  # type: ignore[arg-type]
    for kind in STATUS_OF:
        app.add_exception_handler(kind, known)
    app.add_exception_handler(ServiceError, known)
    app.add_exception_handler(Exception, unknown)


def _headers(error: Exception) -> dict[str, str]:
    """What an error says in its answer's headers."""
    if isinstance(error, Unauthorized):
        return {"WWW-Authenticate": "Bearer"}
    if isinstance(error, TooManyRequests):
        return {"Retry-After": str(error.retry_after)}
    return {}


def problem_response(scope: Scope, status: int, detail: str) -> ProblemResponse:
    """A problem as the answer of a middleware, outside the application's own handlers."""
    return ProblemResponse(_problem(status, detail, scope["path"]), status)


def _field(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location)


def _answer(
    request: Request,
    status: int,
    detail: str,
    *,
    errors: list[dict[str, str]] | None = None,
    headers: Mapping[str, str] | None = None,
) -> ProblemResponse:
    content = _problem(status, detail, request.url.path, errors)
    every = dict(headers or {})
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        every.setdefault("Retry-After", RETRY_AFTER)
    return ProblemResponse(content, status, every)


def _problem(status: int, detail: str, instance: str, errors: list[dict[str, str]] | None = None) -> dict[str, Any]:
    problem: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "instance": instance,
    }
    if errors is not None:
        problem["errors"] = errors
    return problem
