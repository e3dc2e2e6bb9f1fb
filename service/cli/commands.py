"""The subcommands of `poolkeeper`."""

import asyncio
import errno
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import typer
from pydantic import SecretStr, ValidationError

from containers import Container
from service.cli import graph as graphs
from service.cli.checks import checks
from service.database import DatabaseError, EmbeddedServerError
from service.errors import ServiceError
from service.migrations import HEAD, HISTORY, MigrationError
from service.settings import EXIT_STATUS, ConfigurationError, Settings, shown
from service.startup import container_scope
from service.startup.postgres import PostgresServer, postgres_server
from service.startup.signals import interruptible
from service.users.schemas import NewUser, User
from service.web.hosts import authority
from service.web.input import message_of

T = TypeVar("T")

_LAST_PORT = 65_535

app = typer.Typer(name="poolkeeper", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
migrations = typer.Typer(invoke_without_command=True, help="Migrate the database schema to a revision.")
app.add_typer(migrations, name="migrate")
users = typer.Typer(no_args_is_help=True, help="Manage users.")
app.add_typer(users, name="user")


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 picks a free one.", min=0, max=_LAST_PORT)] = 8000,
    workers: Annotated[int, typer.Option(help="Number of worker processes.", min=1)] = 1,
    reload: Annotated[bool, typer.Option(help="Restart when a file changes.")] = False,
) -> None:
    """Serve over HTTP until Ctrl-C."""
    import uvicorn  # noqa: PLC0415 - only this command needs it

    settings = Settings()  # a mistake ends the command before any worker starts
    settings.require_for_serving()
    host = host.removeprefix("[").removesuffix("]")  # as in a URL
    _check_free(host, port)
    if settings.documentation_enabled and port:  # 0: uvicorn picks a port and logs it
        typer.echo(f"Documentation: http://{authority(host, port)}/docs")
    uvicorn.run(
        "service.main:app",
        host=host,
        port=port,
        workers=workers,
        reload=reload,
        timeout_graceful_shutdown=20,
        server_header=False,
        http="service.web.server:BatchedProtocol",
        reset_contextvars=True,  # requests pipelined on one connection do not inherit each other's (uvicorn #2167)
    )


@migrations.callback()
def migrate(
    context: typer.Context,
    to: Annotated[
        str, typer.Option(help="Revision to migrate to, up or down; `head` is the newest, `base` an empty database.")
    ] = "head",
    sql: Annotated[bool, typer.Option(help="Print the SQL instead of running it.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Go down without asking.")] = False,
) -> None:
    """Migrate the database schema to a revision."""
    if context.invoked_subcommand is not None:
        return
    from service.migrations import runner  # noqa: PLC0415 - imports Alembic and SQLAlchemy

    if sql:
        typer.echo(runner.sql(to))
        return
    down_from = None if yes or to == "head" else _agreed(to)
    before, after = _with_database(lambda postgres: runner.migrate(postgres.connect, to, down_from=down_from))
    typer.echo(f"already at {after or 'base'}" if before == after else f"from {before or 'base'} to {after or 'base'}")


@migrations.command()
def status() -> None:
    """Print the revision of the schema. Exit status 1 if it is behind the code."""
    from service.migrations import runner  # noqa: PLC0415 - imports Alembic and SQLAlchemy

    applied = _with_database(lambda postgres: runner.applied(postgres.connect))
    schema = HISTORY.compare(applied)
    typer.echo(f"schema: {' and '.join(sorted(applied)) or 'base'}, code: {HEAD}")
    if schema.ahead:
        typer.echo(f"The schema is {schema.said}")
    if schema.behind:
        raise typer.Exit(1)


def _agreed(to: str) -> str | None:
    """Ask before the schema goes down, in production or if there are other sessions.

    Raises `MigrationError` if the answer is no, or there is no terminal to ask at.

    Returns:
        The revision before going down; `None` if `to` is not further down.
    """
    from service.migrations import runner  # noqa: PLC0415 - imports Alembic and SQLAlchemy

    descent = _with_database(lambda postgres: runner.descent(postgres.connect, to))
    if descent is None:
        return None
    is_production = Settings().environment == "production"
    if is_production or descent.sessions:
        sessions = ", ".join(f"{name} ({count})" for name, count in descent.sessions)
        lost = [
            f"Going down from {descent.before} to {to} undoes:",
            *(f"  {name}: {what}" for name, what in descent.undone),
        ]
        lost += ["This is production."] if is_production else []
        lost += [f"Other sessions are connected to this database: {sessions}."] if sessions else []
        typer.echo("\n".join(lost), err=True)
        if not sys.stdin.isatty():
            raise MigrationError("Nothing was changed. To go down anyway, add --yes")
        if not typer.confirm("Go down?", err=True):
            raise MigrationError("Nothing was changed")
    return descent.before


@users.command("create")
def create_user(
    email: Annotated[str, typer.Argument(help="E-mail address of the user.")],
    admin: Annotated[bool, typer.Option("--admin", help="Allow the user to read and change everything.")] = False,
) -> None:
    """Create a user or an admin. Asks for the password, or reads a line from a pipe."""

    async def create() -> User:
        async with container_scope(Container(), "user create") as container, container.connection().transaction():
            user = await container.user_service().register(new)
            if admin:
                await container.user_service().make_admin(user.id)
            return user

    try:
        new = NewUser(email=email, password=SecretStr(_password()))
        user = asyncio.run(create())
    except ValidationError as error:
        mistakes = (f"{mistake['loc'][0]}: {message_of(mistake)}" for mistake in error.errors())
        typer.echo("; ".join(mistakes), err=True)
        raise typer.Exit(1) from None
    except ServiceError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    typer.echo(f"{user.email} is user {user.id}{', an admin' if admin else ''}")


@app.command()
def config() -> None:
    """Print all settings with the source of each value. Secrets are masked."""
    settings = Settings()
    for key, value in shown(settings):
        typer.echo(f"{key} = {value}    # {settings.origin(key)}")


@app.command()
def check() -> None:
    """Check configuration, connection, privileges, schema revision and clock. Exit status 1 if one fails."""
    settings = Settings()
    settings.require_for_serving()
    typer.echo(f"ok      configuration: {settings.environment}")

    async def run(postgres: PostgresServer) -> bool:
        passed = True
        async for tried in checks(postgres):
            typer.echo(f"{'ok    ' if tried.passed else 'FAILED'}  {tried.name}: {tried.said}")
            passed = passed and tried.passed
        return passed

    if not _with_database(run):
        raise typer.Exit(1)


@app.command()
def graph() -> None:
    """Print the container's graph as a Mermaid flowchart."""
    typer.echo(graphs.mermaid(Container()))


def _password() -> str:
    if sys.stdin.isatty():
        typed: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
        return typed
    return sys.stdin.readline().rstrip("\r\n")  # files from Windows end lines with both


def _with_database(work: Callable[[PostgresServer], Awaitable[T]]) -> T:
    async def run() -> T:
        container = Container()
        with interruptible("the command"):
            async with postgres_server(container.settings(), container.database_password()) as postgres:
                return await work(postgres)

    return asyncio.run(run())


def _check_free(host: str, port: int) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            other = port + 1 if port < _LAST_PORT else port - 1
            hint = f"Stop the program that uses it, or choose another port: --port {other}, or `make run PORT={other}`"
            if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
                hint = "--host must be a name or an address of this machine"
            typer.echo(f"Cannot listen on {authority(host, port)}: {error.strerror}. {hint}", err=True)
            raise typer.Exit(1) from error


def main() -> None:
    """Run the command. A mistake in the configuration ends it with status 78, another known failure with 1."""
    try:
        app()
    except ConfigurationError as error:
        typer.echo(f"Configuration error: {error}", err=True)
        sys.exit(EXIT_STATUS)
    except (EmbeddedServerError, MigrationError, DatabaseError, OSError) as error:
        typer.echo(str(error) or type(error).__name__, err=True)
        sys.exit(1)
