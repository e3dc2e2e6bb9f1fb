"""What is added to the application after `create_app`, in every way there is: for admins alone, unless it says otherwise."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI, WebSocket
from fastapi.routing import APIRoute
from httpx import AsyncClient
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Host, Match, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Message, Receive, Scope, Send

from containers import Container
from service.app import create_app
from service.auth.access import PUBLIC, Public, SignedIn
from service.injection import NotWired, Provide, inject
from service.users.service import UserService
from tests.auth.conftest import Person
from tests.support.asgi import HOST, scope_of
from tests.support.clients import client_of

pytestmark = pytest.mark.usefixtures("token_mode")

SECRET = "only for admins"


async def report() -> str:
    return SECRET


async def plain(_: Request) -> PlainTextResponse:
    return PlainTextResponse(SECRET)


async def asgi(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse(SECRET)(scope, receive, send)


class Own(BaseRoute):
    """A route of a kind that nobody else knows."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        return (Match.FULL if scope["path"] == "/x" else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await asgi(scope, receive, send)


def _router(*, path: str = "/x", nested: bool = False, mounts: bool = False) -> APIRouter:
    router = APIRouter()
    if mounts:
        router.mount(path, asgi)
    else:
        router.add_api_route(path, report)
    if not nested:
        return router
    outer = APIRouter()
    outer.include_router(router)
    return outer


def _fastapi() -> FastAPI:
    app = FastAPI()
    app.get("/x")(report)
    return app


def _files() -> StaticFiles:
    return StaticFiles(directory=Path(__file__).parent)


def _late(app: FastAPI) -> None:
    """A route of a router that is served already, among others that are public."""
    public = APIRouter()
    public.get("/public", dependencies=[PUBLIC])(report)
    app.include_router(public)
    public.get("/x")(report)


def _default(app: FastAPI) -> None:
    app.router.default = asgi


WAYS: dict[str, Callable[[FastAPI], Any]] = {
    "include_router": lambda app: app.include_router(_router()),
    "include_router, nested": lambda app: app.include_router(_router(nested=True)),
    "include_router with a prefix": lambda app: app.include_router(_router(path=""), prefix="/x"),
    "include_router of a router that mounts": lambda app: app.include_router(_router(mounts=True)),
    "a router that is included already": _late,
    "app.get": lambda app: app.get("/x")(report),
    "app.api_route": lambda app: app.api_route("/x", methods=["GET", "POST"])(report),
    "add_api_route": lambda app: app.add_api_route("/x", report),
    "add_route": lambda app: app.router.add_route("/x", plain),
    "mount of FastAPI": lambda app: app.mount("", _fastapi()),
    "mount of Starlette": lambda app: app.mount("", Starlette(routes=[Route("/x", plain)])),
    "mount of ASGI": lambda app: app.mount("/x", asgi),
    "mount of files": lambda app: app.mount("/x", _files()),
    "host": lambda app: app.host("test", asgi),
    "routes.append of a route": lambda app: app.router.routes.append(Route("/x", plain)),
    "routes.append of FastAPI's": lambda app: app.router.routes.append(APIRoute("/x", report)),
    "routes.append of a mount": lambda app: app.router.routes.append(Mount("/x", asgi)),
    "routes.append of a host": lambda app: app.router.routes.append(Host("test", asgi)),
    "routes.append of an unknown kind": lambda app: app.router.routes.append(Own()),
    "routes.insert": lambda app: app.router.routes.insert(0, Route("/x", plain)),
    "frontend": lambda app: app.frontend("/x", directory=Path(__file__).parent, fallback=None),
    "default": _default,
}


@pytest.fixture(params=[True, False], ids=["prepared", "not prepared"])
def app(container: Container, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> FastAPI:
    monkeypatch.setenv("POOLKEEPER_PERFORMANCE__PREPARED_ROUTES", str(request.param))
    container.settings.reset()
    return create_app(container)


def _client(app: FastAPI) -> AsyncClient:
    return client_of(app, follow_redirects=True)


@pytest.mark.parametrize("serving", [False, True], ids=["before the start", "while it serves"])
@pytest.mark.parametrize("way", WAYS)
async def test_what_says_nothing_is_for_admins(
    app: FastAPI, ada: Person, admin: Person, way: str, serving: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """401 without a token, 403 with a user's; an admin gets it, and the log says what was forgotten."""
    path = {"mount of files": "/x/conftest.py", "frontend": "/x/conftest.py"}.get(way, "/x")
    async with _client(app) as client:
        if serving:
            assert (await client.get("/health/live")).status_code == 200
        WAYS[way](app)
        answers = [await client.get(path, headers=headers) for headers in ({}, ada.headers, admin.headers)]
        posted = await client.post(path, headers=ada.headers)
        assert (await client.get("/health/live")).status_code == 200
    assert [answer.status_code for answer in answers] == [401, 403, 200]
    assert posted.status_code in {403, 404, 405}
    assert not any(SECRET in answer.text for answer in answers[:2])
    assert "nothing says who may call" in caplog.text


@pytest.mark.parametrize("way", ["router.websocket", "add_websocket_route", "websocket below a mount"])
async def test_a_websocket_that_says_nothing_is_for_admins(
    container: Container, ada: Person, admin: Person, way: str
) -> None:
    """It is refused before it is accepted."""
    app = create_app(container)

    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()

    if way == "router.websocket":
        app.websocket("/ws")(socket)
    elif way == "add_websocket_route":
        app.router.add_websocket_route("/ws", socket)
    else:
        below = Starlette()
        below.router.add_websocket_route("/ws", socket)
        app.mount("", below)
    assert await _connect(app, {}) == 401
    assert await _connect(app, ada.headers) == 403
    assert await _connect(app, admin.headers) == "websocket.accept"


async def _connect(app: FastAPI, headers: dict[str, str]) -> Any:
    """The status of the refusal, or the type of the first message."""
    scope = {
        **scope_of("GET", "/ws", [HOST, *((name.lower().encode(), value.encode()) for name, value in headers.items())]),
        "type": "websocket",
        "subprotocols": [],
        "extensions": {"websocket.http.response": {}},
    }
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent[0].get("status", sent[0]["type"])


DECLARED: dict[str, Callable[[FastAPI], Any]] = {
    "dependencies=[PUBLIC]": lambda app: app.include_router(_router(), dependencies=[PUBLIC]),
    "app.get": lambda app: app.get("/x", dependencies=[PUBLIC])(report),
    "mount": lambda app: app.mount("", Public(_fastapi())),
    "mount in a router": lambda app: app.include_router(_mounting()),
    "host": lambda app: app.host("test", Public(asgi)),
    "an ASGI application as a route": lambda app: app.router.routes.append(Route("/x", Public(asgi))),
    "frontend": lambda app: app.include_router(_frontend()),
}


def _mounting() -> APIRouter:
    router = APIRouter()
    router.mount("/x", Public(asgi))
    return router


def _frontend() -> APIRouter:
    router = APIRouter(dependencies=[PUBLIC])
    router.frontend("/", directory=Path(__file__).parent, fallback=None)
    return router


@pytest.mark.parametrize("way", DECLARED)
async def test_what_is_declared_public_is_public(app: FastAPI, way: str) -> None:
    """And nothing else becomes so."""
    DECLARED[way](app)
    path = "/conftest.py" if way == "frontend" else "/x"
    async with _client(app) as client:
        assert (await client.get(path)).status_code == 200
        if way != "host":
            assert (await client.get("/users/")).status_code == 401


async def test_a_route_that_takes_its_caller_has_it(app: FastAPI, ada: Person) -> None:
    """Whoever added it, and whenever."""

    @app.get("/mine")
    async def mine(caller: SignedIn) -> int | None:
        return caller.user_id

    async with _client(app) as client:
        assert (await client.get("/mine")).status_code == 401
        assert (await client.get("/mine", headers=ada.headers)).json() == ada.id


async def test_a_catch_all_leaves_the_routes_before_it_as_they_are(app: FastAPI) -> None:
    """Registration stays open below a mount at the root that is not."""
    app.mount("/", asgi)
    async with _client(app) as client:
        assert (
            await client.post("/users/", json={"email": "a@example.com", "password": "12345678"})
        ).status_code == 201
        assert (await client.get("/openapi.json")).status_code == 200
        assert (await client.get("/docs/assets/page.js")).status_code == 200
        assert (await client.get("/nothing")).status_code == 401


@inject
async def count_users(users: UserService = Provide["user_service"]) -> int:
    return len(await users.list(0, 5))


async def without_inject(users: Any = Provide["user_service"]) -> str:
    return repr(users)


async def test_injections_of_what_is_added_before_the_start_are_wired(app: FastAPI) -> None:
    """Also below a mount."""
    below = FastAPI()
    below.get("/count")(count_users)
    app.get("/count", dependencies=[PUBLIC])(count_users)
    app.mount("/below", Public(below))
    async with app.router.lifespan_context(app), _client(app) as client:
        assert (await client.get("/count")).json() == 0
        assert (await client.get("/below/count")).json() == 0


async def test_a_marker_in_what_is_added_before_the_start_stops_it(app: FastAPI) -> None:
    """As in the routers that `create_app` includes."""
    app.get("/x", dependencies=[PUBLIC])(without_inject)
    with pytest.raises(NotWired, match="put @inject directly above"):
        async with app.router.lifespan_context(app):
            pass


async def test_a_marker_in_what_is_added_while_it_serves_reaches_nobody(
    app: FastAPI, caplog: pytest.LogCaptureFixture
) -> None:
    """A 500, and the log says what to do."""
    async with _client(app) as client:
        assert (await client.get("/health/live")).status_code == 200
        app.get("/x", dependencies=[PUBLIC])(without_inject)
        answer = await client.get("/x")
    assert answer.status_code == 500
    assert "put @inject directly above" in caplog.text
