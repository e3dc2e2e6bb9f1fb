"""Stopping under load: readiness first, `Connection: close`, then the end; and what is cut off is named."""

import asyncio
import http.client
import re
import signal
import socket
import threading
from contextlib import ExitStack
from pathlib import Path
from time import monotonic, sleep

import asyncpg
import httpx
import pytest

from service.web.drain import Drain
from service.web.settings import HttpSettings
from tests.support.processes import answer, end, free_port, running, until_said

RESTARTS = 20


class Client(threading.Thread):
    """Asks for `/users/` on a kept connection again and again, and reconnects when it is told to."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.port = port
        self.answers = 0
        self.failures: list[str] = []
        self.stopping = threading.Event()

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        while not self.stopping.is_set():
            try:
                connection.request("GET", "/users/")
                response = connection.getresponse()
                response.read()
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                connection.close()
                continue
            self.answers += 1
            if response.status != 200:
                self.failures.append(str(response.status))
            if response.getheader("Connection") == "close":
                connection.close()
            self.stopping.wait(0.002)  # leaves a processor to the service
        connection.close()


async def test_where_no_handler_can_be_set_nothing_is_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a thread, and where nobody waits for SIGTERM: the process ends by it, as it would."""

    def in_thread() -> bool:
        with Drain(HttpSettings(drain_seconds=1)).on_sigterm():
            return True

    assert await asyncio.to_thread(in_thread)
    monkeypatch.setattr(signal, "getsignal", lambda _: signal.SIG_DFL)
    monkeypatch.setattr(signal, "signal", None)
    with Drain(HttpSettings(drain_seconds=1)).on_sigterm():
        pass


def test_sigterm_drains_first(folder: Path) -> None:
    """Kept connections are answered and told to close, readiness says 503 with the reason, and then the process ends."""
    port = free_port()
    command = ("uvicorn", "service.main:app", "--port", str(port))
    with running(*command, cwd=folder, POOLKEEPER_HTTP__DRAIN_SECONDS="15") as process:
        answer(f"http://127.0.0.1:{port}/users/", process)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as kept:
            assert "close" not in kept.get("/users/").headers.get("connection", "")
            process.send_signal(signal.SIGTERM)
            until_said("draining for", folder, process)
            last = kept.get("/users/")
            assert (last.status_code, last.headers["connection"]) == (200, "close")
        ready = httpx.get(f"http://127.0.0.1:{port}/health/ready", timeout=60)
        assert ready.status_code == 503
        assert "draining" in ready.json()["detail"]
        assert httpx.get(f"http://127.0.0.1:{port}/health/live", timeout=60).status_code == 200
        process.wait(60)
    assert "Traceback" not in (folder / "output.txt").read_text()


def test_a_second_sigterm_ends_the_drain(folder: Path) -> None:
    """Whoever is in a hurry does not wait."""
    port = free_port()
    with running(
        "uvicorn", "service.main:app", "--port", str(port), cwd=folder, POOLKEEPER_HTTP__DRAIN_SECONDS="60"
    ) as process:
        answer(f"http://127.0.0.1:{port}/users/", process)
        process.send_signal(signal.SIGTERM)
        until_said("draining for", folder, process)
        end(process, signal.SIGTERM, seconds=30)


@pytest.mark.alone
def test_twenty_restarts_under_load_without_one_failed_request(folder: Path) -> None:
    """Each worker gets SIGTERM while clients keep their connections busy; SIGHUP replaces both, one after the other."""
    port = free_port()
    command = (
        "uvicorn",
        "service.main:app",
        "--workers",
        "2",
        "--port",
        str(port),
        "--no-access-log",
        "--timeout-worker-healthcheck",
        "60",
    )
    with running(*command, cwd=folder, POOLKEEPER_HTTP__DRAIN_SECONDS="0.3") as process:
        answer(f"http://127.0.0.1:{port}/users/", process)
        clients = [Client(port) for _ in range(4)]
        for client in clients:
            client.start()
        for restart in range(1, RESTARTS + 1):
            process.send_signal(signal.SIGHUP)
            deadline = monotonic() + 60
            while (folder / "output.txt").read_text().count("Finished server process") < 2 * restart:
                assert monotonic() < deadline, "a restart did not end in time"
                assert process.poll() is None
                sleep(0.05)
        for client in clients:
            client.stopping.set()
        for client in clients:
            client.join(60)
        assert [client.failures for client in clients] == [[]] * 4
        assert sum(client.answers for client in clients) > RESTARTS * 100


def test_what_runs_past_the_limit_is_cancelled_and_named(folder: Path) -> None:
    """A request that does not end is cut off after the server's limit, and the log says which."""
    port = free_port()
    command = ("uvicorn", "service.main:app", "--port", str(port), "--timeout-graceful-shutdown", "1")
    variables = {"POOLKEEPER_HTTP__DRAIN_SECONDS": "0.1", "POOLKEEPER_DIAGNOSTICS__ENABLED": "true"}
    with running(*command, cwd=folder, **variables) as process:
        answer(f"http://127.0.0.1:{port}/users/", process)
        with socket.create_connection(("127.0.0.1", port)) as slow:
            slow.sendall(b"GET /slowusers/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            answer(f"http://127.0.0.1:{port}/users/", process)  # the one before has been read by then
            end(process, signal.SIGTERM)
    assert re.search(r"GET /slowusers/ \[\w{32}\] was cancelled", (folder / "output.txt").read_text())


IDLE = {
    "one that was answered": b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "one that has said nothing": b"",
    "half a head": b"GET /health/live HTTP/1.1\r\nHost:",
    "one that was refused": b"garbage\r\n\r\n",
}


@pytest.mark.parametrize("protocol", ["auto", "h11"])
def test_idle_connections_do_not_hold_up_the_end(folder: Path, protocol: str) -> None:
    """They may be idle for long; when the server stops they are closed."""
    port = free_port()
    command = ("uvicorn", "service.main:app", "--port", str(port), "--http", protocol)
    with running(*command, cwd=folder, POOLKEEPER_HTTP__DRAIN_SECONDS="0.1") as process, ExitStack() as stack:
        answer(f"http://127.0.0.1:{port}/users/", process)
        clients = [stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20)) for _ in IDLE]
        for client, sent in zip(clients, IDLE.values(), strict=True):
            client.sendall(sent)
        assert clients[0].recv(65536).startswith(b"HTTP/1.1 200 ")
        assert clients[3].recv(65536).startswith(b"HTTP/1.1 400 ")
        started = monotonic()
        end(process, signal.SIGTERM, seconds=15)
        assert monotonic() - started < 10  # the limit of `keep_alive_seconds` is 75
        for client in clients:
            while client.recv(65536):
                pass
    assert "Traceback" not in (folder / "output.txt").read_text()


HOLDING = """
import asyncio
from service.main import app
from service.database import ScopedConnection
from service.injection import Provide, inject

@inject
async def hold(connection: ScopedConnection = Provide["connection"]) -> None:
    async with connection.transaction():
        await connection.execute("INSERT INTO users (email, password_hash) VALUES ('a@b.c', 'x')")
        await asyncio.sleep(60)

app.add_api_route("/hold", hold)
import sys
from service.main import container
container.wire(modules=[sys.modules[__name__]])
"""


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
async def test_what_is_cut_off_in_a_transaction_is_rolled_back(
    folder: Path, clone_dsn: str, sent: signal.Signals
) -> None:
    """SIGINT twice ends the server at once, SIGTERM after its limit: no transaction stays open, and no row is there."""
    (folder / "holding.py").write_text(HOLDING)
    port = free_port()
    observer = await asyncpg.connect(clone_dsn)
    open_transactions = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'"
    )
    command = ("uvicorn", "holding:app", "--app-dir", str(folder), "--port", str(port),
               "--timeout-graceful-shutdown", "1")  # fmt: skip
    variables = {"DATABASE_URL": clone_dsn, "POOLKEEPER_HTTP__DRAIN_SECONDS": "0.1"}
    with running(*command, cwd=folder, **variables) as process:
        answer(f"http://127.0.0.1:{port}/users/", process)
        holder = threading.Thread(target=_ignore_failure, args=(f"http://127.0.0.1:{port}/hold",))
        holder.start()
        async with asyncio.timeout(60):
            while await observer.fetchval(open_transactions) != 1:
                await asyncio.sleep(0.02)
        if sent == signal.SIGINT:
            process.send_signal(sent)
            await asyncio.to_thread(until_said, "CTRL+C to force quit", folder, process)
        await asyncio.to_thread(end, process, sent)
        async with asyncio.timeout(60):
            while await observer.fetchval(open_transactions):
                await asyncio.sleep(0.02)
        holder.join(60)
    assert await observer.fetchval("SELECT count(*) FROM users") == 0
    await observer.close()
    if sent == signal.SIGTERM:
        assert re.search(r"GET /hold \[\w{32}\] was cancelled", (folder / "output.txt").read_text())


def _ignore_failure(url: str) -> None:
    try:
        httpx.get(url, timeout=15)
    except httpx.TransportError:
        return
