"""Counts the instructions and allocations of each piece with Valgrind.

`python -m benchmarks.micro.instructions`. It takes minutes: under Valgrind everything is fifty times slower.
"""

import sys

from benchmarks.harness.server import migrated
from benchmarks.micro.pieces import PIECES
from benchmarks.micro.valgrind import count, counted


def main() -> None:
    """Count, and print a table."""
    with migrated() as server:
        counts = counted(__spec__.name, server.dsn, PIECES)
    print("| | Instructions | Allocations |\n| --- | --: | --: |")
    for piece, each in zip(PIECES, counts, strict=True):
        print(f"| {piece.title} | {each.instructions:,.0f} | {each.allocations:,.0f} |")


if __name__ == "__main__":
    count(sys.argv[1], PIECES) if sys.argv[1:] else main()
