"""Makes the scoreboard as Markdown, with what broke, how it broke, and the versions."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from benchmarks.harness.page import python, row, versions
from benchmarks.traps.pattern import Pattern
from benchmarks.traps.runner import Result
from benchmarks.traps.scenarios import Scenario

Results = Mapping[Pattern, Sequence[Result]]

CELLS = {"holds": "holds", "breaks": "**breaks**", "cannot be expressed": "*cannot*"}

TEXT = """\
# The traps, as a scoreboard

{answer}

Each trap is a mistake that a database layer in FastAPI can make. All patterns try all traps on a real PostgreSQL, under uvicorn
on loopback, with new tables for each cell. Every pattern is used at its best: with the transaction block of its own
documentation around each unit of work, never with a commit at the end of the request. The code is in
`benchmarks/traps`, with one short module for each pattern. `make traps` runs all of them again and writes this page.

Run on {date}, Python {python}, PostgreSQL {postgres}: {versions}.

- *holds*: the pattern avoids the trap.
- ***breaks***: it falls into the trap; [below](#what-was-seen) is what happened in this run.
- *cannot*: the pattern has no way to express it; the reason is below.

{table}

## What was seen

{details}
"""


def markdown(results: Results, scenarios: Sequence[Scenario], postgres: str) -> str:
    """Return the whole page."""
    return TEXT.format(
        answer=_answer(results, scenarios),
        date=datetime.now(UTC).date(),
        python=python(),
        postgres=postgres,
        versions=", ".join(_versions(results)),
        table="\n".join(_table(results, scenarios)),
        details="\n\n".join(_details(pattern, row, scenarios) for pattern, row in results.items()),
    )


def _answer(results: Results, scenarios: Sequence[Scenario]) -> str:
    """Return what the run found, in one sentence: the first of the page."""
    *others, ours = [sum(result.verdict == "holds" for result in row) for row in results.values()]
    found = f"Poolkeeper holds in {ours} of {len(scenarios)} traps"
    if others:
        found += f", the {len(others)} other patterns in {min(others)} to {max(others)}"
    return f"**{found}.**"


def title(scenario: Scenario) -> str:
    """Return the sentence that names a scenario."""
    return (scenario.__doc__ or "").splitlines()[0].rstrip(".")


def _versions(results: Results) -> Iterable[str]:
    names = {"fastapi", "asyncpg", "uvicorn", *(name for pattern in results for name in pattern.PACKAGES)}
    return versions(names)


def _table(results: Results, scenarios: Sequence[Scenario]) -> Iterator[str]:
    yield row("", "Trap", *(pattern.TITLE for pattern in results))
    yield row("--:", "---", *("---" for _ in results))
    for number, scenario in enumerate(scenarios):
        cells = (CELLS[row[number].verdict] for row in results.values())
        yield row(str(number + 1), title(scenario), *cells)
    yield row("", "a deeper function gets its connection from", *(pattern.DEEPER for pattern in results))
    held = (sum(result.verdict == "holds" for result in row) for row in results.values())
    yield row("", "holds in", *(f"{count} of {len(scenarios)}" for count in held))


def _details(pattern: Pattern, row: Sequence[Result], scenarios: Sequence[Scenario]) -> str:
    lines = [f"### {pattern.TITLE}", "", f"{pattern.FORM[0].upper()}{pattern.FORM[1:]}.", ""]
    for number, (scenario, result) in enumerate(zip(scenarios, row, strict=True), 1):
        if result.verdict != "holds":
            lines.append(f"- {number}, {title(scenario)}: {_plain(result.words)}")
    if lines[-1] == "":
        lines.append("Holds in all.")
    return "\n".join(lines)


def _plain(words: str) -> str:
    """Escape the characters that mean something in Markdown."""
    return "".join(f"\\{sign}" if sign in "*_<>[]|`" else sign for sign in words)
