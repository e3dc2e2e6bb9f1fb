"""Fixtures of the database package's tests."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest


@pytest.fixture
def open_path() -> Iterator[Path]:
    """A folder that the server's own user can reach (pytest's are private), with a path short enough for a socket."""
    with TemporaryDirectory(prefix="poolkeeper-test-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)
