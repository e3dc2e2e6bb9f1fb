"""What the OpenAPI document says beside what FastAPI writes by itself."""

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from service.errors import Forbidden, PreconditionFailed, TooManyRequests, Unauthorized
from service.web.problems import EXAMPLE_ID, INTERNAL_ERROR, NOT_JSON, Problem, ProblemResponse, phrase, problem_content

_EXAMPLES = {
    400: "There was an error parsing the body",
    401: Unauthorized.message,
    403: Forbidden.message,
    404: "User not found",
    408: "body: did not arrive within 30 seconds",
    409: "The last admin cannot be deleted or made inactive",
    412: PreconditionFailed.message,
    413: "body: larger than the 1048576 bytes allowed",
    415: NOT_JSON,
    422: "query.limit: Input should be less than or equal to 500",
    429: TooManyRequests.message,
    500: INTERNAL_ERROR,
    503: "The service is busy: no database connection became free in time",
}


_RETRY = {"Retry-After": {"description": "Seconds until the next try", "schema": {"type": "integer"}}}


_HEADERS = {
    401: {"WWW-Authenticate": {"description": "How to sign in", "schema": {"type": "string"}, "example": "Bearer"}},
    429: _RETRY,
    503: _RETRY,
}
"""The headers that answers of a status have in OpenAPI."""


_OF_A_BODY = (400, 408, 413, 415)


def problem_responses(*statuses: int, validates: bool = True) -> dict[int | str, dict[str, Any]]:
    """The problems that an endpoint can answer with, for OpenAPI; 422, 500 and 503 are always among them.

    413 says that the endpoint has a body, and brings what else can be wrong with one.
    `validates`: whether the endpoint has input that can be wrong.
    """
    always = {500, 503, *([422] if validates else []), *(_OF_A_BODY if 413 in statuses else ())}  # noqa: PLR2004
    return {status: _documented(status) for status in sorted(always.union(statuses))}


def _documented(status: int) -> dict[str, Any]:
    instance = "/users/1" if status == HTTPStatus.NOT_FOUND else "/users/"
    problem = problem_content(status, _EXAMPLES[status], instance, EXAMPLE_ID)
    documented: dict[str, Any] = {
        "description": phrase(status),
        "content": {
            ProblemResponse.media_type: {"schema": {"$ref": "#/components/schemas/Problem"}, "example": problem}
        },
    }
    if status in _HEADERS:
        documented["headers"] = _HEADERS[status]
    return documented


def operation_id(route: APIRoute) -> str:
    """Return the name of the handler: clients that are generated have methods of this name."""
    return route.name


def document(app: FastAPI, *, token_is_optional: bool) -> None:
    """Put into OpenAPI the schema of problems, in the place of FastAPI's own, and whether one can do without a token."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        schemas = document["components"]["schemas"]
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(problem.pop("$defs"))
        schemas["Problem"] = problem
        if token_is_optional:
            for operation in (operation for path in document["paths"].values() for operation in path.values()):
                if "security" in operation and {} not in operation["security"]:
                    operation["security"].append({})
        return document

    app.openapi = openapi  # type: ignore[method-assign]
