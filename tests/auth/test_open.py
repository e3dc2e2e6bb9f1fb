"""Mode `open`: as in the tutorial, and for this machine alone."""

from collections.abc import MutableMapping
from typing import Any

import pytest
from httpx import AsyncClient

from containers import Container
from service.app import create_app
from tests.support.clients import PASSWORD, client_of, sign_in


async def test_mode_open_lets_everyone_on_this_machine_do_all_without_a_token(client: AsyncClient) -> None:
    """And a token that is sent must be good; `/users/me` is nobody."""
    user = (await client.post("/users/", json={"email": "ada@example.com", "password": PASSWORD})).json()
    assert (await client.get("/users/")).json() == [user]
    assert (await client.get("/users/me")).status_code == 404
    headers = await sign_in(client, "ada@example.com")
    assert (await client.get("/users/me", headers=headers)).json() == {**user, "is_admin": False}
    assert (await client.get("/users/", headers=headers)).status_code == 403
    assert (await client.get("/users/", headers={"Authorization": "Bearer x"})).status_code == 401


@pytest.mark.parametrize(
    ("address", "status"),
    [("127.0.0.1", 200), ("127.8.9.1", 200), ("::1", 200), ("::ffff:127.0.0.1", 200), ("testclient", 200),
     ("192.0.2.1", 403), ("::ffff:192.0.2.1", 403), ("2001:db8::1", 403), ("0.0.0.0", 403), ("localhost.example", 403),
     ("", 403), (None, 403)],
)  # fmt: skip
async def test_mode_open_answers_this_machine_alone(container: Container, address: str | None, status: int) -> None:
    """Whatever the route; a Unix socket has no address, and may have a proxy behind it."""
    async with client_of(container, client=None if address is None else (address, 1)) as client:
        for path in ("/items/", "/health/live", "/openapi.json"):
            answer = await client.get(path)
            assert answer.status_code == status
    if status == 403:
        assert answer.headers["content-type"] == "application/problem+json"
        assert "auth.mode is open" in answer.json()["detail"]


async def test_mode_open_says_so_loudly_at_the_start(container: Container, caplog: pytest.LogCaptureFixture) -> None:
    """A warning in the log of every start."""
    app = create_app(container)
    async with app.router.lifespan_context(app):
        assert "auth.mode is OPEN: every client on this machine is an admin" in caplog.text


async def test_mode_open_closes_a_websocket_from_elsewhere(container: Container) -> None:
    """Before it is accepted."""
    sent: list[dict[str, object]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(dict(message))

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "websocket.connect"}

    scope = {"type": "websocket", "path": "/ws", "headers": [(b"host", b"test")], "client": ("192.0.2.1", 1)}
    await create_app(container)(scope, receive, send)
    reason = "auth.mode is open: it answers only clients on the machine that it runs on"
    assert sent == [{"type": "websocket.close", "code": 1008, "reason": reason}]
