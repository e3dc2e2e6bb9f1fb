"""asyncpg's own tests, from the source distribution of the version that is locked."""

import re
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

LOCKED = Path(__file__).parents[2] / "requirements/development.txt"

_FILTER: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
"""Python 3.11 has it from 3.11.4 on, and later ones warn where it is not given."""


def download(folder: Path) -> Path:
    """Fetch the source distribution from the package index, with the hash that is locked, and give the folder of its tests."""
    requirement = re.search(r"^asyncpg==(?:.*\\\n)*.*", LOCKED.read_text(encoding="utf-8"), re.MULTILINE)
    assert requirement
    wanted = folder / "asyncpg.txt"
    wanted.write_text(requirement[0], encoding="utf-8")
    options = [
        "--quiet",
        "--no-deps",
        "--no-binary",
        "asyncpg",
        "--require-hashes",
        "-r",
        str(wanted),
        "-d",
        str(folder),
    ]
    subprocess.run([sys.executable, "-m", "pip", "--disable-pip-version-check", "download", *options], check=True)
    [archive] = folder.glob("asyncpg-*.tar.gz")
    with tarfile.open(archive) as files:
        files.extractall(folder, **_FILTER)
    return folder / archive.name.removesuffix(".tar.gz") / "tests"
