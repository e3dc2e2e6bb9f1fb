"""`docs/add-a-resource.md`, followed to the letter in a copy of the project."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from service.migrations import HEAD
from tests.support.processes import BIN

ROOT = Path(__file__).parents[1]
NUMBERS = re.compile(r'revision = "(\d+)"\ndown_revision = "(\d+)"')
NOT_COPIED = shutil.ignore_patterns("__pycache__", "build", ".[!c]*")
CLOSEST = ("tests/notes", "tests/auth/test_access.py", "tests/migrations/test_history.py", "tests/test_containers.py")


def _how_to() -> str:
    """Return the page with the revision that is next now: a new migration of the project does not change the page."""
    page = (ROOT / "docs/add-a-resource.md").read_text()
    found = NUMBERS.search(page)
    assert found is not None
    number = f"{int(HEAD) + 1:04}"
    page = page.replace(f"/{found[1]}_", f"/{number}_")
    return page.replace(found[0], f'revision = "{number}"\ndown_revision = "{HEAD}"')


HOW_TO = _how_to()


@pytest.fixture(scope="module")
def copy() -> Iterator[Path]:
    """A copy of the project with the resource of the page."""
    with TemporaryDirectory(prefix="poolkeeper-copy-") as name:
        folder = Path(name) / "project"
        shutil.copytree(ROOT, folder, ignore=NOT_COPIED)
        folder.parent.chmod(0o755)
        for file, code in re.findall(r"^`([\w/]+\.py)`:\n\n```python\n(.*?)```", HOW_TO, re.DOTALL | re.MULTILINE):
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_text(code)
        (folder / "tests/notes/__init__.py").touch()
        imports, providers = _snippets("The container")
        _insert(folder / "containers.py", r"(?=^# new feature: its imports)", imports)
        _insert(folder / "containers.py", r"(?=^    # new feature: its section)", providers + "\n")
        (router,) = _snippets("The application")
        (entry,) = re.findall(r"add `(\w+,)` to the tuple `ROUTERS`", HOW_TO)
        _insert(folder / "service/app.py", r"(?=^from service\.users\.router)", router)
        _insert(folder / "service/app.py", r"(?<=^ROUTERS: tuple\[APIRouter, \.\.\.\] = \()", entry)
        for command in ("check --fix .", "format ."):
            _run(folder, BIN / "ruff", *command.split())
        yield folder


def test_a_resource_added_by_the_how_to_passes_the_tests_closest_to_it(copy: Path) -> None:
    """Its own tests, and those that look at every route, provider and revision."""
    _run(copy, sys.executable, "-m", "pytest", "-q", *CLOSEST)


@pytest.mark.how_to
def test_a_resource_added_by_the_how_to_passes_every_check(copy: Path) -> None:
    """Formatting, lint, types, import contracts, documents and annotations."""
    _run(copy, "make", "-o", ".venv/development.stamp", "check", f"BIN={BIN}")


@pytest.mark.how_to
@pytest.mark.parametrize("alone", [False, True], ids=["together", "alone"])
def test_a_resource_added_by_the_how_to_passes_the_suite(copy: Path, alone: bool) -> None:
    """All tests of `make test`, in the same two groups."""
    makefile = (ROOT / "Makefile").read_text()
    in_the_suite = re.findall(r"^IN_THE_SUITE := (.*)$", makefile, re.MULTILINE)[0]
    group = ["-m", f"alone and {in_the_suite}"] if alone else ["-n", "auto", "-m", f"not alone and {in_the_suite}"]
    options = ["-q", "--tb=native", "--deselect=tests/test_add_a_resource.py"]
    _run(copy, sys.executable, "-m", "pytest", *options, *group)


def _snippets(section: str) -> list[str]:
    found = re.search(rf"^## {section}\n(.*?)^## ", HOW_TO, re.DOTALL | re.MULTILINE)
    assert found is not None
    return re.findall(r"```python\n(.*?)```", found[1], re.DOTALL)


def _insert(file: Path, mark: str, code: str) -> None:
    """Put code at a mark."""
    text, count = re.subn(mark, lambda _: code, file.read_text(), count=1, flags=re.MULTILINE)
    assert count == 1
    file.write_text(text)


def _run(folder: Path, *command: str | Path) -> None:
    """Run a command in the copy, on the copy's modules. It must succeed."""
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    result = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=3600, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
