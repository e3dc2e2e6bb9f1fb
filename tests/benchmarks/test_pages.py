"""A page of results beside what its command finds now."""

from pathlib import Path

import pytest

from benchmarks.pages import main, outline

PAGE = """\
# The traps

Run on 2026-11-20.

| | Trap | Poolkeeper |
| --: | --- | --- |
| 1 | Ten requests at once | holds |
| | holds in | 18 of 18 |
"""


def _compare(tmp_path: Path, made: str) -> None:
    (tmp_path / "kept.md").write_text(PAGE)
    (tmp_path / "made.md").write_text(made)
    main(tmp_path / "made.md", tmp_path / "kept.md")


def test_other_figures_are_no_difference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Dates, counts and sentences are not compared."""
    _compare(tmp_path, PAGE.replace("18 of 18", "17 of 18").replace("11-20", "11-27"))
    assert "5 headings and rows" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("requests at once | holds", "requests at once | **breaks**"),
        ("Ten requests at once", "Twenty requests at once"),
        ("| 1 | Ten requests at once | holds |\n", ""),
        ("# The traps", "# The pitfalls"),
    ],
    ids=["verdict", "row", "missing row", "heading"],
)
def test_another_verdict_row_or_heading_is_shown(tmp_path: Path, old: str, new: str) -> None:
    """The command ends with both, as a difference."""
    with pytest.raises(SystemExit, match="is not what its command makes now") as ended:
        _compare(tmp_path, PAGE.replace(old, new))
    assert "\n-" in str(ended.value)


def test_a_cell_with_a_figure_stands_for_any_figure() -> None:
    """Words beside it are not compared either: `17 of 18`, `1.80 x, met`."""
    assert list(outline("| a | 1.80 x, met | met |")) == ["|a|#|met|"]
