"""Counts instructions with Valgrind. Unlike times, counts do not depend on other load on the machine.

One process starts under Valgrind and forks two children for each piece. The second child runs the piece three times as often
as the first, so half of the difference is the cost of the piece. PostgreSQL's work is not counted.
"""

import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.micro.pieces import Piece, staged

_TOTALS = re.compile(r"^(?:totals|summary): (\d+)", re.MULTILINE)
_NAMED = re.compile(r"^c?fn=\((\d+)\) (_PyObject_(?:Malloc|Calloc))\S*$", re.MULTILINE)
_CALLS = re.compile(r"^cfn=\((\d+)\).*\n(?:cob=.*\n|cfi=.*\n|cfl=.*\n)*calls=(\d+)", re.MULTILINE)
_CHILD = re.compile(r"^piece (\d+) of process (\d+)$", re.MULTILINE)


@dataclass(frozen=True)
class Counted:
    """The cost of one run of a piece."""

    instructions: float
    allocations: float
    """Calls of Python's object allocator. Objects from a free list are not counted."""


def counted(module: str, dsn: str, pieces: Sequence[Piece]) -> list[Counted]:
    """Return the cost of each piece. `module` runs with the DSN and calls `count`. Exit if Valgrind is not installed."""
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        sys.exit("valgrind counts instructions and is not installed. On Debian and Ubuntu: apt-get install valgrind")
    with TemporaryDirectory() as folder:
        command = [
            valgrind, "--tool=callgrind", f"--callgrind-out-file={folder}/%p", sys.executable, "-m", module, dsn
        ]  # fmt: skip
        result = subprocess.run(
            command, env={**os.environ, "PYTHONHASHSEED": "0"}, capture_output=True, text=True, check=False
        )
        if result.returncode:
            sys.exit(f"{result.stdout}{result.stderr}\nvalgrind failed; its output is above")
        seen = [_read((Path(folder) / process).read_text()) for _, process in _CHILD.findall(result.stdout)]
    return [
        Counted(*((b - a) / (2 * few(piece)) for a, b in zip(*seen[2 * number : 2 * number + 2], strict=True)))
        for number, piece in enumerate(pieces)
    ]


def _read(profile: str) -> tuple[int, int]:
    total = _TOTALS.search(profile)
    assert total is not None, "nothing was counted"
    allocators = {number for number, _ in _NAMED.findall(profile)}
    return int(total[1]), sum(int(calls) for number, calls in _CALLS.findall(profile) if number in allocators)


def few(piece: Piece) -> int:
    """Return how often the first child runs a piece."""
    return max(1, piece.times // 50)


def count(dsn: str, pieces: Sequence[Piece]) -> None:
    """Run the pieces in child processes, under Valgrind."""
    for number, piece in enumerate(pieces):
        for times in (few(piece), 3 * few(piece)):
            child = os.fork()
            if not child:
                asyncio.run(_do(piece, times, dsn))
                sys.exit()
            _, status = os.waitpid(child, 0)
            assert status == 0, f"{piece.title} failed"
            print(f"piece {number} of process {child}", flush=True)


async def _do(piece: Piece, times: int, dsn: str) -> None:
    async with staged(dsn) as stage:
        await piece.work(stage, few(piece))  # warms up the interpreter
        await piece.work(stage, times)
