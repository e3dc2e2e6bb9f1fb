"""The page and its pictures, from a run."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.http import machine
from benchmarks.http.contenders import (
    ALL_OF_OURS,
    AWAKE,
    BATCHED,
    CONTENDERS,
    OURS,
    OVERLOAD,
    PEAK,
    POOL,
    SLEEPERS,
    TITLES,
    Contender,
)
from benchmarks.http.load import CONNECTIONS, Figures
from benchmarks.http.plot import Bar, bars
from benchmarks.http.run import SATURATED, SLEEPING, SMALL_POOL, TIMES_TOO_MANY, Plan, Results
from benchmarks.http.targets import TARGETS, Target

_TOO_LONG = {"bare_asgi_held", "pgbench"}
"""Limits that are left out of the pictures: beside them all others would look alike."""

PACKAGES = {"asyncpg", "fastapi", "httptools", "pydantic", "starlette", "uvicorn", "uvloop"}

TEXT = """\
# Benchmarks

The service over HTTP beside its peers: one PostgreSQL, one table, one response body to the byte. `make bench` runs it all
again in about a quarter of an hour and writes this page; `make bench-quick` prints in two minutes what the targets need. The
code is in `benchmarks/http`, a short module for each contender.

Run on {date}{kind}, on {machine}: {versions}, PostgreSQL {postgres}.

## Targets

Ratios of medians of this run. A run says whether they are met; no test does.

{targets}

## How it is measured

- Each contender is one uvicorn worker with uvloop and httptools, without an access log, with a pool of {pool} connections
  that are open from the start. Processors: {processors}.
- wrk asks on {connections} connections, each again as soon as it has its answer. Rounds are interleaved, each contender
  once and then each once more; figures are the medians of {rounds} rounds ({rounds_of_one} of {seconds_of_one} s for one row
  by id, else of 1 s). The spread is from the lowest to the highest rate, as a share of the median.
- Before anything is measured, each contender has answered every kind of request with the same bytes as all others (a row
  that was created differs in its id and time).
- "Processor" is the contender's own processor time for each good answer. It is what the code costs; a machine that is
  busy with other things changes it less than the rate.
- PostgreSQL writes without waiting for the disk, the same for all: a commit costs a round trip, and no more.
- Poolkeeper is the service itself, with scopes, container, services, repositories, typed responses, problem details and its
  ordinary middleware on, and with one more resource that was added as [the how-to](add-a-resource.md) says. Its
  diagnostics, which production does not have, are off. Its uvicorn reads requests with the protocol that `poolkeeper serve` and
  the container image have (`--http {batched}`). Ratios "ours to it" are those of mode `open`.
- In mode `token` each request has a token that is verified, and whose user is looked up: one more statement, which no peer
  sends. "Users remembered" is the same with `auth.remember_seconds` at 1: the one user of this run is looked up once a second.
- "Holds a connection" says what a contender, written as its users write it, does with a connection in a request. It decides
  about requests that wait for something else.
- The limits, *in italics*, do less than an application has to: no validation and no errors, or no database. Connections that
  are never given back are never reset. pgbench sends the statements alone, from the contender's processor.

{tables}
## The wait for a connection

64 tasks on 8 connections read a row each, again and again, in one process without HTTP: {waits}
"""


def page(results: Results, plan: Plan, postgres: str, versions: str) -> str:
    """The whole page; pictures are beside it, in a folder of its name."""
    return TEXT.format(
        date=datetime.now(UTC).date(),
        kind=", a quick one" if plan.quick else "",
        machine=machine.described(),
        versions=versions,
        postgres=postgres,
        targets=targets(results),
        pool=POOL,
        processors=machine.Processors().described(),
        connections=CONNECTIONS,
        batched=BATCHED,
        rounds=plan.rounds,
        rounds_of_one=plan.rounds_of_one,
        seconds_of_one=plan.seconds_of_one,
        tables="\n".join(_sections(results)),
        waits=_waits(results),
    )


def versions() -> str:
    """What the contenders are made of."""
    return machine.versions(PACKAGES.union(*(each.packages for each in CONTENDERS)))


def targets(results: Results) -> str:
    """The table of targets."""
    lines = [
        _row("Work", "Against", "Target", "Mode `open`", "Mode `token`", "Mode `token`, users remembered"),
        _row("---", "---", "--:", "--:", "--:", "--:"),
    ]
    for target in TARGETS:
        seen = (_verdict(target, target.seen(results, ours.name)) for ours in ALL_OF_OURS)
        lines.append(_row(target.work, target.against, _ratio(target, target.wanted), *seen))
    return "\n".join(lines)


def _verdict(target: Target, ratio: float | None) -> str:
    if ratio is None:
        return "not measured"
    return f"{_ratio(target, ratio)}, {'met' if target.is_met(ratio) else '**not met**'}"


def _ratio(target: Target, ratio: float) -> str:
    if target.at_most:
        return f"1/{1 / ratio:.1f}".removesuffix(".0") if ratio else "0"
    return f"{ratio:.2f} x"


def pictures(results: Results) -> dict[str, str]:
    """SVG by kind of work."""
    return {work: _picture(results, work) for work in TITLES if _taking_part(results, work)}


def write(text: str, drawn: dict[str, str], file: Path) -> None:
    """Put the page and its pictures where they belong."""
    folder = file.with_suffix("")
    folder.mkdir(exist_ok=True)
    for work, picture in drawn.items():
        (folder / f"{work}.svg").write_text(picture, encoding="utf-8")
    file.write_text(text, encoding="utf-8")


def _taking_part(results: Results, work: str) -> list[tuple[Contender, Figures]]:
    return [(each, figures) for each in CONTENDERS if (figures := results.figures(work, each.name)) is not None]


def _sections(results: Results) -> Iterator[str]:
    words = {
        AWAKE: f"Each contender with a pool of {SMALL_POOL}, to compare the next table with.",
        SLEEPERS: f"{SLEEPING} requests have read a row and sleep, in the same process; others read meanwhile.",
        PEAK: "The highest rate, with however many connections.",
        OVERLOAD: f"{TIMES_TOO_MANY} times the fewest connections that give {SATURATED:.0%} of that: with more, only "
        "the waits grow. Only good answers are counted.",
    }
    for work, title in TITLES.items():
        if not _taking_part(results, work):
            continue
        yield f"## {title}\n"
        if work in words:
            yield f"{words[work]}\n"
        elif work == "distant":
            yield f"Between contender and PostgreSQL: a round trip of {results.round_trip:.1f} ms, as measured.\n"
        yield from _table(results, work)
        yield f"\n![{title}](benchmarks/{work}.svg)\n"


def _table(results: Results, work: str) -> Iterator[str]:
    yield _row("", "Requests/s", "Spread", "p50, ms", "p99, ms", "Processor, us", "Ours to it", "Holds a connection")
    yield _row("---", "--:", "--:", "--:", "--:", "--:", "--:", "---")
    ours = results.figures(work, OURS.name)
    for each, figures in _taking_part(results, work):
        title = f"*{each.title}*" if each.is_limit else each.title
        if not figures.rate:
            yield _row(title, "0", "", "none", "none", "", "", each.holds)
            continue
        yield _row(
            title,
            f"{figures.rate:,.0f}" + _not_good(figures),
            f"{figures.spread:.0%}",
            f"{figures.p50:.1f}",
            f"{figures.p99:.1f}",
            f"{figures.processor:.0f}" if figures.processor else "",
            f"{ours.rate / figures.rate:.2f} x" if ours else "",
            each.holds,
        )


def _not_good(figures: Figures) -> str:
    parts = [
        *([f"{figures.refused:,} refused"] if figures.refused else []),
        *([f"{figures.failed:,} without an answer"] if figures.failed else []),
    ]
    return f" ({', '.join(parts)})" if parts else ""


def _picture(results: Results, work: str) -> str:
    rows = []
    for each, figures in _taking_part(results, work):
        if each.name in _TOO_LONG:
            continue
        rates = [sample.rate for sample in results.samples[work, each.name]]
        label = each.title.replace("`", "")
        rows.append(Bar(label, figures.rate, min(rates), max(rates), each in ALL_OF_OURS, each.is_limit))
    return bars(TITLES[work], "requests a second", rows)


def _waits(results: Results) -> str:
    ours, theirs = results.waits["ours"], results.waits["asyncpg"]
    return (
        f"one in a hundred waits for longer than {ours:.1f} ms with the service's pool, {theirs:.1f} ms with asyncpg's."
    )


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |".replace("|  |", "| |").replace("|  |", "| |")
