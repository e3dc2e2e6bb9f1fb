"""The schema's history. `HEAD` is the revision that this code needs; reading it does not import Alembic."""

from pathlib import Path

from service.migrations.history import DatabaseAbsent, MigrationError, SchemaAhead, read

__all__ = ["APPLIED", "HEAD", "HISTORY", "VERSIONS", "DatabaseAbsent", "MigrationError", "SchemaAhead"]

VERSIONS = Path(__file__).parent / "versions"

HISTORY = read(VERSIONS)

HEAD = " and ".join(HISTORY.heads)
"""The newest revision. There are two only while `HISTORY.mistake` says so."""

APPLIED = "SELECT version_num FROM alembic_version"
"""The revisions that the database is at: one row, or none before the first."""
