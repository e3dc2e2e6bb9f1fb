"""The graph of revisions, read from files without Alembic, and what is said of mistakes in it."""

import io
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory

from containers import Container
from service.migrations import HEAD, HISTORY, MigrationError, runner
from service.migrations.history import History, read

FILES = {
    "0001_a.py": 'revision = "0001"\ndown_revision = None\n',
    "0002_b.py": 'revision: str = "0002"\ndown_revision: str | None = "0001"\n',
    "ae1027a6acf_c.py": 'revision = "ae1027a6acf"\ndown_revision = "0002"\n',
    "1b2_d.py": 'revision = "1b2"\ndown_revision = "0002"\n',
    "10000_e.py": 'revision = "10000"\ndown_revision = ("ae1027a6acf", "1b2")\n',
}


def _history(folder: Path, **files: str) -> History:
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return read(folder)


def _revision(name: str, follows: str | None) -> str:
    return f"revision = {name!r}\ndown_revision = {follows!r}\n"


@pytest.fixture
def history(tmp_path: Path) -> History:
    """Numbers, a hash, two branches and their merge."""
    return _history(tmp_path, **{name.removesuffix(".py"): text for name, text in FILES.items()})


def test_tables_follow_the_statements_of_upgrades(tmp_path: Path) -> None:
    """A table that was created and dropped or renamed is not there under that name; a `downgrade` changes nothing."""
    first = """
def upgrade():
    op.execute("CREATE TABLE notes (id bigint)")
    op.execute("CREATE UNLOGGED TABLE IF NOT EXISTS counts (id bigint)")
    op.execute("CREATE TABLE labels (id bigint)")

def downgrade():
    op.execute("DROP TABLE notes")
"""
    second = """
def upgrade():
    op.execute("ALTER TABLE labels RENAME TO tags")
    op.execute("DROP TABLE IF EXISTS counts")
"""
    history = _history(tmp_path, a=_revision("1", None) + first, b=_revision("2", "1") + second)
    assert history.tables == ("notes", "tags")


async def test_the_tables_are_those_of_a_migrated_database(container: Container) -> None:
    """`poolkeeper check` tries each of them, without a list to keep."""
    async with container.database().scope("tables"):
        sql = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
        rows = await container.connection().fetch(sql)
    assert {row[0] for row in rows} == {*HISTORY.tables, "alembic_version"}


def test_it_is_alembics_graph(history: History, tmp_path: Path) -> None:
    """Read from the files' text, it has the same heads, and the same ancestors of each revision."""
    config = runner._config(io.StringIO())
    for folder, found in ((tmp_path, history), (Path(runner.__file__).parent / "versions", HISTORY)):
        config.set_main_option("version_locations", str(folder))
        scripts = ScriptDirectory.from_config(config)
        assert scripts.get_heads() == list(found.heads)
        for revision in found.revisions:
            assert found.ancestors(revision.name) == {
                step.revision for step in scripts.iterate_revisions(revision.name, "base")
            }
    assert HISTORY.heads == (HEAD,)


@pytest.mark.parametrize(
    ("applied", "behind", "ahead", "said"),
    [
        (["10000"], False, False, "at 10000"),
        ([], True, False, "at nothing and the code needs 10000: run `poolkeeper migrate`"),
        (["0002"], True, False, "at 0002 and the code needs 10000: run `poolkeeper migrate`"),
        (["ae1027a6acf"], True, False, "at ae1027a6acf and the code needs 10000: run `poolkeeper migrate`"),
        (["1b2", "ae1027a6acf"], True, False, "at 1b2 and ae1027a6acf and the code needs 10000: run `poolkeeper migrate`"),
        (
            ["9999"], False, True,
            "at 9999 and the code has no revision 9999, only up to 10000: newer code or another branch has migrated it",
        ),
    ],
)  # fmt: skip
def test_revisions_are_compared_by_the_graph(
    history: History, applied: list[str], behind: bool, ahead: bool, said: str
) -> None:
    """As text, `9999` is after `10000`, and a hash is anywhere."""
    compared = history.compare(applied)
    assert (compared.behind, compared.ahead, compared.said) == (behind, ahead, said)


def test_one_number_given_twice(tmp_path: Path) -> None:
    """The message has the new number, the file's new name, and what it follows: the end of the other branch."""
    files = {
        "0001_users": _revision("0001", None),
        "0002_notes": _revision("0002", "0001"),
        "0002_tags": _revision("0002", "0001"),
        "0003_more": _revision("0003", "0002"),
    }
    history = _history(tmp_path, **files)
    with pytest.raises(MigrationError) as caught:
        history.compare([])
    assert str(caught.value) == (
        "0002_notes.py and 0002_tags.py both are revision '0002', from two branches. Put one after the other: rename "
        "0002_tags.py to 0004_tags.py, and write into it revision = '0004' and down_revision = '0003'. "
        "Do not change the one that databases already have."
    )
    (tmp_path / "0002_tags.py").unlink()
    assert _history(tmp_path, **{"0004_tags": _revision("0004", "0003")}).mistake == ""


def test_two_heads(tmp_path: Path) -> None:
    """The message names the file that the second branch begins with, and what to write into it."""
    files = {
        "0001_users": _revision("0001", None),
        "0002_notes": _revision("0002", "0001"),
        "0003_tags": _revision("0003", "0001"),
        "0004_more_tags": _revision("0004", "0003"),
    }
    history = _history(tmp_path, **files)
    assert history.mistake == (
        "two revisions are the last: 0002_notes.py and 0004_more_tags.py, from two branches. Put one branch after the "
        "other: write into 0003_tags.py down_revision = '0002'. Do not change the one that databases already have."
    )
    assert _history(tmp_path, **{"0003_tags": _revision("0003", "0002")}).mistake == ""


def test_a_file_that_is_missing(tmp_path: Path) -> None:
    """As after a branch was merged by half."""
    history = _history(tmp_path, **{"0001_users": _revision("0001", None), "0003_tags": _revision("0003", "0002")})
    assert history.mistake.startswith("0003_tags.py follows '0002', and no file has that revision: ")


def test_a_circle_and_an_empty_folder(tmp_path: Path) -> None:
    """Neither has a last revision."""
    assert read(tmp_path).mistake.startswith("no revision is the last: ")
    circle = _history(tmp_path, **{"0001_a": _revision("0001", "0002"), "0002_b": _revision("0002", "0001")})
    assert circle.mistake.startswith("no revision is the last: ")


def test_a_file_without_a_revision_is_none(tmp_path: Path) -> None:
    """A helper that revisions import."""
    assert _history(tmp_path, helpers="x, y = 1, 2\nx += 1\nz: int\n").revisions == ()
