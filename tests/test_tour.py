"""The console blocks of the documents, typed in an empty folder: the commands print what the pages show."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.documents import ROOT, lines
from tests.support.processes import BIN, answer, end, environment, free_port, running

VARYING = {
    r"\n\.\.\.": r"(\n.*)*",
    r"eyJ\.\.\.": r"[\w.-]+",
    r"[0-9a-f]{32}": r"[0-9a-f]{32}",
    r"\d\.\d{6} s": r"\d+\.\d{6} s",
}
"""What differs from one run to the next as the page has it, and what may stand there."""


def _pattern(shown: str) -> str:
    """Matches what the page shows, with other times, tokens and ids."""
    parts = re.split(f"({'|'.join(VARYING)})", shown)
    found = [next(by for varies, by in VARYING.items() if re.fullmatch(varies, part)) for part in parts[1::2]]
    return "".join(re.escape(text) + by for text, by in zip(parts[::2], [*found, ""], strict=True))


def _steps(page: Path) -> Iterator[tuple[int, str, str]]:
    """Each command with its line's number, and the output that the page shows."""
    number, command, shown = 0, "", list[str]()
    for line, language, text in lines(page):
        if language == "console" and text.startswith("$ "):
            if command:
                yield number, command, "\n".join(shown)
            number, command, shown = line, text.removeprefix("$ "), []
        elif language == "console":
            shown.append(text)
    if command:
        yield number, command, "\n".join(shown)


PAGES = [page for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))) if any(_steps(page))]


class Typist:
    """A terminal in an empty folder, and the service in another, at a port of its own."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self._port = free_port()
        self._token = ""
        self._service: subprocess.Popen[str] | None = None
        (folder / ".venv").mkdir()
        (folder / ".venv/bin").symlink_to(BIN)

    def types(self, command: str) -> str:
        """What a command prints. `make run` goes to the other terminal."""
        if command.endswith("make run"):
            self._runs(**dict(word.split("=", 1) for word in command.split()[:-2]))
            return ""
        command = command.replace("127.0.0.1:8000", f"127.0.0.1:{self._port}").replace("eyJ...", self._token)
        ended = subprocess.run(
            ["bash", "-c", command],
            cwd=self._folder,
            env=environment({}),
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        if token := re.search(r'"access_token":"([^"]+)"', ended.stdout):
            self._token = token[1]
        return ended.stdout.strip()

    def _runs(self, **variables: str) -> None:
        if self._service is not None:
            end(self._service)
        command = ("poolkeeper", "serve", "--port", str(self._port))
        self._service = self._stack.enter_context(running(*command, cwd=self._folder, **variables))
        answer(f"http://127.0.0.1:{self._port}/health/live", self._service)


@pytest.mark.skipif(shutil.which("curl") is None, reason="the pages are typed with curl, which is not installed")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_shows_what_its_commands_print(page: Path, folder: Path) -> None:
    """Every console block of the page, in its order, after `make run`."""
    with ExitStack() as stack:
        typist = Typist(folder, stack)
        typist.types("make run")
        for number, command, shown in _steps(page):
            said = typist.types(command)
            assert re.fullmatch(_pattern(shown), said), (
                f"{page.name}:{number}: {command}\nshows:  {shown}\nprints: {said}"
            )


def test_the_tour_has_the_pages_that_a_newcomer_types() -> None:
    """A page whose blocks are no longer found would pass without being typed."""
    assert {"tutorial.md", "access.md", "configuration.md"} <= {page.name for page in PAGES}
