"""The edge of the service: request ids, hosts, the headers of every answer, other origins, and the limits of a body."""

import asyncio
import re
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.types import Message

from containers import Container
from service.app import create_app
from service.web.headers import SECURITY_HEADERS
from service.web.middleware import raise_body_limits
from tests.support.asgi import END, HOST, Answer, call, parts, scope_of

AppOf = Callable[..., FastAPI]

JSON = (b"content-type", b"application/json")
CHUNKED = (b"transfer-encoding", b"chunked")
DEFAULTS = {name.decode(): value.decode() for name, value in SECURITY_HEADERS}

shared = JSONResponse({})


async def own_policy() -> Response:
    return Response(headers={"Content-Security-Policy": "default-src 'self'", "Cache-Control": "max-age=60"})


async def same_again() -> Response:
    return shared


async def bug() -> None:
    raise ZeroDivisionError("secret detail")


async def whoami(request: Request) -> str:
    given: str = request.state.request_id
    return given


async def count(request: Request) -> int:
    raise_body_limits(request, max_bytes=3_000_000, seconds=60)
    return sum([len(part) async for part in request.stream()])


@pytest.fixture
def app_of(monkeypatch: pytest.MonkeyPatch) -> AppOf:
    """Makes the application with `http` settings, and routes that need no database."""

    def make(**settings: str) -> FastAPI:
        for name, value in settings.items():
            monkeypatch.setenv(f"POOLKEEPER_HTTP__{name.upper()}", value)
        app = create_app(Container())
        for endpoint in (own_policy, same_again, bug, whoami):
            app.add_api_route(f"/{endpoint.__name__}", endpoint)
        app.add_api_route("/count", count, methods=["POST"])
        return app

    return make


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (b"order-7.retry_2", True),
        (b"a" * 64, True),
        (b"a" * 65, False),
        (b"", False),
        (b"a b", False),
        (b"a\x00", False),
        (b"\xc3\xa9", False),
        (b"a\r\nset-cookie: x", False),
        (b"<script>", False),
    ],
)
async def test_an_id_of_the_client_is_kept_only_when_it_is_safe(app_of: AppOf, sent: bytes, kept: bool) -> None:
    """In a log line, a header and a page; else the service gives one of its own."""
    answer = await call(app_of(), "GET", "/whoami", [HOST, (b"x-request-id", sent)])
    given = answer.headers["x-request-id"]
    assert (given.encode() == sent) == kept
    assert kept or re.fullmatch("[0-9a-f]{32}", given)
    assert answer.body == f'"{given}"'.encode(), "handlers see the same id"


async def test_two_requests_have_two_ids(app_of: AppOf) -> None:
    """Of the service's making."""
    app = app_of()
    ids = {(await call(app, "GET", "/whoami")).headers["x-request-id"] for _ in range(100)}
    assert len(ids) == 100


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/health/live", [HOST], 200),
        ("GET", "/health/ready", [HOST], 503),
        ("GET", "/nowhere", [HOST], 404),
        ("DELETE", "/users/", [HOST], 405),
        ("GET", "/users", [HOST], 307),
        ("POST", "/users/", [HOST, JSON, (b"content-length", b"9999999")], 413),
        ("POST", "/users/", [HOST, (b"content-length", b"0")], 422),
        ("GET", "/health/live", [], 400),
        ("GET", "/users/", [(b"host", b"evil.example")], 421),
        ("GET", "/bug", [HOST], 500),
    ],
)
async def test_every_answer_has_the_headers(
    app_of: AppOf, method: str, path: str, headers: list[tuple[bytes, bytes]], status: int
) -> None:
    """Also where Starlette, the router or the edge itself answers, and each header once."""
    answer = await call(app_of(allowed_hosts="test", hsts_seconds="60"), method, path, headers)
    assert answer.status == status
    assert DEFAULTS.items() <= answer.headers.items()
    assert answer.headers["strict-transport-security"] == "max-age=60"
    assert len(answer.headers["x-request-id"]) == 32


async def test_an_answer_keeps_the_headers_that_it_set(app_of: AppOf) -> None:
    """A page has a policy of its own, and some answers may be cached."""
    headers = (await call(app_of(), "GET", "/own_policy")).headers
    own = {"content-security-policy": "default-src 'self'", "cache-control": "max-age=60"}
    assert headers.items() >= {**DEFAULTS, **own}.items()
    assert "strict-transport-security" not in headers, "only where it is configured"


async def test_a_response_that_is_sent_twice_does_not_collect_headers(app_of: AppOf) -> None:
    """Its own list of headers stays as it is."""
    app = app_of()
    first, second = await call(app, "GET", "/same_again"), await call(app, "GET", "/same_again")
    assert first.headers.keys() == second.headers.keys()
    assert first.headers["x-request-id"] != second.headers["x-request-id"]


@pytest.mark.parametrize(
    ("hosts", "status"),
    [
        ([b"api.example.com"], 200),
        ([b"API.Example.com:8000"], 200),
        ([b"a.below.example"], 200),
        ([b"api.example.com."], 200),
        ([b"a.below.example.:80"], 200),
        ([b"[::1]:80"], 200),
        ([b"api.example.com.."], 421),
        ([b"."], 421),
        ([b"[::1]"], 200),
        ([b"below.example"], 421),
        ([b"evilbelow.example"], 421),
        ([b"api.example.com.evil.example"], 421),
        ([b"api.example.com:80:80"], 421),
        ([b"api.example.com@evil.example"], 421),
        ([b"\xff"], 421),
        ([b"h" * 100_000], 421),
        ([b""], 421),
        ([], 400),
        ([b"api.example.com", b"evil.example"], 400),
    ],
)
async def test_only_the_hosts_that_are_configured_are_answered(app_of: AppOf, hosts: list[bytes], status: int) -> None:
    """A problem for any other, so that a page that points its own name here reads nothing."""
    app = app_of(allowed_hosts="api.example.com,*.below.example,[::1]")
    answer = await call(app, "GET", "/whoami", [(b"host", host) for host in hosts])
    assert answer.status == status
    assert status == 200 or answer.headers["content-type"] == "application/problem+json"


async def test_health_is_answered_under_any_name(app_of: AppOf) -> None:
    """Supervisors ask by address."""
    app = app_of(allowed_hosts="api.example.com")
    assert (await call(app, "GET", "/health/live", [(b"host", b"10.0.0.7:8000")])).status == 200


@pytest.mark.parametrize(
    ("version", "path", "headers", "status"),
    [
        ("1.0", "/health/live", [], 200),
        ("1.0", "/health/live", [(b"host", b"10.0.0.7")], 200),
        ("1.0", "/health/live", [(b"host", b"")], 200),
        ("1.0", "/health/live", [(b"host", b"a"), (b"host", b"b")], 400),
        ("1.0", "/users/", [], 400),
        ("1.0", "/healthy", [], 400),
        ("1.1", "/health/live", [], 400),
    ],
)
@pytest.mark.parametrize("prefix", ["", "/api"])
@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
async def test_a_load_balancer_asks_for_health_without_a_host(
    app_of: AppOf, method: str, prefix: str, version: str, path: str, headers: list[tuple[bytes, bytes]], status: int
) -> None:
    """In HTTP/1.0, as HAProxy does; below a root path, too."""
    answer = Answer()
    scope = {**scope_of(method, prefix + path, headers), "http_version": version, "root_path": prefix}
    await app_of(allowed_hosts="api.example.com")(scope, parts(then=END), answer.send)
    assert answer.status == status


@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
async def test_health_below_another_application_is_answered_under_any_name(app_of: AppOf, method: str) -> None:
    """And nothing else there."""
    parent = FastAPI()
    parent.mount("/api", app_of(allowed_hosts="api.example.com"))
    by_address = [(b"host", b"10.0.0.7:8000")]
    assert (await call(parent, method, "/api/health/live", by_address)).status == 200
    assert (await call(parent, method, "/api/users/", by_address)).status == 421


async def test_a_websocket_for_another_host_is_closed(app_of: AppOf) -> None:
    """Before it is accepted: browsers let any page open one."""
    answer = Answer()
    await app_of(allowed_hosts="test")(
        {**scope_of("GET", "/ws", [(b"host", b"evil.example")]), "type": "websocket"}, parts(), answer.send
    )
    assert [(message["type"], message["code"]) for message in answer.messages] == [("websocket.close", 1008)]


def _preflight(origin: bytes, method: bytes = b"PATCH") -> list[tuple[bytes, bytes]]:
    asked = (b"access-control-request-headers", b"authorization,content-type")
    return [HOST, (b"origin", origin), (b"access-control-request-method", method), asked]


async def test_pages_of_another_origin_may_call_only_where_that_is_configured(app_of: AppOf) -> None:
    """Not by default; then those origins, with a token, and with the headers that a client reads."""
    allowed = b"https://app.example.com"
    assert (await call(app_of(), "OPTIONS", "/users/", _preflight(allowed))).status == 405
    app = app_of(allowed_origins=allowed.decode())
    preflight = await call(app, "OPTIONS", "/users/", _preflight(allowed))
    assert (preflight.status, preflight.headers["access-control-allow-origin"]) == (200, allowed.decode())
    assert (await call(app, "OPTIONS", "/users/", _preflight(allowed, b"HEAD"))).status == 200
    assert (await call(app, "OPTIONS", "/users/", _preflight(b"https://evil.example"))).status == 400
    answer = await call(app, "GET", "/whoami", [HOST, (b"origin", allowed)])
    assert {"X-Request-ID", "Idempotency-Replayed"} <= set(answer.headers["access-control-expose-headers"].split(", "))
    refused = await call(app, "GET", "/whoami", [HOST, (b"origin", b"https://evil.example")])
    assert "access-control-allow-origin" not in refused.headers


async def test_a_page_of_another_origin_can_read_a_500(app_of: AppOf) -> None:
    """The problem, with its id, and not a failure of the network."""
    answer = await call(app_of(allowed_origins="https://app.example.com"), "GET", "/bug",
                        [HOST, (b"origin", b"https://app.example.com")])  # fmt: skip
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (500, "https://app.example.com")


@pytest.mark.parametrize("path", ["/users/", "/count"])
async def test_a_body_that_stalls_is_a_408(app_of: AppOf, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the end of its connection: read by FastAPI, or by the route itself."""
    monkeypatch.setattr("tests.web.test_middleware.raise_body_limits", lambda *_, **__: None)
    async with asyncio.timeout(60):
        answer = await call(app_of(body_seconds="0.05"), "POST", path, [HOST, JSON, CHUNKED], receive=parts(b"{"))
    assert (answer.status, answer.headers["connection"]) == (408, "close")
    assert b'"detail":"body: did not arrive within 0.05 seconds"' in answer.body


async def test_a_body_that_trickles_is_a_408(app_of: AppOf) -> None:
    """The limit is for the whole body, and not for each part."""

    async def trickle() -> Message:
        await asyncio.sleep(0.01)
        return {"type": "http.request", "body": b" ", "more_body": True}

    async with asyncio.timeout(60):
        answer = await call(app_of(body_seconds="0.2"), "POST", "/users/", [HOST, JSON, CHUNKED], receive=trickle)
    assert answer.status == 408


async def test_what_a_client_does_after_its_body_may_take_its_time(app_of: AppOf) -> None:
    """A route that watches for the client's leaving is not cut off with a 408."""
    app = app_of(body_seconds="0.05")
    left = asyncio.Event()

    @app.post("/watch")
    async def watch(request: Request) -> str:
        await request.body()
        asyncio.get_running_loop().call_later(0.2, left.set)
        return str((await request.receive())["type"])

    async def receive() -> Message:
        if not started:
            started.append(True)
            return {"type": "http.request", "body": b"{}", "more_body": False}
        await left.wait()
        return {"type": "http.disconnect"}

    started: list[Any] = []
    answer = await call(app, "POST", "/watch", [HOST, (b"content-length", b"2")], receive=receive)
    assert (answer.status, answer.body) == (200, b'"http.disconnect"')


@pytest.mark.parametrize(("size", "status"), [(2_500_000, 200), (3_500_000, 413)])
@pytest.mark.parametrize("announced", [True, False])
async def test_a_route_can_raise_the_limits_for_itself(app_of: AppOf, size: int, status: int, announced: bool) -> None:
    """Up to a bound of its own, whether the length is announced or not."""
    length = (b"content-length", str(size).encode()) if announced else CHUNKED
    last: Message = {"type": "http.request", "body": b"", "more_body": False}
    body = parts(*[b" " * 100_000] * (size // 100_000), then=last)
    answer = await call(app_of(), "POST", "/count", [HOST, length], receive=body)
    assert answer.status == status
    assert status == 413 or answer.body == str(size).encode()


async def test_a_request_without_a_body_pays_for_no_limit(app_of: AppOf) -> None:
    """What the server gave is what the route gets."""
    app = app_of()
    seen: list[Any] = []

    @app.get("/seen")
    async def see(request: Request) -> None:
        body = request.scope.get("starlette._body_limit_responder")
        seen.append(body and (body.max_body_size, body.seconds))

    await call(app, "GET", "/seen")
    await call(app, "GET", "/seen", [HOST, (b"content-length", b"0")])
    assert seen == [None, (1024 * 1024, 30.0)]
