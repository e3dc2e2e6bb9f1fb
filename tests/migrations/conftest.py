"""A copy of the project, to which a test adds revisions of its own."""

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from service.migrations import HEAD
from tests.support.processes import run

ROOT = Path(__file__).parents[2]

REVISION = '''"""One of a test."""

from alembic import op

revision = {name!r}
down_revision = {follows!r}


def upgrade() -> None:
    """Do what the test wants."""
{upgrade}


def downgrade() -> None:
    """Lose what the test made."""
'''


@dataclass(frozen=True)
class Project:
    """A copy of the service in a folder of its own: commands run there use it, and not the checkout."""

    folder: Path

    @property
    def variables(self) -> dict[str, str]:
        """What makes a process import the copy."""
        return {"PYTHONPATH": str(self.folder)}

    def run(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command in it to its end."""
        return run(*command, cwd=self.folder, seconds=60, **self.variables, **variables)

    def add(self, name: str, *upgrade: str, follows: str = HEAD, file: str = "") -> None:
        """Add a revision, with the lines of its `upgrade`."""
        body = "\n".join(f"    {line}" for line in upgrade or ("pass",))
        path = self.folder / "service/migrations/versions" / (file or f"{name}_of_a_test.py")
        path.write_text(REVISION.format(name=name, follows=follows, upgrade=body))


@pytest.fixture
def project() -> Iterator[Project]:
    """A copy of the project."""
    with TemporaryDirectory(prefix="poolkeeper-copy-") as folder:
        for name in ("config", "service"):
            shutil.copytree(ROOT / name, Path(folder) / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "containers.py", folder)
        yield Project(Path(folder))
