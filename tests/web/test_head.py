"""HEAD, wherever there is GET: its status and its headers, and no body."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from containers import Container
from service.app import create_app
from service.auth.access import PUBLIC, Public
from tests.support.asgi import Answer, call
from tests.support.clients import client_of

PATHS = ("/users/", "/users/1", "/users/1/items/", "/items/", "/items/1", "/items/export", "/health/live", "/health/ready",
         "/", "/docs", "/docs/assets/page.js", "/openapi.json", "/users", "/users/me", "/users/999", "/nothing",
         "/users/?limit=0", "/items/?limit=1")  # fmt: skip


@pytest.fixture
async def app(container: Container) -> FastAPI:
    """The application, with two items that are Ada's."""
    app = create_app(container)
    async with client_of(app) as client:
        ada = (await client.post("/users/", json={"email": "ada@example.com", "password": "correct horse"})).json()
        for title in ("A pen", "A cup"):
            await client.post(f"/users/{ada['id']}/items/", json={"title": title})
    return app


async def _both(app: FastAPI, path: str) -> tuple[Answer, Answer]:
    path, _, query = path.partition("?")
    return await call(app, "GET", path, query=query.encode()), await call(app, "HEAD", path, query=query.encode())


def _headers(answer: Answer) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name != "x-request-id"}


@pytest.mark.parametrize("path", PATHS)
async def test_head_is_get_without_the_body(app: FastAPI, path: str) -> None:
    """Status and headers are the same, the length among them."""
    get, head = await _both(app, path)
    assert (head.status, _headers(head)) == (get.status, _headers(get))
    if get.status < 400:  # a problem's body is the server's to leave out
        assert head.body == b""
        assert get.body != b"" or get.status == 307
        assert [message["type"] for message in head.messages] == ["http.response.start", "http.response.body"]
        assert not head.messages[-1].get("more_body", False)


async def test_a_405_names_what_the_routes_declare(app: FastAPI) -> None:
    """HEAD goes with GET, and is a 405 where there is none."""
    assert (await call(app, "SPAM", "/users/1")).headers["allow"] == "GET, PATCH, DELETE"
    head = await call(app, "HEAD", "/token")
    assert (head.status, head.headers["allow"]) == (405, "POST")


async def test_a_405_below_a_mount_names_methods_too(app: FastAPI) -> None:
    """Those that it says itself, or those that files have."""

    async def picky(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise HTTPException(405, headers={"Allow": "PUT"})

    app.mount("/picky", Public(picky))
    refused = await call(app, "POST", "/docs/assets/page.js")
    assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD")
    refused = await call(app, "POST", "/picky/x")
    assert (refused.status, refused.headers["allow"]) == (405, "PUT")


async def test_an_export_ends_with_its_head(app: FastAPI, container: Container) -> None:
    """Nothing is read on, and nothing stays taken."""
    for _ in range(container.database().options.max_size + 1):
        assert (await call(app, "HEAD", "/items/export")).status == 200
    assert container.database().stats().leased == 0


async def test_what_is_added_has_head_too(app: FastAPI) -> None:
    """A stream without an end, an application below a mount, and a HEAD of its own, which is left as it is."""

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"more"
            await asyncio.sleep(0)

    router = APIRouter(dependencies=[PUBLIC])
    router.add_api_route("/endless", lambda: StreamingResponse(endless()), response_class=Response)
    router.add_api_route("/own", lambda: "get")
    router.add_api_route("/own", lambda: Response(headers={"X-Own": "1"}), methods=["HEAD"], response_class=Response)
    app.include_router(router)
    below = FastAPI()
    below.get("/x")(lambda: "below")
    app.mount("/below", Public(below))
    app.mount("/plain", Public(Starlette(routes=[Route("/x", lambda _: PlainTextResponse("text"))])))
    assert (await call(app, "HEAD", "/endless")).status == 200
    assert (await call(app, "HEAD", "/below/x")).headers["content-length"] == "7"
    assert (await call(app, "HEAD", "/plain/x")).headers["content-length"] == "4"
    own = await call(app, "HEAD", "/own")
    assert (own.status, own.headers.get("x-own")) == (200, "1")


def test_openapi_names_no_head() -> None:
    """It goes without saying, and would double each operation."""
    for path in create_app(Container()).openapi()["paths"].values():
        assert "head" not in path
