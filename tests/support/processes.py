"""Real processes of the service, for tests: started in a folder of their own, and ended whatever happens."""

import os
import pty
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import httpx
import psutil  # type: ignore[import-untyped]

BIN = Path(sys.executable).parent
_TAKE_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)


def free_port() -> int:
    """A port that nobody listens at now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def run(*command: str, cwd: Path, seconds: float = 60, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the project to its end."""
    return subprocess.run(
        [BIN / command[0], *command[1:]], cwd=cwd, env=environment(variables), capture_output=True, text=True,
        timeout=seconds, check=False,
    )  # fmt: skip


@contextmanager
def running(*command: str, cwd: Path, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """A command of the project in the background, with its output in `output.txt` in its folder."""
    with (cwd / "output.txt").open("w") as output:
        process = subprocess.Popen(
            [BIN / command[0], *command[1:]], cwd=cwd, env=environment(variables), stdout=output, stderr=subprocess.STDOUT,
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


@contextmanager
def in_a_terminal(
    *command: str, cwd: Path, **variables: str
) -> Iterator[tuple[subprocess.Popen[bytes], Callable[[], None]]]:
    """A command in a terminal of its own, and what closes that terminal. Whatever is left at the end is killed."""
    screen, terminal = pty.openpty()
    closing = threading.Event()

    def read_screen() -> None:
        while not closing.is_set():
            if select.select([screen], [], [], 0.05)[0]:
                os.read(screen, 65536)

    reader = threading.Thread(target=read_screen)

    def close() -> None:
        closing.set()
        reader.join()
        os.close(screen)

    process = subprocess.Popen(
        [sys.executable, "-c", _TAKE_TERMINAL, BIN / command[0], *command[1:]], cwd=cwd, env=environment(variables),
        stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True,
    )  # fmt: skip
    os.close(terminal)
    reader.start()
    try:
        yield process, close
    finally:
        if not closing.is_set():
            close()
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(5)


def wait_for_group(process: subprocess.Popen[bytes], seconds: float = 60) -> None:
    """Wait until a process that leads a group has ended, and all of its group."""
    process.wait(seconds)
    deadline = monotonic() + seconds
    while _runs(process.pid):
        assert monotonic() < deadline, "some process of the group runs on"
        sleep(0.05)


def _runs(group: int) -> bool:
    """Whether a process of the group runs. One that has ended may stay listed: in a container, process 1 may reap none."""
    for process in psutil.process_iter(["status"]):
        with suppress(ProcessLookupError):
            if os.getpgid(process.pid) == group and process.info["status"] != psutil.STATUS_ZOMBIE:
                return True
    return False


def answer(url: str, process: subprocess.Popen[Any], seconds: float = 30) -> httpx.Response:
    """The first answer of a service that is starting."""
    deadline = monotonic() + seconds
    while True:
        try:
            return httpx.get(url, timeout=5)
        except httpx.TransportError:
            assert process.poll() is None, "the service ended instead of answering"
            assert monotonic() < deadline, "the service did not answer in time"
            sleep(0.05)


def until_said(words: str, cwd: Path, process: subprocess.Popen[str], seconds: float = 60) -> str:
    """What a process in the background has said, once these words are among it."""
    deadline = monotonic() + seconds
    while words not in (said := (cwd / "output.txt").read_text()):
        assert process.poll() is None, f"the process ended without saying {words!r}: {said}"
        assert monotonic() < deadline, f"nothing about {words!r}: {said}"
        sleep(0.05)
    return said


def end(process: subprocess.Popen[str], sent: signal.Signals = signal.SIGINT, seconds: float = 60) -> int:
    """Ask a process to end, and wait until it has. Gives its status."""
    process.send_signal(sent)
    return process.wait(seconds)


def environment(variables: dict[str, str]) -> dict[str, str]:
    """The variables of a process of the project: what configures the tests is left out."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("POOLKEEPER_")}
    kept.pop("DATABASE_URL", None)
    return {**kept, **variables}
