"""What measures the cost: that its pieces still run, and what it says."""

from xml.etree import ElementTree as ET

import pytest

from benchmarks.cost.bends import page, pictures
from benchmarks.cost.lists import _at
from benchmarks.harness.load import Sample
from benchmarks.micro import instructions
from benchmarks.micro.pieces import PIECES, Piece, staged


def test_without_valgrind_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is started, and the Debian package is named."""
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SystemExit, match="apt-get install valgrind"):
        instructions.main()


@pytest.mark.parametrize("piece", PIECES, ids=lambda piece: piece.title)
async def test_a_piece_runs(piece: Piece, clone_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than once, so that it leaves nothing behind that would be in its own way."""
    for name in ("POOLKEEPER_ENV", "DATABASE_URL", "POOLKEEPER_DATABASE__MIGRATE_ON_START"):
        monkeypatch.setenv(name, "")  # to be restored: a stage sets them
    async with staged(clone_dsn) as stage:
        await piece.work(stage, 2)
        assert stage.database.stats().leased == 0


async def test_lists_are_timed_on_tables_of_the_size_that_was_asked_for(clone_dsn: str) -> None:
    """Each question has an answer, and a time."""
    figures = await _at(clone_dsn, 500)
    assert len(figures) > 8
    assert all(milliseconds > 0 for milliseconds in figures.values())


def test_the_page_of_bends_has_all_figures_and_a_line_for_each_pool() -> None:
    """Per number of workers; a star says that some were refused."""
    samples = {
        (workers, pool, clients): Sample(1000.0 * workers, 1.0, 9.0, refused=5 if pool < clients else 0)
        for workers in (1, 2)
        for pool in (1, 8)
        for clients in (1, 1000)
    }
    text = page(samples, "a machine", seconds=2, rounds=3)
    assert "| 1 | 1,000 | 1,000* |" in text
    assert "| 8 | 2,000 | 2,000* |" in text
    drawn = pictures(samples)
    for workers, picture in drawn.items():
        assert f"(bends-{workers}.svg)" in text
        assert len(ET.fromstring(picture).findall("{http://www.w3.org/2000/svg}polyline")) == 2
