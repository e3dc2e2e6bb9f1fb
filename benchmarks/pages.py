"""Compare a page of results with a new run: `python -m benchmarks.pages build/pages/traps.md docs/generated/traps.md`.

Figures differ between runs and are not compared. Headings, rows and columns are compared, and each cell without a figure,
for example a verdict.
"""

import re
import sys
from collections.abc import Iterator
from difflib import unified_diff
from pathlib import Path

_FIGURE = re.compile(r"\d")


def outline(page: str) -> Iterator[str]:
    """Yield each heading and each table row, with `#` for a figure in a heading and for each cell that has a figure."""
    for line in page.splitlines():
        if line.startswith("#"):
            yield re.sub(r"\d[\d,.]*", "#", line)
        elif line.startswith("|"):
            yield "|".join("#" if _FIGURE.search(cell) else cell.strip() for cell in line.split("|"))


def main(made: Path, kept: Path) -> None:
    """Compare the outlines of two pages. If they differ, print the difference and exit with status 1."""
    old, new = (list(outline(page.read_text(encoding="utf-8"))) for page in (kept, made))
    if difference := list(unified_diff(old, new, str(kept), str(made), lineterm="", n=0)):
        sys.exit("\n".join([f"{kept} is not what its command makes now:", *difference]))
    print(f"{kept}: {len(new)} headings and rows as its command makes them")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
