"""Instructions that each piece takes, counted by Valgrind: the same from run to run, whatever else the machine does.

`python -m benchmarks.micro.instructions`. A process is prepared once, and forks: one child does a piece some times, another
does it three times as often. Half of the difference is what the piece takes. Work of PostgreSQL is not counted. It takes
minutes: Valgrind makes everything fifty times slower.
"""

import asyncio
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg

from benchmarks.micro.pieces import PIECES, Piece, staged
from service.database import EmbeddedServer
from service.migrations.runner import migrate

_TOTALS = re.compile(r"^(?:totals|summary): (\d+)", re.MULTILINE)
_CHILD = re.compile(r"^piece (\d+) of process (\d+)$", re.MULTILINE)


def main() -> None:
    """Count, and print a table."""
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        sys.exit("valgrind counts instructions, and is not installed. On Debian and Ubuntu: apt-get install valgrind")
    server = EmbeddedServer(None)
    dsn = server.start()
    try:
        asyncio.run(migrate(lambda: asyncpg.connect(dsn)))
        with TemporaryDirectory() as folder:
            counted = _count(valgrind, dsn, Path(folder))
    finally:
        server.stop()
    print("| | Instructions |\n| --- | --: |")
    for number, piece in enumerate(PIECES):
        few, many = counted[2 * number : 2 * number + 2]
        print(f"| {piece.title} | {(many - few) / (2 * _few(piece)):,.0f} |")


def _count(valgrind: str, dsn: str, folder: Path) -> list[int]:
    """Instructions of each child, in the order of the pieces."""
    command = [
        valgrind,
        "--tool=callgrind",
        f"--callgrind-out-file={folder}/%p",
        sys.executable,
        "-m",
        __spec__.name,
        dsn,
    ]
    result = subprocess.run(
        command, env={**os.environ, "PYTHONHASHSEED": "0"}, capture_output=True, text=True, check=False
    )
    if result.returncode:
        sys.exit(f"{result.stdout}{result.stderr}\nvalgrind did not count; what it said is above")
    seen = []
    for number, process in _CHILD.findall(result.stdout):
        total = _TOTALS.search((folder / process).read_text())
        assert total is not None, f"nothing was counted of piece {number}"
        seen.append(int(total[1]))
    return seen


def _few(piece: Piece) -> int:
    return max(1, piece.times // 50)


def count(dsn: str) -> None:
    """What runs under Valgrind."""
    for number, piece in enumerate(PIECES):
        for times in (_few(piece), 3 * _few(piece)):
            child = os.fork()
            if not child:
                asyncio.run(_do(piece, times, dsn))
                sys.exit()
            _, status = os.waitpid(child, 0)
            assert status == 0, f"{piece.title} failed"
            print(f"piece {number} of process {child}", flush=True)


async def _do(piece: Piece, times: int, dsn: str) -> None:
    async with staged(dsn) as stage:
        await piece.work(stage, 1)  # the first time is another thing
        await piece.work(stage, times)


if __name__ == "__main__":
    count(sys.argv[1]) if sys.argv[1:] else main()
