"""The revisions of the schema as a graph, read from their files. Importing it does not import Alembic."""

import ast
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

_AS_ADVISED = "Do not change the one that databases already have."


class MigrationError(Exception):
    """The schema cannot be brought to the revision. The message says why."""


class DatabaseAbsent(MigrationError):
    """The server cannot be reached, or does not accept connections yet. It may later."""


class SchemaAhead(MigrationError):
    """The schema is at a revision that this code does not have: newer code or another branch has migrated it."""


_TABLE = re.compile(
    r"CREATE (?:UNLOGGED )?TABLE (?:IF NOT EXISTS )?(?P<created>\w+)|DROP TABLE (?:IF EXISTS )?(?P<dropped>\w+)"
    r"|ALTER TABLE (?:IF EXISTS )?(?P<old>\w+) RENAME TO (?P<new>\w+)"
)
"""The statements of an `upgrade` that change which tables there are."""


@dataclass(frozen=True, slots=True)
class Revision:
    """A file of the history: its revision's name, the names of the revisions that it follows, and its `upgrade` as text."""

    name: str
    follows: tuple[str, ...]
    file: str
    upgrade: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A database's schema compared with this code. `said`: the same as text, with the command to run."""

    behind: bool
    ahead: bool
    said: str


@dataclass(frozen=True)
class History:
    """All revisions of the code, in the order of their files' names."""

    revisions: tuple[Revision, ...]

    @cached_property
    def heads(self) -> tuple[str, ...]:
        """Return the revisions that no other follows: one, unless two branches were merged."""
        followed = {name for revision in self.revisions for name in revision.follows}
        return tuple(dict.fromkeys(revision.name for revision in self.revisions if revision.name not in followed))

    @cached_property
    def tables(self) -> tuple[str, ...]:
        """Return the tables that the revisions leave, oldest first, as far as their SQL is written out."""
        tables: dict[str, None] = {}
        for revision in self.revisions:
            for statement in _TABLE.finditer(revision.upgrade):
                tables.pop(statement["dropped"] or statement["old"], None)
                if name := statement["created"] or statement["new"]:
                    tables[name] = None
        return tuple(tables)

    @cached_property
    def mistake(self) -> str:
        """Return the mistake in the revisions and how to correct it; empty if they lead to one head."""
        return next(self._mistakes(), "")

    def ancestors(self, name: str) -> set[str]:
        """Return a revision and all before it."""
        found: set[str] = set()
        open_ends = [name]
        while open_ends:
            if (here := open_ends.pop()) not in found:
                found.add(here)
                open_ends += [
                    before for revision in self.revisions if revision.name == here for before in revision.follows
                ]
        return found

    def compare(self, applied: Collection[str]) -> Comparison:
        """Compare the revisions of a database, the rows of `alembic_version`, with this code.

        Raises `MigrationError` if the code's own revisions do not lead to one head.
        """
        self.check()
        at, head = " and ".join(sorted(applied)) or "nothing", self.heads[0]
        if unknown := sorted(set(applied) - {revision.name for revision in self.revisions}):
            said = (
                f"at {at} and the code has no revision {' and '.join(unknown)}, only up to {head}: "
                "newer code or another branch has migrated it"
            )
            return Comparison(behind=False, ahead=True, said=said)
        if set(applied) == {head}:
            return Comparison(behind=False, ahead=False, said=f"at {at}")
        return Comparison(behind=True, ahead=False, said=f"at {at} and the code needs {head}: run `poolkeeper migrate`")

    def check(self) -> None:
        """Raise `MigrationError` if the revisions do not lead to one head."""
        if self.mistake:
            raise MigrationError(self.mistake)

    def _mistakes(self) -> Iterator[str]:
        by_name: dict[str, Revision] = {}
        for revision in self.revisions:
            if (other := by_name.setdefault(revision.name, revision)) is not revision:
                yield self._renumbered(other, revision)
        for revision in self.revisions:
            for name in revision.follows:
                if name not in by_name:
                    yield (
                        f"{revision.file} follows {name!r}, and no file has that revision: "
                        "write the one that it follows into its down_revision, or bring the file back"
                    )
        if not self.heads:
            yield "no revision is the last: each file's down_revision names another, in a circle, or there is no file"
        if len(self.heads) > 1:
            yield self._put_in_order(by_name)

    def _renumbered(self, kept: Revision, moved: Revision) -> str:
        """Say how to correct a name used twice: the second file becomes the last revision."""
        others = History(tuple(revision for revision in self.revisions if revision is not moved))
        last = next(iter(others.heads), moved.name)
        new = self._next_name(moved.name)
        file = new + moved.file.removeprefix(moved.name) if moved.file.startswith(moved.name) else moved.file
        return (
            f"{kept.file} and {moved.file} both are revision {moved.name!r}, from two branches. Put one after the other: "
            f"rename {moved.file} to {file}, and write into it revision = {new!r} and down_revision = {last!r}. {_AS_ADVISED}"
        )

    def _put_in_order(self, by_name: dict[str, Revision]) -> str:
        """Say how to correct two heads: the first revision of the second branch follows the first branch."""
        first, second = self.heads[:2]
        shared = self.ancestors(first)
        start = by_name[second]
        while earlier := [name for name in start.follows if name not in shared]:
            start = by_name[earlier[0]]
        return (
            f"two revisions are the last: {by_name[first].file} and {by_name[second].file}, from two branches. "
            f"Put one branch after the other: write into {start.file} down_revision = {first!r}. {_AS_ADVISED}"
        )

    def _next_name(self, name: str) -> str:
        numbers = [int(revision.name) for revision in self.revisions if revision.name.isdecimal()]
        return f"{max(numbers) + 1:0{len(name)}}" if name.isdecimal() else f"{name}_2"


def read(folder: Path) -> History:
    """Return the history in a folder of Alembic's revision files."""
    return History(tuple(revision for file in sorted(folder.glob("*.py")) for revision in _revision(file)))


def _revision(file: Path) -> Iterator[Revision]:
    """Yield the revision in a file, if it has a `revision`."""
    values: dict[str, object] = {}
    upgrade = ""
    source = file.read_text(encoding="utf-8")
    for statement in ast.parse(source, str(file)).body:
        if isinstance(statement, ast.FunctionDef) and statement.name == "upgrade":
            upgrade = ast.get_source_segment(source, statement) or ""
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        names = [target.id for target in targets if isinstance(target, ast.Name)]
        if names and names[0] in {"revision", "down_revision"} and isinstance(statement, ast.Assign | ast.AnnAssign):
            values[names[0]] = ast.literal_eval(statement.value) if statement.value is not None else None
    if isinstance(name := values.get("revision"), str):
        follows = values.get("down_revision") or ()
        before = (follows,) if isinstance(follows, str) else tuple(map(str, follows))  # type: ignore[call-overload]
        yield Revision(name, before, file.name, upgrade)
