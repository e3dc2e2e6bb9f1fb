"""The wheel, as somebody without the checkout gets it."""

import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.support.processes import answer, end, free_port, running

pytestmark = pytest.mark.packaging

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """An empty folder outside the checkout."""
    with TemporaryDirectory(prefix="poolkeeper-wheel-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="module")
def wheel(folder: Path) -> Path:
    """The wheel, built from the checkout."""
    _python(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", str(folder), str(ROOT))
    [built] = folder.glob("*.whl")
    return built


def test_it_holds_the_container_and_the_service_and_nothing_else(wheel: Path) -> None:
    """`containers.py`, the package with its migrations and type markers, and no tests or configuration."""
    names = zipfile.ZipFile(wheel).namelist()
    assert {"containers.py", "service/main.py", "service/py.typed", "service/database/py.typed"} <= set(names)
    assert "service/migrations/versions/0001_users_and_items.py" in names
    assert {f"service/operations/documentation/static/{name}" for name in ("page.html", "page.js")} <= set(names)
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"containers.py", "service"}


def test_it_works_in_an_empty_environment(wheel: Path, folder: Path) -> None:
    """Installed with what it says that it needs, it starts outside the checkout, and answers `/users/` and `/docs`."""
    _python(sys.executable, "-m", "venv", str(folder / "venv"))
    python = folder / "venv/bin/python"
    _python(str(python), "-m", "pip", "install", "--disable-pip-version-check", "--quiet", str(wheel))
    where = _python(
        str(python), "-c", "import containers, service; print(containers.__file__, service.__file__)", cwd=folder
    )
    assert str(ROOT) not in where
    for command in (("uvicorn", "service.main:app"), ("poolkeeper", "serve")):
        port = free_port()
        program = str(folder / "venv/bin" / command[0])
        with running(program, *command[1:], "--port", str(port), cwd=folder) as process:
            assert answer(f"http://127.0.0.1:{port}/users/", process).json() == []
            assert answer(f"http://127.0.0.1:{port}/docs", process).status_code == 200
            end(process)


def _python(*command: str, cwd: Path | None = None) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=600, cwd=cwd).stdout
