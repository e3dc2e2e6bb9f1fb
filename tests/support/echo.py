"""The service with routes that say what they got, in a process of its own, and a client that writes bytes."""

import json
import socket
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from time import sleep
from typing import Any, NamedTuple

import httpx

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


def rest(client: socket.socket) -> bytes:
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


def variables(server_dsn: str) -> dict[str, str]:
    """The environment of a process that serves from a database."""
    return {"DATABASE_URL": server_dsn, "POOLKEEPER_DATABASE__MIGRATE_ON_START": "false", **SETTINGS}


@contextmanager
def echoing(name: str, server_dsn: str, folder: Path) -> Iterator[Echo]:
    """Serve as the command of that name does."""
    port = free_port()
    (folder / "echo.py").write_text(ECHO)
    command = ("uvicorn", "echo:app", "--app-dir", str(folder), "--port", str(port), *COMMANDS[name])
    with running(*command, cwd=folder, **variables(server_dsn)) as process:
        answer(f"http://127.0.0.1:{port}/health/live", process)
        yield Echo(name, port, folder / "output.txt")
    assert "Traceback" not in (folder / "output.txt").read_text()
