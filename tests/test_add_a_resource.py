"""The how-to for adding a resource, followed to the letter in a copy of the project."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from service.migrations import HEAD

ROOT = Path(__file__).parents[1]
NUMBERS = re.compile(r'revision = "(\d+)"\ndown_revision = "(\d+)"')


def _how_to() -> str:
    """The page, with the revision that is next now: a new migration of the project need not change the page."""
    page = (ROOT / "docs/add-a-resource.md").read_text()
    found = NUMBERS.search(page)
    assert found is not None
    number = f"{int(HEAD) + 1:04}"
    page = page.replace(f"/{found[1]}_", f"/{number}_")
    return page.replace(found[0], f'revision = "{number}"\ndown_revision = "{HEAD}"')


HOW_TO = _how_to()


@pytest.fixture
def copy() -> Iterator[Path]:
    """A copy of the project."""
    with TemporaryDirectory(prefix="poolkeeper-copy-") as folder:
        for name in ("config", "service", "tests"):
            shutil.copytree(ROOT / name, Path(folder) / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("containers.py", "pyproject.toml"):
            shutil.copy(ROOT / name, folder)
        yield Path(folder)


def test_a_resource_added_by_the_how_to_passes_its_tests_and_the_others(copy: Path) -> None:
    """Its files, two providers, one entry in the tuple of routers, and a body for the test of who may call."""
    for name, code in re.findall(r"^`([\w/]+\.py)`[^\n]*:\n\n```python\n(.*?)```", HOW_TO, re.DOTALL | re.MULTILINE):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_text(code)
    (copy / "tests/notes/__init__.py").touch()
    _add(copy / "containers.py", _snippet("In `containers.py`"),
         "from service.notes.repository import NoteRepository\nfrom service.notes.service import NoteService\n")  # fmt: skip
    _replace(copy / "service/app.py", r"^ROUTERS: .*$", _snippet("In `service/app.py`"))
    _add(copy / "service/app.py", "", "from service.notes.router import router as notes_router\n")
    _replace(copy / "tests/auth/test_access.py", r"^(?=@dataclass)", _snippet("Each route says who may call it"))
    tested = (
        "tests/notes",
        "tests/migrations/test_runner.py",
        "tests/migrations/test_history.py",
        "tests/auth/test_access.py",
        "tests/items/bulk/test_export.py",
        "tests/operations/health",
        "tests/cli/test_commands.py",
        "tests/test_containers.py",
    )
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *tested],
        cwd=copy,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stdout
    assert "tests/notes" not in result.stdout


def _snippet(introduction: str) -> str:
    found = re.search(rf"^{re.escape(introduction)}.*?```python\n(.*?)```", HOW_TO, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


def _add(file: Path, code: str, imports: str) -> None:
    _replace(file, r"^(?=from service\.users)", imports)
    file.write_text(file.read_text() + code)


def _replace(file: Path, pattern: str, by: str) -> None:
    text, count = re.subn(pattern, lambda _: by, file.read_text(), count=1, flags=re.MULTILINE)
    assert count == 1
    file.write_text(text)
