"""Who may do what: every route, called by those who may not."""

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from httpx import AsyncClient, Response

from containers import Container
from service import app as application
from service.app import DIAGNOSTICS, ROUTERS, create_app
from service.auth.access import says_who_may_call
from service.migrations import HISTORY
from service.web.routes import routes_of
from tests.auth.conftest import Person
from tests.auth.test_router import forged
from tests.support.clients import PASSWORD, client_of

pytestmark = pytest.mark.usefixtures("token_mode")

OPEN = {("POST", "/users/"), ("POST", "/token"), ("GET", "/health/live"), ("GET", "/health/ready")}
OPEN |= {("OPTIONS", path) for method, path in OPEN if path.startswith("/health/")}
"""What everybody may call. All other routes need a token."""

OPEN_PREFIXES = ("/users/", "/items/", "/token", "/health/")

NOT_THE_EXAMPLE: dict[tuple[str, str], Any] = {
    ("PATCH", "/users/{user_id}"): {"email": "mallory@example.com"},
    ("PUT", "/users/{user_id}/password"): {"current_password": PASSWORD, "password": "mallory was here"},
    ("POST", "/users/{user_id}/items/import"): {"title": "from Mallory"},
}
"""A body with which the owner would succeed, for routes where that is not the document's example."""


@dataclass(frozen=True)
class Route:
    """A route of the application, with everything that a request to it needs."""

    method: str
    path: str
    body: Any
    is_open: bool

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@pytest.fixture
async def routes(guarded: AsyncClient) -> list[Route]:
    """Every route of the API."""
    document = (await guarded.get("/openapi.json")).json()
    return [
        Route(
            method.upper(),
            path,
            NOT_THE_EXAMPLE.get((method.upper(), path), _example(document, operation)),
            "security" not in operation,
        )
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def _example(document: Any, operation: Any) -> Any:
    """The body of a JSON operation, made of the examples of its fields."""
    schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    if "$ref" not in schema:
        return None
    fields = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]["properties"]
    return {name: field["examples"][0] for name, field in fields.items() if "examples" in field}


async def _call(client: AsyncClient, route: Route, victim: Person, item_id: int, headers: dict[str, str]) -> Response:
    """Call a route with the victim's ids. Another feature's id is one that nothing has."""
    ids = {"user_id": victim.id, "item_id": item_id}
    path = route.path.format_map(defaultdict(lambda: 2**63 - 1, ids))
    if route.path.endswith("/import"):
        headers = {**headers, "Content-Type": "application/jsonl"}
    return await client.request(route.method, path, json=route.body, headers=headers)


async def _state(container: Container) -> list[Any]:
    """All rows of all tables."""
    async with container.database().scope("what is stored"):
        tables = [await container.connection().fetch(f"SELECT * FROM {table} ORDER BY 1") for table in HISTORY.tables]
        return [tuple(row) for rows in tables for row in rows]


def _closed(routes: list[Route]) -> Iterator[Route]:
    yield from (route for route in routes if not route.is_open)


@pytest.fixture
async def item_id(guarded: AsyncClient, ada: Person) -> int:
    """An item of Ada's."""
    created = await guarded.post(f"/users/{ada.id}/items/", json={"title": "Ada's"}, headers=ada.headers)
    item_id: int = created.json()["id"]
    return item_id


async def test_every_route_says_who_may_call_it() -> None:
    """One that is added without a decision about access fails here."""
    for router in ROUTERS + DIAGNOSTICS:
        for route in routes_of(router.routes):
            assert says_who_may_call(route), f"{route.path}: take `caller: SignedIn`, or `dependencies=[PUBLIC]`"


async def test_only_a_few_routes_are_for_everybody(routes: list[Route]) -> None:
    """A route of users, items, sign-in or health that loses its decision fails here."""
    found = {(route.method, route.path) for route in routes if route.is_open and route.path.startswith(OPEN_PREFIXES)}
    assert found == OPEN


async def test_without_a_good_token_nothing_is_to_be_had(
    container: Container, guarded: AsyncClient, routes: list[Route], ada: Person, item_id: int
) -> None:
    """No token, an expired, altered, wrong-audience or unsigned one: 401 at each route, and nothing has changed."""
    good = ada.headers["Authorization"].removeprefix("Bearer ")
    tokens = {
        "none": None,
        "expired": forged(ada.id, exp=1),
        "altered": good[:-4] + ("AAAA" if good[-4:] != "AAAA" else "BBBB"),
        "of another audience": forged(ada.id, aud="another"),
        "unsigned": forged(ada.id, key="", algorithm="none"),
    }
    before = await _state(container)
    for route in _closed(routes):
        for name, token in tokens.items():
            headers = {} if token is None else {"Authorization": f"Bearer {token}"}
            answer = await _call(guarded, route, ada, item_id, headers)
            assert answer.status_code == 401, f"{route} with a token that is {name}: {answer.status_code}"
    assert await _state(container) == before


async def test_with_another_users_token_nothing_is_to_be_had(
    container: Container, guarded: AsyncClient, routes: list[Route], ada: Person, bob: Person, item_id: int
) -> None:
    """403 or 404, or the caller's own list without anything of the other's; and nothing has changed."""
    before = await _state(container)
    for route in _closed(routes):
        answer = await _call(guarded, route, ada, item_id, bob.headers)
        if route.method == "GET" and "{" not in route.path and answer.status_code == 200:
            assert "ada@example.com" not in answer.text
            assert "Ada's" not in answer.text
        else:
            assert answer.status_code in {403, 404}, f"{route} with another user's token: {answer.status_code}"
    assert await _state(container) == before


async def test_with_its_own_token_or_an_admins_it_works(
    guarded: AsyncClient, routes: list[Route], ada: Person, admin: Person, item_id: int
) -> None:
    """So that the refusals before are not those of a service that refuses all."""
    of_admins = {("GET", "/users/"), ("GET", "/slowusers/")}
    known = [
        route
        for route in _closed(routes)
        if route.path.startswith(("/users/", "/items/", "/slowusers/"))
        and set(re.findall(r"{(\w+)}", route.path)) <= {"user_id", "item_id"}
    ]
    for route in known:
        if route.method != "GET":
            continue
        mine = await _call(guarded, route, ada, item_id, ada.headers)
        assert mine.status_code == (403 if (route.method, route.path) in of_admins else 200), route
        if route.path != "/slowusers/":
            assert (await _call(guarded, route, ada, item_id, admin.headers)).status_code == 200, route
    changes = [route for route in known if route.method not in {"GET", "DELETE"} and "password" not in route.path]
    for route in changes:
        assert (await _call(guarded, route, ada, item_id, ada.headers)).status_code in {200, 201}, route


async def test_only_an_admin_makes_a_user_inactive(guarded: AsyncClient, ada: Person) -> None:
    """A user changes its own address, and not its standing."""
    refused = await guarded.patch(f"/users/{ada.id}", json={"is_active": False}, headers=ada.headers)
    assert refused.status_code == 403
    changed = await guarded.patch(f"/users/{ada.id}", json={"email": "countess@example.com"}, headers=ada.headers)
    assert changed.json()["email"] == "countess@example.com"


async def test_a_router_without_a_decision_is_for_admins_alone(
    container: Container,
    ada: Person,
    admin: Person,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Closed by default: what was forgotten gives nothing away, and the log says what was."""
    forgotten = APIRouter()
    forgotten.add_api_route("/notes/", lambda: "all of them")
    monkeypatch.setattr(application, "ROUTERS", (*ROUTERS, forgotten))
    app: FastAPI = create_app(container)
    assert "/notes/: nothing says who may call" in caplog.text
    async with client_of(app) as client:
        statuses = [
            (await client.get("/notes/", headers=headers)).status_code for headers in ({}, ada.headers, admin.headers)
        ]
    assert statuses == [401, 403, 200]


async def test_mode_token_answers_everybody(container: Container) -> None:
    """Wherever they are."""
    async with client_of(container, client=("192.0.2.1", 1)) as client:
        assert (await client.get("/health/live")).status_code == 200
