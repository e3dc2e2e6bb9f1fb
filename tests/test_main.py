"""The service as processes: plain uvicorn, several workers, reload, and how it starts and ends."""

import signal
import socket
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic, sleep

import httpx
import pytest

from service.migrations import HEAD
from tests.support.processes import BIN, answer, end, free_port, in_a_terminal, run, running, wait_for_group

ADA = {"email": "ada@example.com", "password": "correct horse"}

_SHELL = ("/bin/sh", "-c", '"$@"; exit $?', "sh")
_NOHUP = "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"


def _server_runs(folder: Path) -> bool:
    return (folder / ".poolkeeper/postgres/postmaster.pid").exists()


@pytest.fixture
def warm(folder: Path) -> Path:
    """A folder in which the service has run once: its database is made and migrated."""
    assert run("poolkeeper", "migrate", cwd=folder).stdout == f"from base to {HEAD}\n"
    assert not _server_runs(folder)
    return folder


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_plain_uvicorn_works_by_itself_and_ends_with_its_database(folder: Path, sent: signal.Signals) -> None:
    """From an empty folder to an answer; a signal ends the service and the embedded server; the data is there again."""
    port = free_port()
    command = ("uvicorn", "service.main:app", "--port", str(port))
    with running(*command, cwd=folder) as process:
        assert answer(f"http://127.0.0.1:{port}/users/", process).json() == []
        assert httpx.post(f"http://127.0.0.1:{port}/users/", json=ADA, timeout=60).status_code == 201
        assert _server_runs(folder)
        end(process, sent)
    assert not _server_runs(folder)
    assert "Traceback" not in (folder / "output.txt").read_text()
    with running(*command, cwd=folder) as process:
        assert [user["email"] for user in answer(f"http://127.0.0.1:{port}/users/", process).json()] == [ADA["email"]]


@pytest.mark.parametrize(
    "command",
    [
        ("poolkeeper", "serve"),
        ("poolkeeper", "serve", "--workers", "2"),
        (*_SHELL, BIN / "poolkeeper", "serve", "--workers", "2"),
        (*_SHELL, BIN / "poolkeeper", "serve", "--reload"),
        (*_SHELL, BIN / "uvicorn", "service.main:app"),
        ("uvicorn", "service.main:app", "--workers", "2"),
        ("uvicorn", "service.main:app", "--reload"),
    ],
    ids=lambda command: " ".join(Path(word).name for word in command if word not in _SHELL[1:]),
)
def test_a_terminal_that_closes_ends_the_service_with_its_database(folder: Path, command: tuple[str, ...]) -> None:
    """As when a window is closed, or ssh loses its connection: every process ends, and in order.

    The kernel tells the first program of the terminal; when that ends, as a shell does, all in the foreground.
    """
    port = free_port()
    with in_a_terminal(*command, "--port", str(port), cwd=folder) as (process, close):
        assert answer(f"http://127.0.0.1:{port}/users/", process).json() == []
        assert _server_runs(folder)
        close()
        wait_for_group(process)
    assert not _server_runs(folder)


def test_a_worker_ends_with_its_terminal_although_its_supervisor_does_not(folder: Path) -> None:
    """On Python 3.14 uvicorn's supervisor fails at its first output after the hangup, and then waits for its workers."""
    port = free_port()
    (folder / "supervisor.py").write_text(
        textwrap.dedent(f"""
            import multiprocessing, signal, uvicorn
            def work():
                uvicorn.run("service.main:app", port={port})
            if __name__ == "__main__":
                for number in (signal.SIGHUP, signal.SIGTERM):
                    signal.signal(number, lambda *_: None)
                worker = multiprocessing.get_context("spawn").Process(target=work)
                worker.start()
                worker.join()
        """)
    )
    with in_a_terminal("python", "supervisor.py", cwd=folder) as (process, close):
        assert answer(f"http://127.0.0.1:{port}/users/", process).json() == []
        close()
        wait_for_group(process)
    assert not _server_runs(folder)


def test_a_terminal_that_closes_ends_a_command_with_its_database(folder: Path) -> None:
    """A program that handles no SIGTERM ends as by Ctrl-C."""
    code = """
        import asyncio, signal
        from containers import Container
        from service.startup import container_scope
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a run with coverage handles it
        async def main():
            async with container_scope(Container(), "long"):
                open("started", "w").close()
                await asyncio.sleep(600)
        asyncio.run(main())
    """
    with in_a_terminal("python", "-c", textwrap.dedent(code), cwd=folder) as (process, close):
        while not (folder / "started").exists():
            assert process.poll() is None
            sleep(0.05)
        assert _server_runs(folder)
        close()
        wait_for_group(process)
    assert not _server_runs(folder)


def test_under_nohup_it_stays(folder: Path) -> None:
    """Whoever lets it ignore a hangup means that."""
    port = free_port()
    with running("python", "-c", _NOHUP, str(BIN / "poolkeeper"), "serve", "--port", str(port), cwd=folder) as process:
        assert answer(f"http://127.0.0.1:{port}/users/", process).json() == []
        process.send_signal(signal.SIGHUP)
        assert answer(f"http://127.0.0.1:{port}/users/", process).json() == []
        assert process.poll() is None


def test_four_processes_that_migrate_at_once_do_it_once(folder: Path) -> None:
    """On one new embedded server: one of them makes the schema, and the others find it."""
    with ThreadPoolExecutor(4) as threads:
        results = list(threads.map(lambda _: run("poolkeeper", "migrate", cwd=folder), range(4)))
    assert sorted(result.stdout for result in results) == [*[f"already at {HEAD}\n"] * 3, f"from base to {HEAD}\n"]
    assert not _server_runs(folder)


def test_two_workers_share_the_one_embedded_server(folder: Path) -> None:
    """Both start in the same empty folder at once, both answer, and the last one stops the server."""
    port = free_port()
    with running("uvicorn", "service.main:app", "--workers", "2", "--port", str(port), cwd=folder) as process:
        assert answer(f"http://127.0.0.1:{port}/users/", process).json() == []
        for number in range(20):
            user = {**ADA, "email": f"{number}@example.com"}
            assert httpx.post(f"http://127.0.0.1:{port}/users/", json=user, timeout=60).status_code == 201
            assert len(httpx.get(f"http://127.0.0.1:{port}/users/", timeout=60).json()) == number + 1
        assert end(process) == 0
    assert not _server_runs(folder)


def test_reload_starts_again_when_a_file_changes(warm: Path) -> None:
    """A touched file gives a new process on the same data."""
    (warm / "touched.py").write_text("")
    port = free_port()
    with running("uvicorn", "service.main:app", "--reload", "--port", str(port), cwd=warm) as process:
        assert answer(f"http://127.0.0.1:{port}/users/", process).status_code == 200
        (warm / "touched.py").write_text("# changed")
        deadline = monotonic() + 60
        while (warm / "output.txt").read_text().count("Application startup complete") < 2:
            assert monotonic() < deadline
        assert answer(f"http://127.0.0.1:{port}/users/", process).status_code == 200
        end(process)
    assert not _server_runs(warm)


def test_serve_says_where_the_documentation_is_and_starts_quickly(warm: Path) -> None:
    """The first answer of a warm start comes well within seconds."""
    port = free_port()
    with running("poolkeeper", "serve", "--port", str(port), cwd=warm) as process:
        assert answer(f"http://127.0.0.1:{port}/users/", process).status_code == 200
        assert f"http://127.0.0.1:{port}/docs" in (warm / "output.txt").read_text()
        assert end(process) in {0, -signal.SIGINT}
    assert not _server_runs(warm)


def test_serve_names_no_documentation_where_there_is_none(warm: Path) -> None:
    """Nobody is sent to a page that is not found."""
    port = free_port()
    command = ("poolkeeper", "serve", "--port", str(port))
    with running(*command, cwd=warm, POOLKEEPER_DOCUMENTATION__ENABLED="false") as process:
        assert answer(f"http://127.0.0.1:{port}/docs", process).status_code == 404
        end(process)
    assert "Documentation" not in (warm / "output.txt").read_text()


def test_the_module_is_the_command(folder: Path) -> None:
    """`python -m service` does what `poolkeeper` does."""
    assert run("python", "-m", "service", "graph", cwd=folder).stdout.startswith("flowchart LR\n")


def test_a_port_in_use_is_one_message(folder: Path) -> None:
    """Before anything is started, with what to do."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = run("poolkeeper", "serve", "--port", str(port), cwd=folder)
    assert result.returncode == 1
    assert result.stderr == (
        f"Cannot listen on 127.0.0.1:{port}: Address already in use. "
        f"Stop the program that uses it, or choose another port: --port {port + 1}, or `make run PORT={port + 1}`\n"
    )


@pytest.mark.parametrize("command", [("uvicorn", "service.main:app"), ("poolkeeper", "serve")])
def test_a_mistake_in_the_configuration_ends_with_status_78(folder: Path, command: tuple[str, ...]) -> None:
    """One message that names the key and its source, and no traceback, under plain uvicorn as well."""
    result = run(*command, "--port", str(free_port()), cwd=folder, POOLKEEPER_DATABASE__MAX_SISE="3")
    assert result.returncode == 78
    assert result.stderr == (
        "Configuration error: database.max_sise (environment variable POOLKEEPER_DATABASE__MAX_SISE): "
        "there is no such setting\n"
    )


def test_workers_with_a_mistake_in_the_configuration_end_instead_of_starting_for_ever(folder: Path) -> None:
    """Uvicorn's parent process gives up."""
    result = run(
        "uvicorn", "service.main:app", "--workers", "2", "--port", str(free_port()), cwd=folder, POOLKEEPER_ENV="x"
    )
    assert "x.toml: the file is missing (POOLKEEPER_ENV is 'x')" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("command", [("uvicorn", "service.main:app"), ("poolkeeper", "serve")])
def test_data_of_another_version_is_one_message(folder: Path, command: tuple[str, ...]) -> None:
    """The service ends with the reason, and without a traceback."""
    data = folder / ".poolkeeper/postgres"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("15\n")
    result = run(*command, "--port", str(free_port()), cwd=folder)
    assert result.returncode != 0
    assert "is of PostgreSQL 15, and the embedded server is 18" in result.stderr
    assert "Traceback" not in result.stdout + result.stderr


@pytest.mark.parametrize("command", [("uvicorn", "service.main:app", "--port", "0"), ("poolkeeper", "migrate")])
def test_a_data_folder_that_cannot_be_written_is_one_message(folder: Path, command: tuple[str, ...]) -> None:
    """The folder and the reason are named."""
    (folder / "file").write_text("")
    result = run(*command, cwd=folder, POOLKEEPER_EMBEDDED__DATA_DIR=str(folder / "file" / "data"))
    assert result.returncode != 0
    assert "cannot use its data folder" in result.stderr
    assert "Not a directory" in result.stderr
    assert "Traceback" not in result.stdout + result.stderr
