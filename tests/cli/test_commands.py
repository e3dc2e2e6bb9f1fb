"""The command line, in this process and as a process."""

import asyncio
import io
import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner

from containers import Container
from service.cli import commands
from service.cli.graph import mermaid
from service.migrations import HEAD
from tests.support.processes import free_port
from tests.support.sql import fetch, fetchval

DSN_WITH_SECRET = "postgresql://app:hunter2@db.example/app"


def _invoke(*arguments: str) -> str:
    result = CliRunner().invoke(commands.app, arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_config_prints_every_value_and_its_source(monkeypatch: pytest.MonkeyPatch) -> None:
    """With secrets masked."""
    monkeypatch.setenv("DATABASE_URL", DSN_WITH_SECRET)
    lines = _invoke("config").splitlines()
    assert "environment = test    # POOLKEEPER_ENV" in lines
    assert "database.dsn = **********    # environment variable DATABASE_URL" in lines
    assert "database.migrate_on_start = True    # config/test.toml" in lines
    assert "database.max_size = 10    # default" in lines
    assert "hunter2" not in "\n".join(lines)


def test_graph_prints_the_containers_graph() -> None:
    """As the container has it now."""
    assert _invoke("graph") == mermaid(Container()) + "\n"


def test_migrate_goes_up_and_down_and_says_so(empty_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call says from where to where; `status` fails while the schema is behind."""
    monkeypatch.setenv("DATABASE_URL", empty_dsn)
    behind = CliRunner().invoke(commands.app, ["migrate", "status"])
    assert (behind.exit_code, behind.output) == (1, f"schema: base, code: {HEAD}\n")
    assert _invoke("migrate") == f"from base to {HEAD}\n"
    assert _invoke("migrate") == f"already at {HEAD}\n"
    assert _invoke("migrate", "status") == f"schema: {HEAD}, code: {HEAD}\n"
    assert _invoke("migrate", "--to", "base") == f"from {HEAD} to base\n"
    assert _invoke("migrate", "--to", "0001") == "from base to 0001\n"


def test_migrate_sql_prints_and_touches_nothing(empty_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It needs no database at all."""
    monkeypatch.setenv("DATABASE_URL", DSN_WITH_SECRET)
    sql = _invoke("migrate", "--sql")
    assert "CREATE TABLE users" in sql
    assert "INSERT INTO alembic_version" in sql


@pytest.mark.parametrize(
    ("variables", "arguments", "status", "message"),
    [
        ({"POOLKEEPER_ENV": "production"}, ["config"], 78, "Configuration error: config/production.toml"),
        ({"DATABASE_URL": "mysql://x"}, ["migrate"], 78, "Configuration error: database.dsn"),
        ({"DATABASE_URL": "postgresql://u@127.0.0.1:1/d"}, ["migrate"], 1, "cannot connect to PostgreSQL"),
        ({"DATABASE_URL": "postgresql://u@127.0.0.1:1/d"}, ["migrate", "status"], 1, "cannot connect to PostgreSQL"),
    ],
)
def test_known_failures_are_one_message_and_a_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path,
    variables: dict[str, str], arguments: list[str], status: int, message: str,
) -> None:  # fmt: skip
    """No traceback: 78 for the configuration, 1 for the rest."""
    if variables.get("POOLKEEPER_ENV") == "production":
        (tmp_path / "config").mkdir()
        monkeypatch.chdir(tmp_path)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.argv", ["poolkeeper", *arguments])
    with pytest.raises(SystemExit) as caught:
        commands.main()
    assert caught.value.code == status
    output = capsys.readouterr().err
    assert output.startswith(message), output
    assert len(output.splitlines()) == 1


def test_user_create_makes_the_first_admin(clone_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the password that is piped in; a second time, or with bad input, it is one message and status 1."""
    monkeypatch.setenv("DATABASE_URL", clone_dsn)

    def create(email: str, password: str, *options: str) -> tuple[int, str]:
        result = CliRunner().invoke(commands.app, ["user", "create", email, *options], input=f"{password}\n")
        return result.exit_code, result.output

    assert create("ada@example.com", "correct horse", "--admin") == (0, "ada@example.com is user 1, an admin\n")
    assert create("bob@example.com", "correct horse") == (0, "bob@example.com is user 2\n")
    assert create("Ada@example.com", "correct horse") == (1, "Email already registered\n")
    status, said = create("ada", "")
    assert (status, said[:6]) == (1, "email:")
    assert "password: " in said

    admins = asyncio.run(fetch(clone_dsn, "SELECT email FROM users WHERE is_admin"))
    assert [row["email"] for row in admins] == ["ada@example.com"]


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_password_that_is_piped_in_ends_before_the_end_of_its_line(monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    """However the line ends: who signs in types no carriage return. Blanks belong to it."""
    monkeypatch.setattr("sys.stdin", io.StringIO(f" correct horse {end}", newline=""))
    assert commands._password() == " correct horse "


def test_a_wrong_revision_is_one_message(
    empty_dsn: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And leaves the schema where it was."""
    monkeypatch.setenv("DATABASE_URL", empty_dsn)
    monkeypatch.setattr("sys.argv", ["poolkeeper", "migrate", "--to", "9999"])
    with pytest.raises(SystemExit, match="1"):
        commands.main()
    assert "9999" in capsys.readouterr().err

    assert asyncio.run(fetchval(empty_dsn, "SELECT count(*) FROM pg_tables WHERE tablename = 'users'")) == 0


@pytest.mark.parametrize(
    ("host", "listens", "address"),
    [
        ("127.0.0.1", "127.0.0.1", "127.0.0.1"),
        ("localhost", "localhost", "localhost"),
        ("0.0.0.0", "0.0.0.0", "127.0.0.1"),
        ("::", "::", "[::1]"),
        ("::1", "::1", "[::1]"),
        ("[::1]", "::1", "[::1]"),
    ],
)
def test_the_address_that_serve_prints_can_be_opened(
    monkeypatch: pytest.MonkeyPatch, host: str, listens: str, address: str
) -> None:
    """In a browser: an IPv6 address is in brackets, and all addresses are this machine's."""
    served: list[object] = []
    monkeypatch.setattr("uvicorn.run", lambda *_, host, **__: served.append(host))
    port = free_port()
    assert _invoke("serve", "--host", host, "--port", str(port)) == f"Documentation: http://{address}:{port}/docs\n"
    assert _invoke("serve", "--host", host, "--port", "0") == ""
    assert served == [listens, listens]


@pytest.mark.parametrize("host", ["192.0.2.1", "nowhere.invalid"])
def test_an_address_of_another_machine_is_told_from_a_port_that_is_taken(host: str) -> None:
    """Another port would not help."""
    result = CliRunner().invoke(commands.app, ["serve", "--host", host, "--port", str(free_port())])
    assert result.exit_code == 1
    assert result.output.endswith("--host must be a name or an address of this machine\n")


def test_an_ipv6_address_that_is_taken_is_named_as_in_a_url() -> None:
    """With a port to choose."""
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as taken:
        port = taken.getsockname()[1]
        result = CliRunner().invoke(commands.app, ["serve", "--host", "::1", "--port", str(port)])
    assert result.exit_code == 1
    assert result.output.startswith(f"Cannot listen on [::1]:{port}: ")
