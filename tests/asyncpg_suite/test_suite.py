"""asyncpg's own tests, of the version that is locked, with a `ScopedConnection` in place of a connection."""

from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.asyncpg_suite.not_applicable import MODULES, TESTS
from tests.asyncpg_suite.run import Report, run
from tests.asyncpg_suite.source import download

pytestmark = pytest.mark.asyncpg

DOCUMENT = Path(__file__).parents[2] / "docs/scoped-connection.md"
NOT_FOR_US = {name for names in MODULES.values() for name in names}
EXPECTED_TO_FAIL = {name for names in TESTS.values() for name in names}


@pytest.fixture(scope="module")
def suite() -> Iterator[Path]:
    """The folder of asyncpg's tests."""
    with TemporaryDirectory(prefix="poolkeeper-asyncpg-") as folder:
        yield download(Path(folder))


@pytest.fixture(scope="module")
def report(suite: Path, server_dsn: str) -> Iterator[Report]:
    """What came of them."""
    modules = sorted(path for path in suite.glob("test_*.py") if path.stem not in NOT_FOR_US)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PGHOST", parse_qs(urlsplit(server_dsn).query)["host"][0])
        patch.setenv("PGUSER", "postgres")
        patch.setenv("PGDATABASE", "postgres")
        yield run(modules, server_dsn, EXPECTED_TO_FAIL)


def test_what_applies_passes(report: Report) -> None:
    """In a scope, or where the test needs one connection throughout, in a session."""
    failed = {name: trace for name, trace in report.failed.items() if name not in EXPECTED_TO_FAIL}
    assert not failed, "\n\n".join(f"{name}\n{trace}" for name, trace in failed.items())


def test_what_is_named_as_not_applicable_is_there_and_fails(suite: Path, report: Report) -> None:
    """Neither a name that is gone, nor one that would pass by now."""
    assert {path.stem for path in suite.glob("test_*.py")} >= NOT_FOR_US
    assert not EXPECTED_TO_FAIL - report.failed.keys()


def test_the_document_has_these_figures(report: Report) -> None:
    """The line that is expected is shown where another is there."""
    scope, session, failed = len(report.in_scope), len(report.in_session), len(report.failed)
    line = (
        f"Of the {scope + session + failed} tests that asyncpg {version('asyncpg')} runs on a connection, {scope} pass "
        f"in a scope, {session} in a `session()`, and {failed} do not apply."
    )
    assert line in " ".join(DOCUMENT.read_text(encoding="utf-8").split())
