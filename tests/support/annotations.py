"""Refuses annotations whose meaning depends on when they are evaluated. `make check` runs it.

Up to Python 3.13 an annotation is evaluated where it stands; from 3.14 on, when somebody first asks for it (PEP 649). By then
a name may mean something else: in a class with a method `list`, `-> list[Item]` is a subscript of that method.
"""

import ast
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import NamedTuple

from tests.support.documents import ROOT, lines

Position = tuple[int, int]
START, NEVER = (0, 0), (sys.maxsize, 0)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
SCOPES = (*FUNCTIONS, ast.ClassDef, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
LOOPS = (ast.For, ast.AsyncFor, ast.While)
NOT_ALLOWED = (ast.NamedExpr, ast.Yield, ast.YieldFrom, ast.Await)  # a SyntaxError from 3.14 on


class Scope(NamedTuple):
    """A module, class or function: the names that it binds, each with the place where it is bound for the last time."""

    node: ast.AST
    bound: dict[str, Position]


def mistakes(source: str) -> Iterator[tuple[int, str]]:
    """The line of each annotation that a later binding changes, and what is wrong with it."""
    tree = ast.parse(source)
    if not any(
        isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree.body
    ):  # strings, always
        yield from _in_scope(tree, (), _rebound_from_inside(tree))


def _in_scope(owner: ast.AST, outer: tuple[Scope, ...], rebound: set[str]) -> Iterator[tuple[int, str]]:
    nodes = list(_own_nodes(owner, None))
    bound = dict.fromkeys(_parameters(owner), START)
    for node, place in nodes:
        for name in _names_bound(node):
            bound[name] = max(bound.get(name, START), NEVER if name in rebound else place)
    scopes = (Scope(owner, bound), *outer)
    for node, _ in nodes:
        for annotation in _annotations(node, owner):
            yield from _wrong(annotation, scopes)
        if isinstance(node, SCOPES):
            yield from _in_scope(node, tuple(s for s in scopes if not isinstance(s.node, ast.ClassDef)), rebound)


def _wrong(annotation: ast.expr, scopes: Iterable[Scope]) -> Iterator[tuple[int, str]]:
    for node in ast.walk(annotation):
        if isinstance(node, NOT_ALLOWED):
            yield node.lineno, "an annotation has a `:=`, `yield` or `await`"
        if isinstance(node, ast.Name):
            scope = next((scope for scope in scopes if node.id in scope.bound), None)
            if scope is not None and scope.bound[node.id] > _start(annotation):
                where = getattr(scope.node, "name", "the module")
                yield node.lineno, f"`{node.id}` in an annotation is bound again later, in {where}"


def _own_nodes(node: ast.AST, loop: Position | None) -> Iterator[tuple[ast.AST, Position]]:
    """What is in a scope and in none inside it, with the place where it ends; in a loop, the loop's end: it comes again."""
    body = [node.body] if isinstance(node, ast.Lambda) else getattr(node, "body", [])
    for child in body if isinstance(node, SCOPES) and isinstance(body, list) else ast.iter_child_nodes(node):
        yield child, loop or _end(child)
        declares = isinstance(child, ast.AnnAssign) and child.value is None  # `name: type` binds nothing
        if not declares and not isinstance(child, SCOPES):
            yield from _own_nodes(child, loop or (_end(child) if isinstance(child, LOOPS) else None))


def _names_bound(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
            yield name
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
            yield name
        case ast.MatchMapping(rest=str(name)):
            yield name
        case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
            yield from (alias.asname or alias.name.partition(".")[0] for alias in aliases)


def _annotations(node: ast.AST, owner: ast.AST) -> Iterator[ast.expr]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        yield from filter(None, [*(argument.annotation for argument in _arguments(node.args)), node.returns])
    elif isinstance(node, ast.AnnAssign) and not isinstance(owner, FUNCTIONS):  # a function's variables have none
        yield node.annotation


def _arguments(arguments: ast.arguments) -> list[ast.arg]:
    starred = filter(None, [arguments.vararg, arguments.kwarg])
    return [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *starred]


def _parameters(owner: ast.AST) -> list[str]:
    return [argument.arg for argument in _arguments(owner.args)] if isinstance(owner, FUNCTIONS) else []


def _rebound_from_inside(tree: ast.AST) -> set[str]:
    return {name for node in ast.walk(tree) if isinstance(node, ast.Global | ast.Nonlocal) for name in node.names}


def _start(node: ast.expr) -> Position:
    return node.lineno, node.col_offset


def _end(node: ast.AST) -> Position:
    return getattr(node, "end_lineno", None) or 0, getattr(node, "end_col_offset", None) or 0


def _sources(file: Path) -> Iterator[tuple[int, str]]:
    """The Python in a file, with the number of lines before it: all of a module, each block of a document."""
    if file.suffix == ".py":
        yield 0, file.read_text(encoding="utf-8")
        return
    block: list[str] = []
    before = 0
    for number, language, text in (*lines(file), (0, None, "")):
        if language == "python":
            before = before if block else number - 1
            block.append(text)
        elif block:
            yield before, dedent("\n".join(block))
            block = []


if __name__ == "__main__":
    files = [
        file
        for file in sorted(ROOT.rglob("*"))
        if file.suffix in {".py", ".md"} and not any(part[0] == "." for part in file.relative_to(ROOT).parts)
    ]
    counts: Counter[str] = Counter()
    found = []
    for file in files:
        for before, source in _sources(file):
            counts[file.suffix] += 1
            found += [f"{file.relative_to(ROOT)}:{before + line}: {wrong}" for line, wrong in mistakes(source)]
    if found:
        sys.exit("\n".join(found))
    sys.stdout.write(f"{counts['.py']} modules and {counts['.md']} blocks of Python in documents: annotations\n")
