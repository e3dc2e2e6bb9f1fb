"""Imports and exports of many items through a real process: what they take of its memory."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from time import perf_counter

import httpx
import psutil  # type: ignore[import-untyped]

from tests.support.processes import answer, free_port, running

ITEMS = int(os.environ.get("BULK_ITEMS", "200000"))
"""`BULK_ITEMS=1000000 pytest -s` measures a million."""
_DESCRIPTION = "Blue, nearly new. " * 15
_BATCH = 1000


def test_memory_does_not_grow_with_the_number_of_items(folder: Path) -> None:
    """Bodies of many megabytes, in and out, and refused ones, leave the process's size about as it was."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = ("uvicorn", "service.main:app", "--port", str(port))
    with running(*command, cwd=folder, POOLKEEPER_ENV="test") as process, httpx.Client(timeout=120) as client:
        answer(f"{url}/items/", process)
        ada = client.post(f"{url}/users/", json={"email": "ada@example.com", "password": "correct horse"})
        target = f"{url}/users/{ada.json()['id']}/items/import"
        _import(client, target, 2 * _BATCH)
        _export(client, url)
        body_bytes = len(_body(1, 1)) * ITEMS
        with _growth(process.pid) as grown, _timed("import"):
            assert _import(client, target, ITEMS).json() == {"imported": ITEMS}
        assert max(grown) < body_bytes / 4
        with _growth(process.pid) as grown, _timed("export"):
            assert _export(client, url) > body_bytes
        assert max(grown) < body_bytes / 4
        with _growth(process.pid) as grown:
            bad_lines = client.post(target, content=_mebibytes(b"{}\n"), headers=_JSON_LINES)
            endless_line = client.post(target, content=_mebibytes(b"   "), headers=_JSON_LINES)
        assert (bad_lines.status_code, bad_lines.json()["errors"][-1]["field"]) == (422, "body")
        assert (endless_line.status_code, endless_line.json()["errors"][0]["field"]) == (422, "line 1")
        assert max(grown) < body_bytes / 4
    assert "Traceback" not in (folder / "output.txt").read_text()


_JSON_LINES = {"content-type": "application/x-ndjson"}


def _body(first: int, count: int) -> bytes:
    lines = (
        f'{{"title": "A pen {number:09}", "description": "{_DESCRIPTION}"}}\n' for number in range(first, first + count)
    )
    return "".join(lines).encode()


def _import(client: httpx.Client, target: str, count: int) -> httpx.Response:
    parts = (_body(first, _BATCH) for first in range(0, count, _BATCH))
    return client.post(target, content=parts, headers=_JSON_LINES)


def _export(client: httpx.Client, url: str) -> int:
    with client.stream("GET", f"{url}/items/export") as answered:
        return sum(len(part) for part in answered.iter_bytes())


def _mebibytes(some: bytes) -> Iterator[bytes]:
    return (some * (2**20 // len(some)) for _ in range(60))


@contextmanager
def _timed(what: str) -> Iterator[None]:
    started = perf_counter()
    yield
    print(f"{what} of {ITEMS} items: {perf_counter() - started:.1f} s")


@contextmanager
def _growth(pid: int) -> Iterator[list[int]]:
    """By how many bytes the process grows in the block, seen all the time."""
    process = psutil.Process(pid)
    before = process.memory_info().rss
    seen: list[int] = []
    ended = Event()

    def watch() -> None:
        while not ended.wait(0.02):
            seen.append(process.memory_info().rss - before)

    watcher = Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        ended.set()
        watcher.join()
        seen.append(process.memory_info().rss - before)
        print(f"from {before / 2**20:.0f} MiB it grew by {max(seen) / 2**20:.1f} MiB")
