"""Every example, run as its first lines say: a process of its own, in a folder of its own, on a real PostgreSQL."""

import asyncio
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from time import monotonic, sleep
from typing import Any

import httpx
import pytest
from dependency_injector import providers

from examples.second_resource import ContainerWithHttp
from service.startup import opened
from tests.support.processes import answer, end, free_port, run, running
from tests.support.sql import fetch

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
THIS_CHECKOUT = {"PYTHONPATH": str(ROOT)}
"""The examples and what they import are of one checkout, wherever the environment was installed from."""

ADA = {"email": "ada@example.com", "password": "correct horse"}


def _run(script: str, *arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return run("python", str(EXAMPLES / script), *arguments, cwd=cwd, seconds=60, **{**THIS_CHECKOUT, **variables})


@contextmanager
def _serving(*command: str, cwd: Path, dsn: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """A program that serves. At the end SIGTERM must stop it, with nothing left to say."""
    variables = {**THIS_CHECKOUT, "POOLKEEPER_ENV": "test", "DATABASE_URL": dsn, **variables}
    with running(*command, cwd=cwd, **variables) as process:
        yield process
        # uvicorn shuts down, and then passes the signal on
        assert end(process, signal.SIGTERM) in {0, -signal.SIGTERM}, (cwd / "output.txt").read_text()
    assert "Traceback" not in (cwd / "output.txt").read_text()


def _fetch(dsn: str, sql: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in asyncio.run(fetch(dsn, sql))]


def test_script_opens_and_closes_a_database_of_its_own(folder: Path) -> None:
    """From an empty folder, as a newcomer runs it; a second run finds the data of the first, and says so with a status."""
    first = _run("script.py", "ada@example.com", cwd=folder)
    assert (first.returncode, first.stdout) == (0, "ada@example.com has A pen, A notebook\n"), first.stderr
    second = _run("script.py", "ada@example.com", cwd=folder)
    assert second.returncode == 1
    assert second.stderr.endswith("EmailTaken: Email already registered\n")
    assert (folder / ".poolkeeper/postgres/PG_VERSION").exists()
    assert not (folder / ".poolkeeper/postgres/postmaster.pid").exists()


def test_job_copies_a_hundred_thousand_rows_and_shows_it(folder: Path, clone_dsn: str) -> None:
    """The bar comes to its end, the rows are there; and a copy that fails leaves neither rows nor the user."""
    job = _run("job.py", "--rows", "100000", cwd=folder, POOLKEEPER_ENV="test", DATABASE_URL=clone_dsn)
    assert job.returncode == 0, job.stderr
    assert "100%" in job.stdout
    assert job.stdout.endswith("COPY 100000 for grace@example.com\n")
    copied = "SELECT owner_id, count(*), count(DISTINCT title), min(title) FROM items GROUP BY owner_id"
    assert _fetch(clone_dsn, copied) == [(1, 100_000, 100_000, "Item 1")]

    _fetch(clone_dsn, "ALTER TABLE items ADD CHECK (title <> 'Item 90000') NOT VALID")
    options = ("--email", "linus@example.com", "--rows", "100000")
    job = _run("job.py", *options, cwd=folder, POOLKEEPER_ENV="test", DATABASE_URL=clone_dsn)
    assert job.returncode == 1
    assert "CheckViolationError" in job.stderr
    assert _fetch(clone_dsn, "SELECT email FROM users") == [("grace@example.com",)]
    assert _fetch(clone_dsn, "SELECT count(*) FROM items") == [(100_000,)]


def test_background_task_works_after_the_response(folder: Path, clone_dsn: str) -> None:
    """The answer does not wait for it, its item is there a moment later, and a pool of one connection is enough."""
    port = free_port()
    command = ("uvicorn", "examples.background_task:app", "--port", str(port))
    of_one = {"POOLKEEPER_DATABASE__MIN_SIZE": "1", "POOLKEEPER_DATABASE__MAX_SIZE": "1"}
    with _serving(*command, cwd=folder, dsn=clone_dsn, **of_one) as process:
        url = f"http://127.0.0.1:{port}"
        answer(f"{url}/health/live", process)
        signed_up = httpx.post(f"{url}/sign-up/", json=ADA, timeout=60)
        assert (signed_up.status_code, signed_up.json()["items"]) == (201, [])
        assert httpx.get(f"{url}/items/", timeout=60).json() == []
        deadline = monotonic() + 60
        while not (items := httpx.get(f"{url}/items/", timeout=60).json()):
            assert monotonic() < deadline
            sleep(0.05)
    assert [item["title"] for item in items] == ["A welcome present"]


def test_tornado_handlers_use_the_same_services(folder: Path, clone_dsn: str) -> None:
    """A user as JSON, and a 404 for none."""
    _fetch(clone_dsn, "INSERT INTO users (email, password_hash) VALUES ('ada@example.com', 'x')")
    port = free_port()
    command = ("python", str(EXAMPLES / "tornado_app.py"), str(port))
    with _serving(*command, cwd=folder, dsn=clone_dsn) as process:
        url = f"http://127.0.0.1:{port}/users"
        user = {"id": 1, "email": "ada@example.com", "is_active": True, "items": []}
        assert answer(f"{url}/1", process).json() == user
        assert httpx.get(f"{url}/2", timeout=60).status_code == 404


def test_def_endpoint_sees_the_scope_in_its_thread(folder: Path, clone_dsn: str) -> None:
    """Worked out in a worker thread; an error of the service is the problem that it is elsewhere."""
    _fetch(clone_dsn, "INSERT INTO users (email, password_hash) VALUES ('ada@example.com', 'x')")
    port = free_port()
    command = ("uvicorn", "examples.def_endpoint:app", "--port", str(port))
    with _serving(*command, cwd=folder, dsn=clone_dsn) as process:
        url = f"http://127.0.0.1:{port}/users"
        badge = answer(f"{url}/1/badge", process).json()
        assert badge == {"email": "ada@example.com", "badge": badge["badge"]}
        assert len(badge["badge"]) == 64
        assert httpx.get(f"{url}/2/badge", timeout=60).json()["detail"] == "User not found"


def test_second_resource_lives_as_long_as_the_container(folder: Path, clone_dsn: str) -> None:
    """The page is fetched over HTTP and saved; with a page that is not there, nothing is."""
    _fetch(clone_dsn, "INSERT INTO users (email, password_hash) VALUES ('ada@example.com', 'x')")
    (folder / "page.html").write_text("x" * 1234)
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        bookmark = partial(_run, "second_resource.py", "1", cwd=folder, POOLKEEPER_ENV="test", DATABASE_URL=clone_dsn)
        with ThreadPoolExecutor() as at_once:
            saved, failed = at_once.map(bookmark, (f"{url}/page.html", f"{url}/other.html"))
        server.shutdown()
    assert saved.stdout == f"Item(id=1, title='{url}/page.html', description='1234 bytes', owner_id=1)\n", saved.stderr
    assert failed.returncode == 1
    assert "404 File not found" in failed.stderr
    assert _fetch(clone_dsn, "SELECT title, description FROM items") == [(f"{url}/page.html", "1234 bytes")]


async def test_the_client_is_open_for_as_long_as_the_container() -> None:
    """It needs no `await` to be had, before or after the start."""
    container = ContainerWithHttp()
    with container.pool.override(providers.Object(None)):
        async with opened(container):
            http = container.http()
            assert isinstance(http, httpx.AsyncClient)
            assert not http.is_closed
        assert http.is_closed


def test_override_is_a_test_that_passes() -> None:
    """As its first lines say."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "examples/test_override.py"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert "1 passed" in result.stdout, result.stdout + result.stderr


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("[!_]*.py")), ids=lambda example: example.stem)
def test_each_has_a_test_and_a_line_in_the_list_and_fits_on_a_page(example: Path) -> None:
    """Somebody who opens it sees it whole."""
    assert f"]({example.name})" in (EXAMPLES / "README.md").read_text()
    assert re.search(rf"\b{example.stem}(\.py\b|:app\b)", Path(__file__).read_text())
    assert len(example.read_text().splitlines()) <= 55
