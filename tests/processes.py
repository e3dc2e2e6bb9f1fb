"""Real processes of the service, for tests: started in a folder of their own, and ended whatever happens."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

import httpx

BIN = Path(sys.executable).parent


def free_port() -> int:
    """A port that nobody listens at now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def run(*command: str, cwd: Path, seconds: float = 60, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the project to its end."""
    return subprocess.run(
        [BIN / command[0], *command[1:]], cwd=cwd, env=_environment(variables), capture_output=True, text=True,
        timeout=seconds, check=False,
    )  # fmt: skip


@contextmanager
def running(*command: str, cwd: Path, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """A command of the project in the background, with its output in `output.txt` in its folder."""
    with (cwd / "output.txt").open("w") as output:
        process = subprocess.Popen(
            [BIN / command[0], *command[1:]], cwd=cwd, env=_environment(variables), stdout=output, stderr=subprocess.STDOUT,
            text=True, start_new_session=True,
        )  # fmt: skip
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait(5)


def answer(url: str, process: subprocess.Popen[str], seconds: float = 30) -> httpx.Response:
    """The first answer of a service that is starting."""
    deadline = monotonic() + seconds
    while True:
        try:
            return httpx.get(url, timeout=5)
        except httpx.TransportError:
            assert process.poll() is None, "the service ended instead of answering"
            assert monotonic() < deadline, "the service did not answer in time"
            sleep(0.05)


def end(process: subprocess.Popen[str], sent: signal.Signals = signal.SIGINT, seconds: float = 20) -> int:
    """Ask a process to end, and wait until it has. Gives its status."""
    process.send_signal(sent)
    return process.wait(seconds)


def _environment(variables: dict[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("POOLKEEPER_")}
    kept.pop("DATABASE_URL", None)
    return {**kept, **variables}
