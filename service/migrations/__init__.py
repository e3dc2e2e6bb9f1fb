"""The schema's history. `HEAD` is the revision that this code needs; reading it does not import Alembic."""

from pathlib import Path

VERSIONS = Path(__file__).parent / "versions"


def _head() -> str:
    """The newest revision: files are named for their number, and numbers grow. A test compares it with Alembic's."""
    return max(path.name for path in VERSIONS.glob("[0-9]*.py")).split("_")[0]


HEAD = _head()


class MigrationError(Exception):
    """The schema cannot be brought to the revision. The message says why."""


class DatabaseAbsent(MigrationError):
    """There is no server, or none that takes connections yet: later there may be one."""
