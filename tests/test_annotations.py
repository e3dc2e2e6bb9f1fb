"""The check that refuses annotations whose meaning depends on when they are evaluated."""

from textwrap import dedent

import pytest

from tests.support.annotations import mistakes

REFUSED = {
    "a method of that name": """
        class Repository:
            async def list(self) -> list[int]: ...
    """,
    "a method further down": """
        class Repository:
            def first(self, kind: type[int]) -> None: ...
            def type(self) -> str: ...
    """,
    "a property further down": """
        class Group:
            members: set[int]
            @property
            def set(self) -> int: ...
    """,
    "a field with a default further down": """
        from datetime import date
        class Day:
            start: date
            date: date | None = None
    """,
    "a name of the module that is bound again": """
        Id = int
        def get(item: Id) -> None: ...
        Id = str
    """,
    "a name that an import binds again": """
        from a import Item
        def get(item: Item) -> None: ...
        from b import Item
    """,
    "a name that a function binds": """
        Pool = None
        def get(pool: Pool) -> None: ...
        def open_pool():
            global Pool
            Pool = 1
    """,
    "the variable of a loop": """
        for kind in (int, str):
            def get(item: kind) -> None: ...
    """,
    "a variable of the function around it": """
        def make():
            Kind = int
            def get(item: Kind) -> None: ...
            Kind = str
    """,
    "a name that is deleted": """
        Id = int
        def get(item: Id) -> None: ...
        del Id
    """,
    "the class itself": """
        class Node:
            def next(self) -> Node: ...
    """,
    "inside another type": """
        class Repository:
            def get(self) -> dict[str, tuple[list[int], ...]] | None: ...
            def list(self) -> None: ...
    """,
    "an assignment": """
        def get(item: (kind := int)) -> None: ...
    """,
}

ALLOWED = {
    "another way to the built-in type": """
        import builtins
        class Repository:
            async def list(self) -> builtins.list[int]: ...
    """,
    "a nested class, bound before it is used": """
        class Outer:
            class Kind: ...
            kind: Kind
            def get(self) -> Kind: ...
    """,
    "a method's own function, which does not see the class": """
        class Repository:
            def list(self):
                def inner() -> list[int]: ...
    """,
    "one of two ways to bind a name": """
        try:
            from a import Item
        except ImportError:
            Item = None
        def get(item: Item) -> None: ...
    """,
    "a field without a value, which binds nothing": """
        class Day:
            start: list[int]
            list: int
    """,
    "a variable of a function, whose annotation nobody evaluates": """
        def get():
            rows: list[int] = []
            list = 1
    """,
    "a quoted name": """
        class Node:
            def next(self) -> "Node": ...
    """,
    "a module whose annotations are strings": """
        from __future__ import annotations
        class Repository:
            async def list(self) -> list[int]: ...
    """,
}


def _found(source: str) -> list[tuple[int, str]]:
    return list(mistakes(dedent(source)))


@pytest.mark.parametrize("source", REFUSED.values(), ids=REFUSED)
def test_an_annotation_that_changes_its_meaning_is_refused(source: str) -> None:
    """Whatever binds its name again between the line and the first look at the annotation."""
    assert _found(source)


@pytest.mark.parametrize("source", ALLOWED.values(), ids=ALLOWED)
def test_an_annotation_that_means_the_same_at_all_times_is_allowed(source: str) -> None:
    """A name that is bound once, before it is used, or elsewhere."""
    assert not _found(source)


def test_the_line_and_the_name_are_said() -> None:
    """So that whoever is told finds it."""
    source = "class Repository:\n\n    def list(self) -> list[int]: ...\n"
    assert list(mistakes(source)) == [(3, "`list` in an annotation is bound again later, in Repository")]
