"""FastAPI's own layers around all middleware are left out only where they have nothing to do."""

import pytest
from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse
from starlette.middleware.errors import ServerErrorMiddleware

from service.web.prepared import PreparedApplication
from tests.web.prepared.conftest import client_of


async def fail() -> None:
    raise ZeroDivisionError


async def size(request: Request) -> int:
    return len(await request.body())


async def last_resort(request: Request, error: Exception) -> Response:
    return PlainTextResponse(f"sorry: {request.url.path}", 500)


def make(kind: type[FastAPI], **options: object) -> FastAPI:
    app = kind()
    for name, value in options.items():
        setattr(app, name, value)
    app.add_api_route("/fail", fail)
    app.add_api_route("/size", size, methods=["POST"])
    return app


def test_without_anything_to_do_they_are_gone() -> None:
    assert not isinstance(make(PreparedApplication).build_middleware_stack(), ServerErrorMiddleware)


@pytest.mark.parametrize("kind", [500, Exception])
async def test_a_last_resort_stays(kind: int | type[Exception]) -> None:
    """Somebody has said what to answer to an error that nobody caught."""
    app = make(PreparedApplication)
    app.add_exception_handler(kind, last_resort)
    async with client_of(app) as client:
        answer = await client.get("/fail")
    assert (answer.status_code, answer.text) == (500, "sorry: /fail")


@pytest.mark.parametrize("options", [{}, {"max_body_size": 3}, {"debug": True}, {"root_path": "/api"}], ids=str)
async def test_it_answers_as_fastapi_does(options: dict[str, object]) -> None:
    """Within the limit of a body and above it, below a prefix, and where nothing is."""
    answers = []
    for kind in (PreparedApplication, FastAPI):
        async with client_of(make(kind, **options)) as client:
            for method, path, body in (("POST", "/size", b"12"), ("POST", "/size", b"1234"), ("GET", "/none", b"")):
                answer = await client.request(method, path, content=body)
                answers.append((answer.status_code, answer.headers.raw, answer.content))
    assert answers[:3] == answers[3:]
