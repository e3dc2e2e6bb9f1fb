"""Makes the page and its charts from the results of a run."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.harness import machine
from benchmarks.harness.bars import Bar, bars
from benchmarks.harness.contender import BATCHED, POOL, Contender
from benchmarks.harness.load import CONNECTIONS, Figures
from benchmarks.harness.page import python, row, versions
from benchmarks.http.contenders import (
    ALL_OF_OURS,
    AWAKE,
    CONTENDERS,
    ONE,
    OURS,
    OVERLOAD,
    PEAK,
    SLEEPERS,
    TITLES,
)
from benchmarks.http.run import SATURATED, SLEEPING, SMALL_POOL, TIMES_TOO_MANY, Plan, Results
from benchmarks.http.targets import TARGETS, Target

_TOO_LONG = {"bare_asgi_held", "pgbench"}
"""Limits that the charts omit: their bars would make all others look equal."""

_NAMED_FIRST = ("global_pool", "sqlalchemy_session", "bare_asgi")
"""The contenders that the first sentence of the page compares with."""

PACKAGES = {"asyncpg", "fastapi", "httptools", "pydantic", "starlette", "uvicorn", "uvloop"}

TEXT = """\
# Benchmarks

{answer}

The service over HTTP beside its peers: one PostgreSQL, one table, and response bodies that are equal byte for byte. `make bench`
measures everything again and writes this page in about a quarter of an hour; `make bench-quick` prints the targets in two
minutes. The code is in `benchmarks/http`, with one short module for each contender.

Run on {date}{kind}, on {machine}: {versions}, PostgreSQL {postgres}.

## Targets

Ratios of medians of this run. The run reports whether they are met; no test enforces them.

{targets}

## How it is measured

- Each contender is one uvicorn worker with uvloop and httptools, without an access log, with a pool of {pool} connections
  that are open from the start. Processors: {processors}.
- wrk keeps {connections} connections busy: each sends its next request when it has its response. Rounds are interleaved:
  every contender once, then every contender again.
  Figures are the medians of {rounds} rounds ({rounds_of_one} of {seconds_of_one} s for one row
  by id, otherwise of 1 s). The spread is the highest rate minus the lowest, as a share of the median.
- Before measuring, the run checks that all contenders answer every kind of request with the same bytes (a created row
  differs in its id and time).
- "Processor" is the contender's own processor time for each good response. It shows the cost of the code, and a busy
  machine changes it less than it changes the rate.
- PostgreSQL writes without waiting for the disk, for all contenders: a commit costs a round trip and nothing else.
- Poolkeeper is the service itself, with scopes, container, services, repositories, typed responses, problem details and its
  ordinary middleware, and with one more resource, added as [the how-to](../add-a-resource.md) describes. Its
  diagnostics are off, as in production. uvicorn reads requests with the same protocol as in `poolkeeper serve` and
  the container image (`--http {batched}`). Ratios "ours to it" use mode `open`.
- In mode `token` each request carries a token. The service verifies it and looks up its user: one more statement, which no peer
  sends. "Users remembered" is the same with `auth.remember_seconds` at 1: the one user of this run is looked up once a second.
- "Holds a connection" is how long a request of this contender, written as its users write it, keeps a connection. It matters
  for requests that wait for something else.
- The limits, *in italics*, do less than an application must: no validation and no errors, or no database. "Connections
  never returned" are never reset. pgbench sends only the statements, from the contender's processor.

{tables}
## The wait for a connection

64 tasks on 8 connections read one row each, repeatedly, in one process without HTTP: {waits}
"""


def page(results: Results, plan: Plan, postgres: str, versions: str) -> str:
    """Return the whole page. Its charts are in a folder with the page's name."""
    return TEXT.format(
        date=datetime.now(UTC).date(),
        kind=", a quick one" if plan.quick else "",
        machine=machine.described(),
        versions=versions,
        postgres=postgres,
        answer=_answer(results),
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


def versions_of_contenders() -> str:
    """Return the versions of Python and of the contenders' packages."""
    return ", ".join((f"Python {python()}", *versions(PACKAGES.union(*(each.packages for each in CONTENDERS)))))


def _answer(results: Results) -> str:
    """Return what the run found, in one sentence: the first of the page."""
    ours = results.figures(ONE, OURS.name)
    ratios = {
        name: ours.rate / peer.rate
        for name in _NAMED_FIRST
        if ours and (peer := results.figures(ONE, name)) and peer.rate
    }
    if ours is None or len(ratios) < len(_NAMED_FIRST):
        return "One row by id was not measured for all contenders in this run."
    return (
        f"**In this run the service answers {ours.rate:,.0f} requests a second for one row by id in mode `open`: "
        f"{ratios['global_pool']:.1f} times as many as a\nhand-written global pool, {ratios['sqlalchemy_session']:.1f} times "
        f"an SQLAlchemy session, {ratios['bare_asgi']:.1f} times bare ASGI with asyncpg's pool.**"
    )


def targets(results: Results) -> str:
    """Return the table of targets."""
    lines = [
        row("Work", "Against", "Target", "Mode `open`", "Mode `token`", "Mode `token`, users remembered"),
        row("---", "---", "--:", "--:", "--:", "--:"),
    ]
    for target in TARGETS:
        seen = (_verdict(target, target.seen(results, ours.name)) for ours in ALL_OF_OURS)
        lines.append(row(target.work, target.against, _ratio(target, target.wanted), *seen))
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
    """Return the SVG charts by kind of work."""
    return {work: _picture(results, work) for work in TITLES if _taking_part(results, work)}


def write(text: str, drawn: dict[str, str], file: Path) -> None:
    """Write the page and its charts."""
    folder = file.with_suffix("")
    folder.mkdir(exist_ok=True)
    for work, picture in drawn.items():
        (folder / f"{work}.svg").write_text(picture, encoding="utf-8")
    file.write_text(text, encoding="utf-8")


def _taking_part(results: Results, work: str) -> list[tuple[Contender, Figures]]:
    return [(each, figures) for each in CONTENDERS if (figures := results.figures(work, each.name)) is not None]


def _sections(results: Results) -> Iterator[str]:
    words = {
        AWAKE: f"Each contender with a pool of {SMALL_POOL}: the baseline of the next table.",
        SLEEPERS: f"{SLEEPING} requests have read a row and sleep in the same process, while other requests read.",
        PEAK: "The highest rate, at the number of connections where it is reached.",
        OVERLOAD: f"{TIMES_TOO_MANY} times the fewest connections that reach {SATURATED:.0%} of that rate: with more, only "
        "the waits grow. Only good responses count.",
    }
    for work, title in TITLES.items():
        if not _taking_part(results, work):
            continue
        yield f"## {title}\n"
        if work in words:
            yield f"{words[work]}\n"
        elif work == "distant":
            yield f"Between contender and PostgreSQL: a measured round trip of {results.round_trip:.1f} ms.\n"
        yield from _table(results, work)
        yield f"\n![{title}](benchmarks/{work}.svg)\n"


def _table(results: Results, work: str) -> Iterator[str]:
    yield row("", "Requests/s", "Spread", "p50, ms", "p99, ms", "Processor, us", "Ours to it", "Holds a connection")
    yield row("---", "--:", "--:", "--:", "--:", "--:", "--:", "---")
    ours = results.figures(work, OURS.name)
    for each, figures in _taking_part(results, work):
        title = f"*{each.title}*" if each.is_limit else each.title
        if not figures.rate:
            yield row(title, "0", "", "none", "none", "", "", each.holds)
            continue
        yield row(
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
