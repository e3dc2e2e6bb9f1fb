"""The application for uvicorn: `uvicorn service.main:app`."""

import errno
import logging
import multiprocessing
import os
import select
import signal
import sys
import termios
import threading

from containers import Container
from service.app import create_app
from service.settings import EXIT_STATUS, ConfigurationError
from service.startup.signals import end_on_hangup

_STOP_ALL_WORKERS = 3
"""The exit status of a worker at which uvicorn stops. At any other status it restarts the worker, without end."""


def _end_all_workers(*_: object) -> None:
    """End with the terminal, together with uvicorn's supervisor, which would restart its workers on SIGHUP."""
    if (supervisor := multiprocessing.parent_process()) is not None and supervisor.is_alive():
        os.kill(supervisor.pid or 0, signal.SIGTERM)
    end_on_hangup()


def _terminal_is_gone() -> bool:
    """Return whether one of the standard streams is a closed terminal."""
    for stream in range(3):
        try:
            termios.tcgetattr(stream)
        except termios.error as error:
            if error.args[0] == errno.EIO:
                return True
    return False


def _follow_terminal() -> None:
    """Send this worker a SIGHUP when its terminal closes.

    The kernel tells only the first process of a terminal, uvicorn's supervisor. That fails on Python 3.14 when it flushes
    its output to the closed terminal, and then waits for its workers without an end.
    """
    terminals = select.poll()
    streams = [stream for stream in range(3) if os.isatty(stream)]
    for stream in streams:
        terminals.register(stream, 0)  # a hangup is always reported

    def wait() -> None:
        if any(event & select.POLLHUP for _, event in terminals.poll()):
            os.kill(os.getpid(), signal.SIGHUP)

    if streams:
        threading.Thread(target=wait, name="terminal", daemon=True).start()


logging.basicConfig(format="%(levelname)s:     %(message)s")  # uvicorn configures its own loggers only
logging.getLogger("service").setLevel(logging.INFO)
if multiprocessing.parent_process() is not None and signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:
    signal.signal(signal.SIGHUP, _end_all_workers)
    if _terminal_is_gone():  # the terminal was closed before the handler was set
        _end_all_workers()
    _follow_terminal()

try:
    container = Container()
    app = create_app(container)
except ConfigurationError as error:
    print(f"Configuration error: {error}", file=sys.stderr)  # noqa: T201 - logging is not fully set up
    sys.exit(EXIT_STATUS if multiprocessing.parent_process() is None else _STOP_ALL_WORKERS)
