"""`pytest benchmarks/micro/bench_pieces.py`: nothing is asserted, figures are printed."""

import asyncio
from typing import Any

import pytest

from benchmarks.micro.pieces import PIECES, Piece, Stage


@pytest.mark.parametrize("piece", PIECES, ids=lambda piece: f"{piece.title} x {piece.times:,}")
def test_piece(benchmark: Any, runner: asyncio.Runner, stage: Stage, piece: Piece) -> None:
    """Milliseconds for a thousand are microseconds for each."""
    benchmark(lambda: runner.run(piece.work(stage, piece.times)))
