"""Runs contenders as processes: uvicorn with one worker, pinned to a processor."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from tempfile import TemporaryFile
from time import monotonic, sleep
from typing import IO
from urllib.parse import urlencode

import psutil  # type: ignore[import-untyped]

from benchmarks.harness.contender import POOL, Contender
from benchmarks.harness.load import CONNECTIONS, NoLoad, Sample, wrk
from benchmarks.harness.machine import Processors, pin, pinned
from benchmarks.harness.records import NEW, body, record

START = 120.0
"""Seconds that a contender may take to its first response, while the others start too."""
UVICORN = ("--loop", "uvloop", "--no-access-log", "--log-level", "warning", "--backlog", "4096")

_PASSWORD = "correct horse battery staple"  # noqa: S105 - of a database that is deleted after the run
_OF_A_ROW = re.compile(rb'"id":\d+|"created_at":"[^"]+"')


class WrongAnswer(Exception):
    """A contender does not send the response that all others send."""


class Running:
    """A contender that accepts requests."""

    def __init__(self, contender: Contender, port: int, process: subprocess.Popen[bytes], said: IO[bytes]) -> None:
        self.contender = contender
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.token = ""
        self._process = process
        self._said = said

    @property
    def process(self) -> int:
        """The id of its process, or of the parent of several workers."""
        return self._process.pid

    def ask(self, method: str, path: str, sent: bytes | None = None) -> tuple[int, bytes]:
        """Send one request and return the status and the body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            headers = {"Content-Type": "application/json"}
            if self.token:
                headers["Authorization"] = f"Bearer {self.token}"
            connection.request(method, path, sent, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def await_start(self) -> None:
        """Wait for its first response. Raise `NoLoad` if it does not start."""
        deadline = monotonic() + START
        while True:
            try:
                self.ask("GET", "/records/1")
            except OSError:
                if self._process.poll() is not None or monotonic() > deadline:
                    self._said.seek(0)
                    said = self._said.read().decode().strip()
                    raise NoLoad(f"{said}\n{self.contender.title} does not start; its output is above") from None
                sleep(0.05)
            else:
                return

    def sign_in(self) -> None:
        """Register a user, unless it exists, and get a token for it."""
        self.ask("POST", "/users/", body({"email": "ada@example.com", "password": _PASSWORD}))
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        form = urlencode({"username": "ada@example.com", "password": _PASSWORD})
        connection.request("POST", "/token", form, {"Content-Type": "application/x-www-form-urlencoded"})
        self.token = json.loads(connection.getresponse().read())["access_token"]
        connection.close()

    def sample(self, request: str, seconds: int, connections: int = CONNECTIONS) -> Sample:
        """Put it under load for some seconds."""
        before = self._processor_time()
        sample = wrk(self.url, request, seconds=seconds, connections=connections, token=self.token)
        used = self._processor_time() - before
        return replace(sample, processor=1e6 * used / (sample.rate * seconds) if sample.rate else 0.0)

    def _processor_time(self) -> float:
        times = psutil.Process(self._process.pid).cpu_times()
        return float(times.user + times.system)

    def pin(self, processors: set[int]) -> None:
        """Pin it to these processors."""
        pin(self._process.pid, processors)

    def check(self) -> None:
        """Raise `WrongAnswer` unless each body equals the expected one. The id and time of a new row may differ."""
        self._expect("GET", "/records/7", body(record(7)))
        self._expect("GET", "/records/?limit=100", body([record(number) for number in range(1, 101)]))
        if self.contender.name != "no_database":
            three = {"previous": record(6), "record": record(7), "next": record(8)}
            self._expect("GET", "/records/7/neighbours", body(three))
        self._expect("POST", "/records/", body({"id": 0, **NEW, "created_at": "now"}))

    def _expect(self, method: str, path: str, expected: bytes) -> None:
        status, answer = self.ask(method, path, body(NEW) if method == "POST" else None)
        if method == "POST":
            expected, answer = _OF_A_ROW.sub(b"", expected), _OF_A_ROW.sub(b"", answer)
        if (status, answer) != (201 if method == "POST" else 200, expected):
            raise WrongAnswer(
                f"{self.contender.title}: {method} {path}: {status} {answer[:300]!r}, not {expected[:300]!r}"
            )

    @contextmanager
    def sleepers(self, count: int) -> Iterator[None]:
        """Keep `count` sleeping requests open until the end of the block."""
        authorization = f"Authorization: Bearer {self.token}\r\n" if self.token else ""
        request = f"GET /records/7/slow/600.0 HTTP/1.1\r\nHost: sleeper\r\n{authorization}\r\n".encode()
        with ExitStack() as clients:
            for _ in range(count):
                client = clients.enter_context(socket.create_connection(("127.0.0.1", self.port)))
                client.sendall(request)
            sleep(0.5)  # until they sleep or wait for a connection: from outside, both look the same
            yield


@contextmanager
def running(
    contenders: Sequence[Contender], dsn: str, processors: Processors, pool: int = POOL
) -> Iterator[dict[str, Running]]:
    """Start contenders together on all processors, return them by name, and kill them at the end of the block."""
    with ExitStack() as stack:
        with pinned(processors.all):
            started = [stack.enter_context(_process(contender, dsn, pool)) for contender in contenders]
        for each in started:
            each.await_start()
            if each.contender.signs_in:
                each.sign_in()
        for each in started:
            each.pin(processors.contender)
        yield {each.contender.name: each for each in started}


@contextmanager
def _process(contender: Contender, dsn: str, pool: int) -> Iterator[Running]:
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", contender.app, "--port", str(port), "--http", contender.http, *UVICORN]
    environment = _environment(contender.variables, dsn, pool)
    with (
        TemporaryFile() as said,  # some print a lot under overload
        subprocess.Popen(command, env=environment, stdout=said, stderr=said, start_new_session=True) as process,
    ):
        try:
            yield Running(contender, port, process, said)
        finally:
            with suppress(ProcessLookupError):  # it has already ended
                os.killpg(process.pid, signal.SIGKILL)  # with its workers; some would wait for the sleeping requests


def _environment(variables: Mapping[str, str], dsn: str, pool: int) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("POOLKEEPER_")}
    sized = {name: value if not name.endswith("_SIZE") else str(pool) for name, value in variables.items()}
    return {**kept, **sized, "DATABASE_URL": dsn, "POOL_SIZE": str(pool), "PYTHONHASHSEED": "0"}


def free_port() -> int:
    """Return a port that no process listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
