"""What uvicorn runs: `uvicorn service.main:app`."""

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
"""With this status of a worker uvicorn stops; with any other it starts the worker again, for ever."""


def _end_all_workers(*_: object) -> None:
    """End with the terminal. uvicorn's supervisor, which takes its hangup for a wish to have new workers, ends as well."""
    if (supervisor := multiprocessing.parent_process()) is not None and supervisor.is_alive():
        os.kill(supervisor.pid or 0, signal.SIGTERM)
    end_on_hangup()


def _terminal_is_gone() -> bool:
    """Whether one of the standard streams is a terminal that was closed."""
    for stream in range(3):
        try:
            termios.tcgetattr(stream)
        except termios.error as error:
            if error.args[0] == errno.EIO:
                return True
    return False


logging.basicConfig(format="%(levelname)s:     %(message)s")  # uvicorn sets up its own loggers only
logging.getLogger("service").setLevel(logging.INFO)
if multiprocessing.parent_process() is not None and signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:
    signal.signal(signal.SIGHUP, _end_all_workers)
    if _terminal_is_gone():  # the supervisor alone was told
        _end_all_workers()

try:
    container = Container()
    app = create_app(container)
except ConfigurationError as error:
    print(f"Configuration error: {error}", file=sys.stderr)  # noqa: T201 - nothing is set up that could log
    sys.exit(EXIT_STATUS if multiprocessing.parent_process() is None else _STOP_ALL_WORKERS)
