"""The database schema: its history as Alembic's files, the revision of a database, and what moves it to another one.

Importing this package does not import Alembic or SQLAlchemy; only `runner` does. Statements of features lie in their
repositories, not here.
"""

from pathlib import Path

from service.migrations.applied import applied_revisions
from service.migrations.history import DatabaseAbsent, MigrationError, SchemaAhead, read

__all__ = ["HEAD", "HISTORY", "VERSIONS", "DatabaseAbsent", "MigrationError", "SchemaAhead", "applied_revisions"]

VERSIONS = Path(__file__).parent / "versions"

HISTORY = read(VERSIONS)

HEAD = " and ".join(HISTORY.heads)
"""The revision that this code needs: the newest. There are two only while `HISTORY.mistake` is not empty."""
