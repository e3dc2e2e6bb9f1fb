"""The application for uvicorn: `uvicorn service.main:app`."""

import errno
import logging
import multiprocessing
import os
import signal
import sys
import termios

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


logging.basicConfig(format="%(levelname)s:     %(message)s")  # uvicorn configures its own loggers only
logging.getLogger("service").setLevel(logging.INFO)
if multiprocessing.parent_process() is not None and signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:
    signal.signal(signal.SIGHUP, _end_all_workers)
    if _terminal_is_gone():  # the terminal was closed before the handler was set
        _end_all_workers()

try:
    container = Container()
    app = create_app(container)
except ConfigurationError as error:
    print(f"Configuration error: {error}", file=sys.stderr)  # noqa: T201 - logging is not fully set up
    sys.exit(EXIT_STATUS if multiprocessing.parent_process() is None else _STOP_ALL_WORKERS)
