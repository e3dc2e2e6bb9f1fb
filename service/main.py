"""What uvicorn runs: `uvicorn service.main:app`."""

import logging
import multiprocessing
import sys

from containers import Container
from service.app import create_app
from service.configuration import EXIT_STATUS, ConfigurationError

_STOP_ALL_WORKERS = 3
"""With this status of a worker uvicorn stops; with any other it starts the worker again, for ever."""

logging.basicConfig(format="%(levelname)s:     %(message)s")  # uvicorn sets up its own loggers only
logging.getLogger("service").setLevel(logging.INFO)

try:
    container = Container()
    app = create_app(container)
except ConfigurationError as error:
    print(f"Configuration error: {error}", file=sys.stderr)  # noqa: T201 - nothing is set up that could log
    sys.exit(EXIT_STATUS if multiprocessing.parent_process() is None else _STOP_ALL_WORKERS)
