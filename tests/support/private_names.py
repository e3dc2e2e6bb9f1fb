"""Private names of libraries that the service uses, found in its source."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/private-names.md"
ROW = re.compile(r"^\| `(\w+)`[^|]*\| (.+?) \| [^|]+ \| (.+?) \|$", re.MULTILINE)
CODE = re.compile(r"`([^`]+)`")

DOCUMENTED = {"_exit", "_getframe"}
"""Names of Python's own `os` and `sys`, which its documentation describes."""

Use = tuple[str, str]
"""A private name, and the file of the service that uses it."""


def in_source() -> set[Use]:
    """Return each use of a private name that the service does not define."""
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted((ROOT / "service").rglob("*.py"))}
    members = {path: set(_members(tree)) for path, tree in trees.items()}
    of_any_class = set[str]().union(*members.values())
    return {
        (name, path.relative_to(ROOT).as_posix())
        for path, tree in trees.items()
        for name in _uses(tree, members[path], of_any_class)
    }


def on_page() -> dict[Use, list[str]]:
    """Return the uses that the page lists, each with its tests."""
    rows = ROW.findall(PAGE.read_text(encoding="utf-8"))
    return {(name, file): CODE.findall(tests) for name, files, tests in rows for file in CODE.findall(files)}


def _uses(tree: ast.AST, own: set[str], of_any_class: set[str]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from (part for part in (node.module or "").split(".") if _is_private(part))
            yield from (alias.name for alias in node.names if _is_private(alias.name))
        elif isinstance(node, ast.Attribute) and _is_private(node.attr):
            is_own = isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}
            if node.attr not in (of_any_class if is_own else own):
                yield node.attr


def _members(tree: ast.AST) -> Iterator[str]:
    """Yield the private names of attributes and methods that a module's classes define."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and _is_private(node.attr):
            yield node.attr
        elif isinstance(node, ast.ClassDef):
            for member in node.body:
                if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield member.name
                for target in ast.walk(member) if isinstance(member, ast.Assign | ast.AnnAssign) else ():
                    if isinstance(target, ast.Name):
                        yield target.id
                    elif isinstance(target, ast.Constant) and isinstance(target.value, str):
                        yield target.value  # in `__slots__`


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in DOCUMENTED
