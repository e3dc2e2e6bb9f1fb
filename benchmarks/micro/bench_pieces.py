"""Prints the times of all pieces: `pytest benchmarks/micro/bench_pieces.py`."""

import asyncio
from typing import Any

import pytest

from benchmarks.micro.pieces import PIECES, Piece, Stage


@pytest.mark.parametrize("piece", PIECES, ids=lambda piece: f"{piece.title} x {piece.times:,}")
def test_piece(benchmark: Any, runner: asyncio.Runner, stage: Stage, piece: Piece) -> None:
    """Measure a thousand runs of a piece: their milliseconds are microseconds for one."""
    benchmark(lambda: runner.run(piece.work(stage, piece.times)))
