"""Nothing that a client sends is a failure of the service: through the application, and through a real server."""

import json
import re
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from subprocess import Popen
from typing import NamedTuple

import httpx
import pytest
from fastapi import FastAPI
from starlette.types import Message

from containers import Container
from service.app import create_app
from tests.support.asgi import HOST, call, parts
from tests.support.processes import answer, free_port, running

JSON = (b"content-type", b"application/json")
USER = b'{"email": "%s", "password": "correct horse"}'

BODIES = {
    "nothing": b"",
    "a byte order mark": b"\xef\xbb\xbf{}",
    "no UTF-8": USER % b"\xff@example.com",
    "UTF-16": '{"email": 1}'.encode("utf-16"),
    "a NUL": USER % b"a\\u0000@example.com",
    "a raw NUL": USER % b"a\x00@example.com",
    "half a surrogate pair": USER % b"\\ud800@example.com",
    "half a surrogate pair as a name": b'{"\\udfff": 1}',
    "half a surrogate pair in the password": b'{"email": "ada@example.com", "password": "\\ud800"}',
    "a NUL in the password": b'{"email": "ada@example.com", "password": "\\u0000"}',
    "deep lists": b"[" * 500_000,
    "deep objects": b'{"a":' * 150_000,
    "a deep member": b'{"email": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    "a huge integer": b'{"email": ' + b"9" * 100_000 + b"}",
    "a huge exponent": b'{"email": 1e999999}',
    "NaN": b'{"email": NaN}',
    "infinity": b'{"email": -Infinity}',
    "one name twice": b'{"email": "ada@example.com", "email": 7, "password": "x"}',
    "many names": b"{" + b",".join(b'"%d":0' % number for number in range(90_000)) + b"}",
    "a long name": b'{"' + b"x" * 1_000_000 + b'": 0}',
    "a long address": USER % (b"a" * 1_000_000 + b"@example.com"),
    "many at signs": USER % (b"@" * 100_000),
    "other JSON": b'"text"',
    "an empty object": b"{}",
}

QUERIES = [
    b"skip=9223372036854775808",
    b"skip=-1",
    b"skip=" + b"9" * 5000,
    b"skip=1e3",
    b"skip=%00",
    b"skip=%ff",
    b"skip=\xff",
    b"skip=NaN",
    b"limit=0",
    b"limit=1&limit=x",
    b"skip=1;limit=2&skip",
    b"limit=%F0%9F%92%A9",
    b"skip=" + b"%25" * 10_000,
    "skip=\u0661".encode(),
]

HEADERS = [
    (b"content-type", b"\xff\xfe"),
    (b"content-type", b"application/json; charset=\xff"),
    (b"content-type", b"application/json;" + b";" * 10_000),
    (b"content-type", b"multipart/form-data"),
    (b"authorization", b"\xff\xff\xff"),
    (b"authorization", b"Bearer \xff.\x00." + b"=" * 10_000),
    (b"authorization", b"Basic ===="),
    (b"authorization", b""),
    (b"cookie", b"\xff=\xff; ;;=="),
    (b"accept", b"\xff" * 1000),
    (b"host", b"[::1"),
    (b"host", b"test:99999999999"),
    (b"host", b"\xff\xff"),
    (b"host", b"a" * 100_000),
    (b"content-length", b"9" * 5000),
    (b"content-length", b"-1"),
    (b"content-length", b"\xb2"),
    (b"content-length", b"0x10"),
    (b"x-request-id", b"\xff" * 1000),
    (b"traceparent", b"\xff"),
    (b"x-forwarded-for", b"\xff, " * 1000),
    (b"range", b"bytes=9-1"),
    (b"if-none-match", b'"\xff'),
    (b"idempotency-key", b"\xff" * 1000),
]

PATHS = [
    "/users/9223372036854775808",
    "/users/-1",
    "/users/0",
    "/users/" + "9" * 5000,
    "/users/\x00",
    "/users/\ufffd",
    "/users/\udcff",
    "/users/1.0",
    "/users/ 1",
    "/users/\u0661",
    "/users/1/items/\x00",
    "//evil.example/",
    "/" * 10_000,
    "/../../etc/passwd",
    "",
]


@pytest.fixture
def app(container: Container) -> FastAPI:
    """The application on a real database, so that what is let through gets that far."""
    return create_app(container)


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("path", ["/users/", "/users/1/items/"])
async def test_no_body_makes_a_500(app: FastAPI, path: str, body: bytes) -> None:
    """A problem that says what is wrong with it, in valid UTF-8."""
    last: Message = {"type": "http.request", "body": body, "more_body": False}
    headers = [HOST, JSON, (b"content-length", str(len(body)).encode())]
    answered = await call(app, "POST", path, headers, receive=parts(then=last))
    assert 400 <= answered.status < 500, answered.body
    assert answered.headers["content-type"] == "application/problem+json"
    assert answered.body.decode()


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("path", ["/users/", "/items/", "/users"])
async def test_no_query_makes_a_500(app: FastAPI, path: str, query: bytes) -> None:
    """Also where the router redirects, which reads it."""
    assert (await call(app, "GET", path, query=query)).status < 500


@pytest.mark.parametrize("header", HEADERS)
async def test_no_header_makes_a_500(app: FastAPI, header: tuple[bytes, bytes]) -> None:
    """Whichever a layer may try to understand, of a request with a body and of one that is redirected."""
    last: Message = {"type": "http.request", "body": b"{}", "more_body": False}
    length = (b"content-length", b"2")
    for method, path in (("GET", "/users/"), ("POST", "/users/"), ("GET", "/users")):
        names = {header[0]: header[1]}
        headers = [*{HOST[0]: HOST[1], JSON[0]: JSON[1], length[0]: length[1], **names}.items()]
        assert (await call(app, method, path, headers, receive=parts(then=last))).status < 500


@pytest.mark.parametrize("path", PATHS, ids=range(len(PATHS)))
async def test_no_path_makes_a_500(app: FastAPI, path: str) -> None:
    """Ids that bigint does not have, characters that nothing has, and paths that lead elsewhere."""
    for method in ("GET", "POST", "PATCH", "DELETE"):
        answered = await call(app, method, path)
        assert 300 <= answered.status < 500, answered.body


class Server(NamedTuple):
    """A real server, and what it has written."""

    port: int
    process: Popen[str]
    output: Path

    def send(self, *sent: bytes, then_leave: bool = False) -> bytes:
        """What the server says until it closes the connection."""
        with closing(socket.create_connection(("127.0.0.1", self.port), timeout=30)) as client:
            for part in sent:
                client.sendall(part)
            if then_leave:
                return b""
            said = b""
            while more := client.recv(65536):
                said += more
            return said


@pytest.fixture(scope="module")
def server(server_dsn: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`poolkeeper serve`, with a second for bodies."""
    folder, port = tmp_path_factory.mktemp("hostile"), free_port()
    variables = {
        "DATABASE_URL": server_dsn,
        "POOLKEEPER_ENV": "test",
        "POOLKEEPER_DATABASE__MIGRATE_ON_START": "false",
        "POOLKEEPER_HTTP__ALLOWED_HOSTS": "test,127.0.0.1",
        "POOLKEEPER_HTTP__BODY_SECONDS": "1",
    }
    with running("poolkeeper", "serve", "--port", str(port), cwd=folder, **variables) as process:
        answer(f"http://127.0.0.1:{port}/health/live", process)
        yield Server(port, process, folder / "output.txt")


POST = b"POST /users/ HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"

RAW = {
    "a length of 5000 digits": POST + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n{",
    "a length that is no number": POST + b"Content-Length: many\r\n\r\n{",
    "a negative length": POST + b"Content-Length: -1\r\n\r\n{",
    "a length larger than allowed": POST + b"Connection: close\r\nContent-Length: 99999999\r\n\r\n{",
    "two lengths": POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "a length and chunks": POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks that are none": POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "a chunk of negative size": POST + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n{}\r\n",
    "a huge chunk": POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 40 + b"\r\n{}",
    "no host": b"GET /users/ HTTP/1.1\r\nConnection: close\r\n\r\n",
    "two hosts": b"GET /users/ HTTP/1.1\r\nHost: test\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
    "another host": b"GET /users/ HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
    "an absurd host": b"GET /users/ HTTP/1.1\r\nHost: [::\xff@:,\r\nConnection: close\r\n\r\n",
    "a raw path": b"GET /users/\xff HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n",
    "a raw query": b"GET /users?a=\xff HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n",
    "a path that is no UTF-8": b"GET /users/%ff%fe%00 HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n",
    "an absolute target": b"GET http://evil.example/nowhere HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n",
    "a target without a path": b"OPTIONS * HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n",
    "a tunnel": b"CONNECT evil.example:443 HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n",
    "an unknown method": b"HACK / HTTP/1.1\r\nHost: test\r\n\r\n",
    "a NUL in a header": b"GET /nowhere HTTP/1.1\r\nHost: test\r\nX-Request-ID: a\x00b\r\nConnection: close\r\n\r\n",
    "a header that goes on": b"GET /nowhere HTTP/1.1\r\nHost: test\r\nA: b\r\n c\r\nConnection: close\r\n\r\n",
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 100 + b"\r\n\r\n",
    "an upgrade": b"GET /nowhere HTTP/1.1\r\nHost: test\r\nConnection: close, upgrade\r\nUpgrade: h2c\r\n\r\n",
}


@pytest.mark.parametrize("request_", RAW.values(), ids=RAW)
def test_no_bytes_make_a_500(server: Server, request_: bytes) -> None:
    """The server refuses them itself, or the application does; the next request is served, and the log has no traceback."""
    said = server.send(request_)
    status = re.match(rb"HTTP/1\.1 (4\d\d) ", said)
    assert status, said[:200]
    assert b"\r\nserver:" not in said.lower()
    assert httpx.get(f"http://127.0.0.1:{server.port}/health/live", timeout=60).status_code == 200
    assert "Traceback" not in server.output.read_text()


@pytest.mark.parametrize(
    "announced",
    [b"Content-Length: 100\r\n\r\n{", b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"],
    ids=["length", "chunks"],
)
def test_a_body_that_stalls_on_the_network_is_a_408(server: Server, announced: bytes) -> None:
    """As a problem; and the connection is closed, for nobody knows where the next request would begin."""
    head, _, body = server.send(POST + announced).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 ")
    assert head.lower().count(b"\r\nconnection: close") == 1
    assert b"did not arrive within 1 seconds" in body


def test_a_client_that_leaves_in_the_middle_of_its_body_is_no_news(server: Server) -> None:
    """Nothing is logged but, perhaps, its request; and nothing waits for it."""
    for _ in range(10):
        server.send(POST + b"Content-Length: 100\r\n\r\n{", then_leave=True)
    assert httpx.get(f"http://127.0.0.1:{server.port}/health/live", timeout=60).status_code == 200
    assert "Traceback" not in server.output.read_text()


def test_a_body_is_not_asked_for_when_it_would_be_refused(server: Server) -> None:
    """`Expect: 100-continue` of a body that is too large gets the 413 instead."""
    said = server.send(POST + b"Connection: close\r\nContent-Length: 99999999\r\nExpect: 100-continue\r\n\r\n")
    assert said.startswith(b"HTTP/1.1 413 ")


def test_pipelined_requests_have_ids_of_their_own(server: Server) -> None:
    """One after the other, on one connection, each with its answer."""
    ask = b"GET /nowhere HTTP/1.1\r\nHost: test\r\n"
    said = server.send(ask + b"X-Request-ID: first\r\n\r\n" + ask + b"\r\n" + ask + b"Connection: close\r\n\r\n")
    ids = re.findall(rb'"request_id":"(\w+)"', said)
    assert len(set(ids)) == 3
    assert ids == re.findall(rb"x-request-id: (\w+)\r\n", said)
    assert ids[0] == b"first"


async def test_a_body_of_a_hundred_thousand_members_is_refused_as_a_whole(app: FastAPI) -> None:
    """Naming each that does not belong would stop the service for more than a second."""
    body = json.dumps(dict.fromkeys(map(str, range(70_000)), 0)).encode()
    headers = [HOST, JSON, (b"content-length", str(len(body)).encode())]
    answer = await call(
        app, "POST", "/users/", headers, receive=parts(then={"type": "http.request", "body": body, "more_body": False})
    )
    assert (answer.status, json.loads(answer.body)["detail"]) == (
        422,
        "body: has more than 100 members, and knows email, password",
    )
