"""The page that a run writes: its table rows, its command line and its file."""

import argparse
import platform
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path


def row(*cells: str) -> str:
    """Return a row of a Markdown table."""
    return f"| {' | '.join(cells)} |".replace("|  |", "| |").replace("|  |", "| |")


def page_parser(program: str, description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the page's path as its first argument."""
    parser = argparse.ArgumentParser(prog=f"python -m {program}", description=description)
    parser.add_argument("page", type=Path, nargs="?", help="the file to write the page to; it is printed either way")
    return parser


def publish(text: str, page: Path | None) -> None:
    """Print a page, and write it to a file if there is one."""
    if page:
        page.write_text(text, encoding="utf-8")
    print(text)


def versions(packages: Iterable[str]) -> Iterable[str]:
    """Yield the name and the installed version of each package, in alphabetical order."""
    return (f"{package} {version(package)}" for package in sorted(packages))


def python() -> str:
    """Return the version of Python."""
    return platform.python_version()
