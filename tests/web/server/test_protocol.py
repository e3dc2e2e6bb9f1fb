"""From bytes to requests: no byte of a body is read as a request, with each of uvicorn's protocols."""

from contextlib import closing, suppress
from itertools import pairwise
from pathlib import Path
from time import sleep

import httpx
import pytest
import websockets.sync.client
from websockets.exceptions import InvalidStatus

from tests.support.echo import CALLS, CHUNKS, ECHO, HOST, INNER, LENGTH, UPGRADES, Echo, rest, variables
from tests.support.processes import answer, free_port, running

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


def test_a_server_in_a_thread_has_the_services_protocol(server_dsn: str, tmp_path: Path) -> None:
    """As tests and notebooks run it, where it can take no signals: no byte of a body is read as a request there either."""
    (tmp_path / "echo.py").write_text(ECHO)
    (tmp_path / "threaded.py").write_text(IN_A_THREAD)
    port = free_port()
    with running("python", str(tmp_path / "threaded.py"), str(port), cwd=tmp_path, **variables(server_dsn)) as process:
        answer(f"http://127.0.0.1:{port}/health/live", process)
        threaded = Echo("a thread", port, tmp_path / "output.txt")
        got = threaded.ask(UPGRADES["HTTP/2"] + LENGTH + b"\r\n", INNER, CALLS, answers=2)
        assert (got[0].json()["body"], got[1].json()) == (INNER.decode(), ["POST"])


def test_below_another_application_a_body_behind_an_upgrade_is_refused(server_dsn: str, tmp_path: Path) -> None:
    """There the service's protocol is not told of the start, and uvicorn's own would carry the body out."""
    (tmp_path / "echo.py").write_text(ECHO)
    (tmp_path / "above.py").write_text(BELOW_ANOTHER)
    port = free_port()
    command = ("uvicorn", "above:parent", "--app-dir", str(tmp_path), "--port", str(port))
    with running(*command, cwd=tmp_path, **variables(server_dsn)) as process:
        answer(f"http://127.0.0.1:{port}/below/health/live", process)
        below = Echo("below", port, tmp_path / "output.txt")
        head = UPGRADES["HTTP/2"].replace(b"/echo", b"/below/echo") + LENGTH + b"\r\n"
        got = below.ask(head, INNER.replace(b"/echo", b"/below/echo"), CALLS.replace(b"/calls", b"/below/calls"))
        assert [(reply.status, reply.headers["connection"]) for reply in got] == [(400, "close")]
        assert httpx.get(f"http://127.0.0.1:{port}/below/calls").json() == []


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
            said += rest(client)
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
