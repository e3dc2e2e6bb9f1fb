"""The service does what its OpenAPI document says, and nothing else: Schemathesis, with all its phases and checks."""

import os
from collections.abc import Iterator
from pathlib import Path
from subprocess import Popen

import httpx
import pytest

from containers import Container
from service.users.schemas import User
from tests.support.clients import register
from tests.support.processes import answer, free_port, run, running

pytestmark = pytest.mark.conformance

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = int(os.environ.get("CONFORMANCE_EXAMPLES", "10"))
"""How many requests are made up for each operation, beside those at the edges of its schema."""
SEED = int(os.environ.get("CONFORMANCE_SEED", "1"))
CONFIGURATION = f"""
hooks = "tests.conformance.hooks"
seed = {SEED}
continue-on-failure = true
generation = {{ max-examples = {EXAMPLES}, database = "none" }}
phases.stateful.generation.max-examples = {4 * EXAMPLES}
cache.enabled = false
"""
PASSWORD = "known to this test alone"  # with the one of the document's examples, a request might change it
SETTINGS = {
    "POOLKEEPER_ENV": "development",
    "POOLKEEPER_DIAGNOSTICS__SLOW_SECONDS": "0",
    "POOLKEEPER_PASSWORDS__MEMORY_KIB": "64",
    "POOLKEEPER_PASSWORDS__TIME_COST": "1",
}


@pytest.fixture(params=["token", "open"])
def service(request: pytest.FixtureRequest, folder: Path, clone_dsn: str) -> Iterator[str]:
    """Where the service answers, in each mode."""
    port = free_port()
    settings = {**SETTINGS, "DATABASE_URL": clone_dsn, "POOLKEEPER_AUTH__MODE": request.param}
    with running("uvicorn", "service.main:app", "--port", str(port), cwd=folder, **settings) as process:
        url = f"http://127.0.0.1:{port}"
        assert answer(f"{url}/health/ready", process, seconds=120).status_code == 200
        yield url
        _check_log(process, folder / "output.txt")


@pytest.mark.parametrize("caller", ["nobody", "user", "admin"])
async def test_the_service_does_what_its_document_says(
    cloned_container: Container, service: str, folder: Path, caller: str
) -> None:
    """Every operation, with data that fit the document and data that do not, by themselves and one after another."""
    (folder / "schemathesis.toml").write_text(CONFIGURATION)
    await register(cloned_container, "ada@example.com", "correct horse battery staple")  # as the examples have it
    user = await register(cloned_container, "caller@example.com", PASSWORD, is_admin=caller == "admin")
    async with httpx.AsyncClient(base_url=service) as client:
        token = (await client.post("/token", data={"username": user.email, "password": PASSWORD})).json()
        headers = {} if caller == "nobody" else {"Authorization": f"Bearer {token['access_token']}"}
        done = run(*_command(service, headers), cwd=folder, seconds=900, **_variables(user))
        assert done.returncode == 0, done.stdout + done.stderr
        print(done.stdout)
        if headers:  # else nothing was tried after the token had ended
            assert (await client.get("/users/me", headers=headers)).status_code == 200


def _command(service: str, headers: dict[str, str]) -> list[str]:
    options = [f"--header={name}: {value}" for name, value in headers.items()]
    return ["schemathesis", "run", f"{service}/openapi.json", "--checks=all", "--no-color", *options]


def _variables(user: User) -> dict[str, str]:
    return {"CONFORMANCE_USER_ID": str(user.id), "PYTHONPATH": str(ROOT), "COLUMNS": "120"}


def _check_log(process: Popen[str], log: Path) -> None:
    """The service still runs, and nothing went wrong inside."""
    assert process.poll() is None
    assert "Traceback" not in log.read_text()
