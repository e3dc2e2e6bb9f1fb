"""From bytes to requests: no byte of a body is read as a request, and heads are bounded, with each of uvicorn's protocols."""

import json
import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from itertools import pairwise
from pathlib import Path
from time import monotonic, sleep
from typing import Any, NamedTuple

import httpx
import pytest
import websockets.sync.client
from websockets.exceptions import InvalidStatus

from tests.support.processes import answer, free_port, running

ECHO = """
import asyncio
from contextlib import suppress
from fastapi import APIRouter, Request, WebSocket
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect
from service import app as application
from service.auth.access import PUBLIC

router = APIRouter(dependencies=[PUBLIC])
calls = []

@router.api_route("/echo", methods=["GET", "POST", "PUT", "DELETE"])
async def echo(request: Request) -> dict:
    calls.append(request.method)
    return {"headers": [name for name, _ in request.headers.items()], "body": (await request.body()).decode()}

@router.get("/calls")
async def called() -> list:
    done = calls.copy()
    calls.clear()
    return done

@router.post("/early")
async def early() -> str:
    return "early"

@router.post("/stream")
async def stream(request: Request) -> StreamingResponse:
    async def parts():
        yield "begun"
        with suppress(ClientDisconnect):
            await request.body()
            yield "done"
    return StreamingResponse(parts())

@router.get("/wait")
async def wait() -> str:
    await asyncio.sleep(0.3)
    return "waited"

@router.websocket("/ws")
async def ws(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text("hello")
    await websocket.close()

application.ROUTERS += (router,)
from service.main import app
"""
IN_A_THREAD = """
import sys
from threading import Thread
import uvicorn
from echo import app

server = uvicorn.Server(uvicorn.Config(app, port=int(sys.argv[1])))
thread = Thread(target=server.run)
thread.start()
try:
    thread.join()
except KeyboardInterrupt:
    server.should_exit = True
    thread.join()
"""
BELOW_ANOTHER = """
from contextlib import asynccontextmanager
from fastapi import FastAPI
from echo import app
from service.main import container
from service.startup import opened

@asynccontextmanager
async def lifespan(_):
    async with opened(container):
        yield

parent = FastAPI(lifespan=lifespan)
parent.mount("/below", app)
"""
COMMANDS: dict[str, Sequence[str]] = {
    "serve's": ("--http", "service.web.server:BatchedProtocol"),
    "plain uvicorn": (),
    "h11": ("--http", "h11"),
}
SETTINGS = {
    "POOLKEEPER_ENV": "test",
    "POOLKEEPER_HTTP__ALLOWED_HOSTS": "test,127.0.0.1",
    "POOLKEEPER_HTTP__HEAD_SECONDS": "1",
    "POOLKEEPER_HTTP__KEEP_ALIVE_SECONDS": "2",
}
HOST = b" HTTP/1.1\r\nHost: test\r\n"
INNER = b"DELETE /echo" + HOST + b"\r\n"
CALLS = b"GET /calls" + HOST + b"\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(INNER)
CHUNKS = b"%x\r\n%b\r\n0\r\n\r\n" % (len(INNER), INNER)


class Reply(NamedTuple):
    """One answer on a connection."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Echo(NamedTuple):
    """A server, and what it has written."""

    name: str
    port: int
    output: Path

    def connect(self) -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return client

    def ask(self, *parts: bytes, answers: int | None = None, pause: float = 0.05) -> list[Reply]:
        """So many answers, or all until the server closes the connection."""
        with closing(self.connect()) as client:
            for part in parts:
                with suppress(ConnectionError):  # it may have been told enough
                    client.sendall(part)
                sleep(pause)
            said = b""
            while answers is None or len(replies(said)) < answers:
                more = client.recv(65536)
                if not more:
                    break
                said += more
            return replies(said)

    def calls(self) -> list[str]:
        calls: list[str] = httpx.get(f"http://127.0.0.1:{self.port}/calls").json()
        return calls


def _rest(client: socket.socket) -> bytes:
    said = b""
    while more := client.recv(65536):
        said += more
    return said


def replies(said: bytes) -> list[Reply]:
    """The answers in what a server has said, each with its length."""
    found = []
    while b"\r\n\r\n" in said:
        head, _, said = said.partition(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        length = int(headers.get("content-length", 0))
        if len(said) < length:
            break
        found.append(Reply(int(status.split()[1]), headers, said[:length]))
        said = said[length:]
    return found


@pytest.fixture(scope="module", params=COMMANDS)
def echo(request: pytest.FixtureRequest, server_dsn: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Echo]:
    """The service with a route that says what it got, in a process of its own."""
    folder, port = tmp_path_factory.mktemp("echo"), free_port()
    (folder / "echo.py").write_text(ECHO)
    variables = {"DATABASE_URL": server_dsn, "POOLKEEPER_DATABASE__MIGRATE_ON_START": "false", **SETTINGS}
    command = ("uvicorn", "echo:app", "--app-dir", str(folder), "--port", str(port), *COMMANDS[request.param])
    with running(*command, cwd=folder, **variables) as process:
        answer(f"http://127.0.0.1:{port}/health/live", process)
        yield Echo(request.param, port, folder / "output.txt")
    assert "Traceback" not in (folder / "output.txt").read_text()


def test_a_server_in_a_thread_has_the_services_protocol(server_dsn: str, tmp_path: Path) -> None:
    """As tests and notebooks run it, where it can take no signals: no byte of a body is read as a request there either."""
    (tmp_path / "echo.py").write_text(ECHO)
    (tmp_path / "threaded.py").write_text(IN_A_THREAD)
    port = free_port()
    variables = {"DATABASE_URL": server_dsn, "POOLKEEPER_DATABASE__MIGRATE_ON_START": "false", **SETTINGS}
    with running("python", str(tmp_path / "threaded.py"), str(port), cwd=tmp_path, **variables) as process:
        answer(f"http://127.0.0.1:{port}/health/live", process)
        threaded = Echo("a thread", port, tmp_path / "output.txt")
        got = threaded.ask(UPGRADES["HTTP/2"] + LENGTH + b"\r\n", INNER, CALLS, answers=2)
        assert (got[0].json()["body"], got[1].json()) == (INNER.decode(), ["POST"])


def test_below_another_application_a_body_behind_an_upgrade_is_refused(server_dsn: str, tmp_path: Path) -> None:
    """There the service's protocol is not told of the start, and uvicorn's own would carry the body out."""
    (tmp_path / "echo.py").write_text(ECHO)
    (tmp_path / "above.py").write_text(BELOW_ANOTHER)
    port = free_port()
    variables = {"DATABASE_URL": server_dsn, "POOLKEEPER_DATABASE__MIGRATE_ON_START": "false", **SETTINGS}
    command = ("uvicorn", "above:parent", "--app-dir", str(tmp_path), "--port", str(port))
    with running(*command, cwd=tmp_path, **variables) as process:
        answer(f"http://127.0.0.1:{port}/below/health/live", process)
        below = Echo("below", port, tmp_path / "output.txt")
        head = UPGRADES["HTTP/2"].replace(b"/echo", b"/below/echo") + LENGTH + b"\r\n"
        got = below.ask(head, INNER.replace(b"/echo", b"/below/echo"), CALLS.replace(b"/calls", b"/below/calls"))
        assert [(reply.status, reply.headers["connection"]) for reply in got] == [(400, "close")]
        assert httpx.get(f"http://127.0.0.1:{port}/below/calls").json() == []


UPGRADES = {
    "HTTP/2": b"POST /echo"
    + HOST
    + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAA\r\n",
    "HTTP/2 on HTTP/1.0": b"POST /echo HTTP/1.0\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n",
    "what nobody knows": b"PUT /echo" + HOST + b"Connection: keep-alive, upgrade\r\nUpgrade: what/7, ever\r\n",
    "a websocket by POST": b"POST /echo" + HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n",
    "a websocket with a body": b"GET /echo" + HOST + b"Connection: Upgrade\r\nUpgrade: WebSocket\r\n",
    "a websocket or HTTP/2": b"GET /echo" + HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n",
    "TLS": b"POST /echo" + HOST + b"Connection: Upgrade\r\nUpgrade: TLS/1.0\r\n",
}


@pytest.mark.parametrize("head", UPGRADES.values(), ids=UPGRADES)
@pytest.mark.parametrize("framing", ["length", "chunks"])
@pytest.mark.parametrize("packets", [1, 3])
def test_an_upgrade_that_is_ignored_leaves_the_body_a_body(echo: Echo, head: bytes, framing: str, packets: int) -> None:
    """The handler gets it whole, and the next request on the connection is the next one."""
    if framing == "chunks" and b"HTTP/1.0" in head:
        pytest.skip("HTTP/1.0 has no chunks")
    announced, body = (LENGTH, INNER) if framing == "length" else (b"Transfer-Encoding: chunked\r\n", CHUNKS)
    parts = [head + announced + b"\r\n", body, CALLS]
    if packets == 1:
        parts = [b"".join(parts)]
    got = echo.ask(*parts, answers=1 if b"HTTP/1.0" in head else 2)
    assert got[0].status == 200
    assert got[0].json()["body"] == INNER.decode()
    assert "upgrade" not in got[0].json()["headers"] or echo.name == "h11"
    method = head.split()[0].decode()
    calls = got[1].json() if b"HTTP/1.0" not in head else echo.calls()
    assert calls == [method]


def test_wherever_packets_are_cut_an_upgrade_is_ignored(echo: Echo) -> None:
    """In each place of the head and of the body."""
    sent = UPGRADES["HTTP/2"] + LENGTH + b"Connection: close\r\n\r\n" + INNER
    for place in range(1, len(sent)):
        (got,) = echo.ask(sent[:place], sent[place:], pause=0.001)
        assert (got.status, got.json()["body"]) == (200, INNER.decode()), place
    assert echo.calls() == ["POST"] * (len(sent) - 1)


def test_many_upgrades_behind_one_another_are_answered_in_order(echo: Echo) -> None:
    """Each with its own body."""
    sent = b"".join(
        UPGRADES["HTTP/2"] + b"Content-Length: %d\r\n\r\n%b" % (len(b"%d" % number), b"%d" % number)
        for number in range(200)
    )
    assert [got.json()["body"] for got in echo.ask(sent, answers=200)] == [str(number) for number in range(200)]
    assert echo.calls() == ["POST"] * 200


def test_a_websocket_that_a_proxy_did_not_ask_for_is_ignored(echo: Echo) -> None:
    """It passed `Upgrade` on, and not `Connection`."""
    (got,) = echo.ask(b"GET /echo" + HOST + b"Upgrade: websocket\r\nConnection: close\r\n\r\n")
    assert (got.status, echo.calls()) == (200, ["GET"])


ABSOLUTE = {
    b"http://test/calls": 200,
    b"HTTPS://test:443/calls?x=http://a/b": 200,
    b"http://test/calls#there": 200,
    b"http://127.0.0.1:80/health/live": 200,
    b"http://test": 307,
    b"http://test?x=1": 307,
    b"http://evil.example/calls": 421,
    b"http://a@test/calls": 400,
    b"http:///calls": 400,
    b"ftp://test/calls": 400,
    b"calls": 400,
}


@pytest.mark.parametrize(("target", "status"), ABSOLUTE.items(), ids=[target.decode() for target in ABSOLUTE])
def test_a_target_that_is_a_url_is_read_as_a_proxy_would_send_it(echo: Echo, target: bytes, status: int) -> None:
    """It names the host, whatever `Host` says."""
    (got,) = echo.ask(b"GET " + target + HOST + b"Connection: close\r\n\r\n")
    assert got.status == status
    (got,) = echo.ask(b"GET " + target + b" HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
    assert got.status == status


def test_a_client_of_http_1_0_is_never_told_to_continue(echo: Echo) -> None:
    """It would take that for its answer."""
    sent = b"POST /echo HTTP/1.0\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    (got,) = echo.ask(sent, b"ab")
    assert (got.status, got.json()["body"], echo.calls()) == (200, "ab", ["POST"])


def test_an_upgrade_without_a_body_is_ignored(echo: Echo) -> None:
    """As `curl --http2` asks for a page."""
    got = echo.ask(UPGRADES["HTTP/2"].replace(b"POST", b"GET") + b"\r\n" + CALLS, answers=2)
    assert [reply.status for reply in got] == [200, 200]
    assert got[1].json() == ["GET"]


REFUSED = {
    "a tunnel": b"CONNECT test:80" + HOST + b"\r\n",
    "a tunnel with a body": b"CONNECT test:80" + HOST + LENGTH + b"\r\n",
    "a tunnel to a path": b"CONNECT /echo" + HOST + b"\r\n",
    "the beginning of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a length and chunks": b"POST /echo" + HOST + LENGTH + b"Transfer-Encoding: chunked\r\n\r\n",
    "chunks and a length": b"POST /echo" + HOST + b"Transfer-Encoding: chunked\r\n" + LENGTH + b"\r\n",
    "two lengths": b"POST /echo" + HOST + LENGTH + b"Content-Length: 0\r\n\r\n",
    "a length with a sign": b"POST /echo" + HOST + LENGTH.replace(b": ", b": +") + b"\r\n",
    "a space before the colon": b"POST /echo" + HOST + LENGTH.replace(b":", b" :") + b"\r\n",
    "no line feeds": b"POST /echo HTTP/1.1\rHost: test\r" + LENGTH[:-1] + b"\r",
    "an unknown coding": b"POST /echo" + HOST + b"Transfer-Encoding: xchunked\r\n\r\n",
    "chunks that are not last": b"POST /echo" + HOST + b"Transfer-Encoding: chunked, gzip\r\n\r\n",
    "a chunk longer than it says": b"POST /echo" + HOST + b"Transfer-Encoding: chunked\r\n\r\n1\r\n",
}


@pytest.mark.parametrize("head", REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("packets", [1, 2])
def test_what_may_be_read_in_two_ways_is_refused_and_the_connection_ends(echo: Echo, head: bytes, packets: int) -> None:
    """With a problem; nothing that follows it is carried out."""
    (got,) = echo.ask(head + INNER) if packets == 1 else echo.ask(head, INNER)
    assert got.status in {400, 501}
    assert got.headers["content-type"] == "application/problem+json"
    assert got.headers["connection"] == "close"
    assert got.headers["x-request-id"] == got.json()["request_id"]
    assert "DELETE" not in echo.calls()


TRAILER = b"Authorization: Bearer x\r\nIdempotency-Key: y\r\nHost: evil.example\r\nContent-Type: text/csv\r\n"


@pytest.mark.parametrize("upgrade", [b"", b"Connection: upgrade\r\nUpgrade: h2c\r\n"], ids=["", "with an upgrade"])
def test_a_trailer_has_no_headers(echo: Echo, upgrade: bytes) -> None:
    """Neither of its request nor of the next one, wherever packets are cut."""
    head = b"POST /echo" + HOST + b"Transfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\n"
    sent = head + TRAILER + upgrade + b"\r\n" + b"GET /echo" + HOST + b"Connection: close\r\n\r\n"
    for place in range(1, len(sent), 3):
        first, second = echo.ask(sent[:place], sent[place:], pause=0.001)
        assert (first.status, first.json()) == (200, {"headers": ["host", "transfer-encoding"], "body": "abc"})
        assert (second.status, second.json()["headers"]) == (200, ["host", "connection"])
    echo.calls()


TOO_MUCH = {
    "headers": (431, b"GET /echo" + HOST + b"A: b\r\n" * 200 + b"\r\n"),
    "of one header": (431, b"GET /echo" + HOST + b"A: " + b"b" * 60_000 + b"\r\n\r\n"),
    "of one header's name": (431, b"GET /echo" + HOST + b"A" * 60_000 + b": b\r\n\r\n"),
    "that does not end": (431, b"GET /echo" + HOST + b"A: " + b"b" * 2_000_000),
    "of all headers": (431, b"GET /echo" + HOST + b"A: %b\r\n" % (b"b" * 1000) * 50 + b"\r\n"),
    "of a URL": (414, b"GET /echo?" + b"a" * 10_000 + HOST + b"\r\n"),
    "headers of a websocket": (
        431,
        b"GET /ws" + HOST + b"Connection: upgrade\r\nUpgrade: websocket\r\n" + b"A: b\r\n" * 200 + b"\r\n",
    ),
    "headers of an upgrade": (431, UPGRADES["HTTP/2"] + b"A: b\r\n" * 200 + b"Content-Length: 1\r\n\r\n1"),
}


@pytest.mark.parametrize(("status", "sent"), TOO_MUCH.values(), ids=TOO_MUCH)
@pytest.mark.parametrize(
    "behind",
    [b"", b"POST /echo" + HOST + b"Content-Length: 2\r\n\r\nab", b"GET /echo" + HOST + b"\r\n"],
    ids=["", "behind another", "behind one without a body"],
)
@pytest.mark.parametrize("packet", [10_000_000, 7000])
def test_too_much_in_a_head_is_refused(echo: Echo, status: int, sent: bytes, behind: bytes, packet: int) -> None:
    """With a problem that the client can read although it has not finished, and nothing is carried out."""
    sent = behind + sent
    got = echo.ask(*(sent[at : at + packet] for at in range(0, len(sent), packet)), pause=0.001)
    assert [reply.status for reply in got] == [*([200] if behind else []), status]
    assert got[-1].json()["status"] == status
    assert re.fullmatch(r"(headers|URL): (more|larger|longer) than the \d+ (bytes )?allowed", got[-1].json()["detail"])
    assert echo.calls() == ([behind.split()[0].decode()] if behind else [])


def test_a_head_within_the_limits_is_read_in_any_number_of_packets(echo: Echo) -> None:
    """Behind a body, too."""
    large = b"GET /echo" + HOST + b"A: %b\r\n" % (b"b" * 500) * 50 + b"\r\n"
    sent = b"POST /echo" + HOST + b"Content-Length: 100000\r\n\r\n" + b"a" * 100_000 + large * 3
    for packet in (1000, 30_000, 10_000_000):
        got = echo.ask(*(sent[at : at + packet] for at in range(0, len(sent), packet)), answers=4, pause=0.001)
        assert [reply.status for reply in got] == [200] * 4, packet
    echo.calls()


@pytest.mark.parametrize(
    "flood", [b"1;" + b"a" * 200_000, b"1\r\na\r\n0\r\nA: " + b"b" * 200_000], ids=["extension", "trailer"]
)
def test_what_is_around_a_body_is_bounded(echo: Echo, flood: bytes) -> None:
    """A chunk's extension, and a trailer: nobody counts them as the body's bytes."""
    (got,) = echo.ask(b"POST /echo" + HOST + b"Transfer-Encoding: chunked\r\n\r\n", flood)
    assert got.status in {400, 431}
    echo.calls()


@pytest.mark.parametrize("before", [b"", CALLS], ids=["first", "second"])
def test_a_head_that_dribbles_in_is_a_408(echo: Echo, before: bytes) -> None:
    """The limit is for the whole head, and not for each packet."""
    began = monotonic()
    with closing(echo.connect()) as client:
        client.sendall(before)
        sleep(0.1)
        client.sendall(b"GET /echo" + HOST + b"A: b")
        client.settimeout(0.2)
        said = b""
        while monotonic() < began + 15:
            try:
                more = client.recv(65536)
            except TimeoutError:
                client.sendall(b"x")
                continue
            if not more:
                break
            said += more
    *_, got = replies(said)
    assert (got.status, got.json()["detail"]) == (408, "headers: did not arrive within 1 seconds")


@pytest.mark.parametrize("sent", [b"", b"\r\n", CALLS], ids=["silent", "an empty line", "idle"])
def test_an_idle_connection_is_closed_after_the_setting(echo: Echo, sent: bytes) -> None:
    """Also one that has never asked anything, and without a word."""
    if echo.name == "h11" and sent == b"\r\n":
        pytest.skip("h11 refuses an empty line before a request")
    with closing(echo.connect()) as client:
        client.sendall(sent)
        began = monotonic()
        got = replies(_rest(client))
        seconds = monotonic() - began
    assert len(got) == (sent == CALLS)
    assert 1.8 < seconds < 15


def test_a_body_that_nobody_reads_does_not_keep_its_connection(echo: Echo) -> None:
    """Its request was answered before the body came, which then dribbles in."""
    with closing(echo.connect()) as client:
        client.sendall(b"POST /early" + HOST + b"Content-Length: 1000000\r\n\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
        began = monotonic()
        with suppress(ConnectionError):
            while monotonic() < began + 15:
                client.sendall(b"x")
                sleep(0.1)
        assert monotonic() < began + 10


def test_a_request_behind_a_body_that_nobody_read_is_answered(echo: Echo) -> None:
    """And the connection may be idle after it as after any."""
    sent = b"POST /early" + HOST + LENGTH + b"\r\n"
    got = echo.ask(sent, INNER, CALLS, answers=2)
    assert [reply.status for reply in got] == [200, 200]
    assert got[1].json() == []


def test_garbage_behind_a_request_is_refused_after_its_answer(echo: Echo) -> None:
    """Each answer belongs to one request, in their order."""
    got = echo.ask(b"GET /wait" + HOST + b"\r\n" + CALLS + b"garbage\r\n\r\n")
    assert [reply.status for reply in got] == [200, 200, 400]
    assert got[0].body == b'"waited"'


def test_a_body_that_breaks_behind_another_request_is_refused_after_its_answer(echo: Echo) -> None:
    """The request that it belongs to is not begun."""
    broken = b"POST /echo" + HOST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"
    got = echo.ask(b"GET /wait" + HOST + b"\r\n" + broken)
    assert [reply.status for reply in got] == [200, 400]
    assert "DELETE" not in echo.calls()


def test_a_body_that_breaks_after_the_answer_began_cuts_it_off(echo: Echo) -> None:
    """No second answer is written into the first."""
    with closing(echo.connect()) as client:
        client.sendall(b"POST /stream" + HOST + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        said = b""
        while b"begun" not in said:
            said += client.recv(65536)
        client.sendall(b"zz\r\n")
        with suppress(ConnectionError):
            said += _rest(client)
    assert said.count(b"HTTP/1.1 ") == 1
    assert not said.endswith(b"0\r\n\r\n")


def test_websockets_are_opened(echo: Echo) -> None:
    """And for nobody but the hosts that are configured."""
    url = f"ws://127.0.0.1:{echo.port}/ws"
    with websockets.sync.client.connect(url) as client:
        assert client.recv() == "hello"
    with pytest.raises(InvalidStatus) as refused, closing(echo.connect()) as stranger:
        websockets.sync.client.connect(url.replace("127.0.0.1", "evil.example"), sock=stranger)
    assert refused.value.response.status_code >= 400


def test_a_websocket_outlives_the_limits_of_connections(echo: Echo) -> None:
    """It is idle for as long as it likes, and no head is waited for."""
    handshake = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    with closing(echo.connect()) as client:
        head = b"GET /ws" + HOST + handshake + b"Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==\r\n\r\n"
        for start, end in pairwise((0, 10, len(head))):
            client.sendall(head[start:end])
            sleep(0.1)
        said = client.recv(65536)
        assert said.startswith(b"HTTP/1.1 101 ")
        while b"hello" not in said:
            said += client.recv(65536)
    assert b"408" not in said
