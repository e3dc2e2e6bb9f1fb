"""FastAPI's own layers around all middleware are left out only where they have nothing to do."""

from typing import Any

import pytest
from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse

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


def layers_of(app: FastAPI) -> list[type]:
    layer: Any = app.build_middleware_stack()
    found = [type(layer)]
    while layer is not app.router:
        layer = layer.app
        found.append(type(layer))
    return found


def test_the_three_outer_layers_are_gone_and_no_other() -> None:
    """A layer that a new version of FastAPI adds is noticed here."""
    prepared, plain = layers_of(make(PreparedApplication)), layers_of(make(FastAPI))
    assert prepared == plain[3:]
    assert [layer.__name__ for layer in plain[:3]] == [
        "ServerErrorMiddleware",
        "ExceptionTelemetryMiddleware",
        "AppBodyLimitMiddleware",
    ]


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
