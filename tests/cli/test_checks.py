"""`poolkeeper check`: a line each, and a status that a deployment can go by."""

import asyncio
from datetime import timedelta

import pytest
from typer.testing import CliRunner

from service.cli import checks, commands
from service.migrations import HEAD, HISTORY
from tests.support.sql import execute
from tests.support.tls import AUTHORITY, at_a_port


def _check() -> tuple[int, list[str]]:
    result = CliRunner().invoke(commands.app, ["check"])
    return result.exit_code, result.output.splitlines()


def test_all_is_well(clone_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five lines, and status 0."""
    monkeypatch.setenv("DATABASE_URL", clone_dsn)
    status, lines = _check()
    assert status == 0
    assert [line.split(":")[0] for line in lines] == [
        "ok      configuration", "ok      connection", "ok      privileges", "ok      schema", "ok      clock",
    ]  # fmt: skip
    assert lines[1].startswith("ok      connection: PostgreSQL 18")
    assert lines[1].endswith("ms, through a Unix socket")


@pytest.mark.parametrize(
    ("certificate", "parameters", "words"),
    [
        (None, "", "not encrypted"),
        ("self-signed", "", "encrypted (TLSv1.3), certificate not verified"),
        (
            "localhost",
            f"?sslmode=verify-full&sslrootcert={AUTHORITY}",
            "encrypted (TLSv1.3), certificate and host name verified",
        ),
    ],
)
def test_the_connection_says_how_far_it_is_encrypted(
    clone_dsn: str, monkeypatch: pytest.MonkeyPatch, certificate: str | None, parameters: str, words: str
) -> None:
    """And how far the server's certificate was verified."""
    name = clone_dsn.partition("?")[0].rpartition("/")[2]
    with at_a_port(clone_dsn, certificate) as port:
        monkeypatch.setenv("DATABASE_URL", f"postgresql://postgres@localhost:{port}/{name}{parameters}")
        status, lines = _check()
    assert status == 0
    assert lines[1].endswith(f"ms, {words}")


def test_a_server_whose_certificate_is_another_ones_fails(server_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the reason, and in production."""
    monkeypatch.setenv("POOLKEEPER_ENV", "production")
    monkeypatch.setenv("POOLKEEPER_AUTH__KEY", "A9b8C7d6E5f4G3h2I1j0K9l8M7n6O5p4")
    monkeypatch.setenv("POOLKEEPER_HTTP__ALLOWED_HOSTS", "api.example.com")
    with at_a_port(server_dsn, "elsewhere") as port:
        verified = f"sslmode=verify-full&sslrootcert={AUTHORITY}"
        monkeypatch.setenv("DATABASE_URL", f"postgresql://postgres@localhost:{port}/postgres?{verified}")
        status, lines = _check()
    assert status == 1
    assert lines[1].startswith("FAILED  connection: ")
    assert "Hostname mismatch" in lines[1]


def test_a_schema_that_is_behind_fails(empty_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With both revisions and the command; the rest is tried all the same."""
    assert {"users", "items", "rate_limits", "idempotency_keys"} <= set(HISTORY.tables)
    monkeypatch.setenv("DATABASE_URL", empty_dsn)
    status, lines = _check()
    assert status == 1
    assert lines[2] == f"FAILED  privileges: {', '.join(HISTORY.tables)} do not exist yet"
    assert lines[3] == f"FAILED  schema: at nothing and the code needs {HEAD}: run `poolkeeper migrate`"
    assert lines[4].startswith("ok      clock")


def test_missing_privileges_are_named(clone_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which, on which table, for whom."""
    asyncio.run(execute(clone_dsn, """
        DROP ROLE IF EXISTS reader;
        CREATE ROLE reader LOGIN;
        GRANT SELECT ON users, items, alembic_version TO reader;
        GRANT INSERT, UPDATE, DELETE ON users TO reader;
        GRANT ALL ON rate_limits TO reader;
    """))  # fmt: skip
    monkeypatch.setenv("DATABASE_URL", clone_dsn.replace("postgres:@", "reader@"))
    status, lines = _check()
    assert status == 1
    lacks = [f"{privilege} on items" for privilege in ("INSERT", "UPDATE", "DELETE")]
    for table in HISTORY.tables[HISTORY.tables.index("idempotency_keys") :]:  # and those that later revisions create
        lacks += [f"{privilege} on {table}" for privilege in ("SELECT", "INSERT", "UPDATE", "DELETE")]
    assert lines[2] == f"FAILED  privileges: reader lacks {', '.join(lacks)}: GRANT them"


def test_a_revision_that_cannot_be_read_fails(clone_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to grant."""
    asyncio.run(execute(clone_dsn, "DROP ROLE IF EXISTS blind; CREATE ROLE blind LOGIN"))
    monkeypatch.setenv("DATABASE_URL", clone_dsn.replace("postgres:@", "blind@"))
    status, lines = _check()
    assert status == 1
    assert lines[3] == "FAILED  schema: permission denied for table alembic_version: GRANT SELECT on it"


def test_without_a_connection_nothing_else_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver's reason is the line."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    status, lines = _check()
    assert status == 1
    assert len(lines) == 2
    assert lines[1].startswith("FAILED  connection: ")


def test_a_clock_that_is_off_fails(clone_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Past the tolerance, which is set so low here that any clock is off."""
    monkeypatch.setenv("DATABASE_URL", clone_dsn)
    monkeypatch.setattr(checks, "CLOCK_TOLERANCE", timedelta(seconds=-1))
    status, lines = _check()
    assert status == 1
    assert lines[4].startswith("FAILED  clock: ")
