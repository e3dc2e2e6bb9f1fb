"""`poolkeeper migrate` where something is not as it should be: each is a message and a status, and no traceback."""

import asyncio
import os
import pty
import subprocess

import asyncpg
import pytest

from service.migrations import HEAD
from tests.migrations.conftest import Project
from tests.support.processes import BIN
from tests.support.sql import execute, fetchval

MIGRATE = ("python", "-m", "service", "migrate")
PRODUCTION = {
    "POOLKEEPER_ENV": "production",
    "POOLKEEPER_AUTH__KEY": "of-a-test-and-of-nothing-else-at-all",
    "POOLKEEPER_HTTP__ALLOWED_HOSTS": "x",
}
LOST = "  0004: Drop the keys and their answers."


def _migrate(project: Project, dsn: str, *arguments: str, **variables: str) -> tuple[int, str]:
    ended = project.run(*MIGRATE, *arguments, DATABASE_URL=dsn, **variables)
    assert "Traceback" not in ended.stderr
    return ended.returncode, ended.stdout + ended.stderr


async def _revision(dsn: str) -> str:
    revision: str = await fetchval(dsn, "SELECT version_num FROM alembic_version")
    return revision


async def test_two_heads_are_refused_by_every_command_with_what_to_write(project: Project, clone_dsn: str) -> None:
    """`migrate`, `--sql`, `status` and a start that migrates say it, and change nothing."""
    project.add("0010")
    project.add("0011")
    wanted = (
        "two revisions are the last: 0010_of_a_test.py and 0011_of_a_test.py, from two branches. Put one branch after the "
        "other: write into 0011_of_a_test.py down_revision = '0010'."
    )
    for arguments in ((), ("--sql",), ("status",), ("--to", "0001", "--yes")):
        status, said = await asyncio.to_thread(_migrate, project, clone_dsn, *arguments)
        assert (status, said[: len(wanted)]) == (1, wanted)
    started = await asyncio.to_thread(project.run, "uvicorn", "service.main:app", "--port", "0", DATABASE_URL=clone_dsn)
    assert started.returncode != 0
    assert wanted in started.stderr
    assert "Traceback" not in started.stderr
    checked = await asyncio.to_thread(project.run, "poolkeeper", "check", DATABASE_URL=clone_dsn)
    assert f"FAILED  schema: {wanted}" in checked.stdout
    assert await _revision(clone_dsn) == HEAD


async def test_a_database_ahead_of_the_code_is_left_as_it_is(project: Project, clone_dsn: str) -> None:
    """`migrate` refuses in both directions, `status` and `check` say so and pass: old code may run on a newer schema."""
    await execute(clone_dsn, "UPDATE alembic_version SET version_num = '9999'")
    said_of_it = (
        f"at 9999 and the code has no revision 9999, only up to {HEAD}: newer code or another branch has migrated it"
    )
    for arguments in ((), ("--to", "base"), ("--to", "0001", "--yes")):
        status, said = await asyncio.to_thread(_migrate, project, clone_dsn, *arguments)
        assert (status, said) == (1, f"the schema is {said_of_it}. Nothing was changed: migrate with that code\n")
    status, said = await asyncio.to_thread(_migrate, project, clone_dsn, "status")
    assert (status, said) == (0, f"schema: 9999, code: {HEAD}\nThe schema is {said_of_it}\n")
    checked = await asyncio.to_thread(project.run, "poolkeeper", "check", DATABASE_URL=clone_dsn)
    assert f"ok      schema: {said_of_it}\n" in checked.stdout
    assert checked.returncode == 0


@pytest.mark.parametrize(
    ("variables", "reason"),
    [(PRODUCTION, "This is production.\n"), ({}, "Other sessions are connected to this database: poolkeeper (1).\n")],
)
async def test_going_down_is_refused_where_nobody_can_be_asked(
    project: Project, clone_dsn: str, variables: dict[str, str], reason: str
) -> None:
    """In production, and beside a running service. The message has what would be lost; `--yes` does it."""
    service = await asyncpg.connect(clone_dsn, server_settings={"application_name": "poolkeeper"})
    if variables == PRODUCTION:
        await service.close()
    status, said = await asyncio.to_thread(_migrate, project, clone_dsn, "--to", "0003", **variables)
    assert status == 1
    assert said.startswith(f"Going down from {HEAD} to 0003 undoes:\n")
    assert f"{LOST}\n{reason}" in said
    assert said.endswith("Nothing was changed. To go down anyway, add --yes\n")
    assert await _revision(clone_dsn) == HEAD
    status, said = await asyncio.to_thread(_migrate, project, clone_dsn, "--to", "0003", "--yes", **variables)
    assert (status, said) == (0, f"from {HEAD} to 0003\n")
    status, said = await asyncio.to_thread(_migrate, project, clone_dsn, "--to", "0004", **variables)
    assert (status, said) == (0, "from 0003 to 0004\n"), "up asks nothing"
    await service.close()


@pytest.mark.parametrize(("answered", "status", "revision"), [("y", 0, "0003"), ("n", 1, HEAD), ("\x03", 1, HEAD)])
async def test_going_down_asks_at_a_terminal(
    project: Project, clone_dsn: str, answered: str, status: int, revision: str
) -> None:
    """Anything but yes leaves the schema as it is; so does Ctrl-C."""
    said, ended = await asyncio.to_thread(_at_a_terminal, project, clone_dsn, answered)
    assert LOST in said
    assert "Traceback" not in said
    assert ended == status
    assert await _revision(clone_dsn) == revision


def _at_a_terminal(project: Project, dsn: str, answered: str) -> tuple[str, int]:
    ours, theirs = pty.openpty()
    variables = {**os.environ, "DATABASE_URL": dsn, **PRODUCTION, **project.variables}
    process = subprocess.Popen(
        ["setsid", "--ctty", "--wait", BIN / "poolkeeper", "migrate", "--to", "0003"],
        cwd=project.folder,
        env=variables,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    said = ""
    try:
        while "Go down?" not in said:
            said += os.read(ours, 1024).decode()
        os.write(ours, answered.encode() + b"\n")
        while part := os.read(ours, 1024):
            said += part.decode()
    except OSError:  # the terminal's other end is closed
        pass
    os.close(ours)
    return said, process.wait(20)


async def test_a_read_only_server_is_named_as_the_reason(project: Project, clone_dsn: str) -> None:
    """As a replica is. One that is up to date is no mistake."""
    name = clone_dsn.partition("?")[0].rpartition("/")[2]
    await execute(clone_dsn, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    status, said = await asyncio.to_thread(_migrate, project, clone_dsn)
    assert (status, said) == (0, f"already at {HEAD}\n")
    project.add("0010", 'op.execute("CREATE TABLE more (id int)")')
    status, said = await asyncio.to_thread(_migrate, project, clone_dsn)
    assert status == 1
    assert "in a read-only transaction" in said
    assert "migrate on its primary" in said


async def test_a_role_that_may_not_is_told_what_to_do(project: Project, clone_dsn: str) -> None:
    """The server's words, and which role to take."""
    await execute(
        clone_dsn,
        "DROP ROLE IF EXISTS no_owner; CREATE ROLE no_owner LOGIN",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO no_owner",
    )
    project.add("0010", 'op.execute("ALTER TABLE items ADD COLUMN more int")')
    status, said = await asyncio.to_thread(_migrate, project, clone_dsn.replace("postgres:@", "no_owner@"))
    assert status == 1
    assert "must be owner of table items" in said
    assert "Migrate with a role that owns the tables" in said


async def test_a_session_that_is_ended_by_the_server_is_one_message(project: Project, clone_dsn: str) -> None:
    """As when the server stops in the middle of a revision, which is undone."""
    project.add(
        "0010",
        'op.execute("CREATE TABLE half (id int)")',
        'op.execute("SELECT pg_terminate_backend(pg_backend_pid())")',
    )
    status, said = await asyncio.to_thread(_migrate, project, clone_dsn)
    assert status == 1
    assert len(said.splitlines()) == 1
    assert "terminat" in said
    assert await _revision(clone_dsn) == HEAD


async def test_limits_that_a_revision_sets_are_its_own(project: Project, clone_dsn: str) -> None:
    """The next one has those of all migrations again."""
    project.add("0010", 'op.execute("SET lock_timeout = 0")', 'op.execute("SET statement_timeout = 0")')
    project.add(
        "0011",
        "limits = \"current_setting('lock_timeout') || current_setting('statement_timeout')\"",
        'op.execute(f"CREATE TABLE seen AS SELECT {limits} AS limits")',
        follows="0010",
    )
    assert (await asyncio.to_thread(_migrate, project, clone_dsn))[0] == 0
    connection = await asyncpg.connect(clone_dsn)
    assert await connection.fetchval("SELECT limits FROM seen") == "10s15min"
    await connection.close()


async def test_steps_relative_to_where_it_is(project: Project, clone_dsn: str) -> None:
    """Alembic's `-1` and `+1`."""
    for arguments, expected in ((("--to=-1",), f"from {HEAD} to "), (("--to", "+1"), "from ")):
        status, said = await asyncio.to_thread(_migrate, project, clone_dsn, *arguments)
        assert status == 0, said
        assert said.startswith(expected)
    assert await _revision(clone_dsn) == HEAD
