"""Where the rate bends: workers, pool sizes and clients.

`python -m benchmarks.cost.bends docs/performance/bends.md` also writes a picture for each number of workers beside the page.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.cost.lines import lines
from benchmarks.cost.worker import PRODUCTION, machine, read, serving
from benchmarks.http.load import NoLoad, Sample, find_wrk
from benchmarks.http.machine import allow_connections
from benchmarks.http.server import postgres

WORKERS = (1, 2)
POOLS = (1, 2, 4, 8, 16, 32, 64)
CLIENTS = (1, 4, 16, 64, 256, 1000)

Samples = dict[tuple[int, int, int], Sample]
"""By workers, pool size and clients."""


def main() -> None:
    """Run, print, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cost.bends", description=__doc__)
    parser.add_argument("page", type=Path, nargs="?", help="where to write the figures too")
    parser.add_argument("--seconds", type=int, default=2, help="of each round")
    arguments = parser.parse_args()
    where = machine()
    samples: Samples = {}
    try:
        find_wrk()
        allow_connections(4096)
        with postgres() as server:
            for pool in POOLS:  # both numbers of workers after one another: they are compared
                for workers in WORKERS:
                    samples.update(_rounds(server.dsn, workers, pool, arguments.seconds))
    except NoLoad as error:
        sys.exit(str(error))
    text = page(samples, where, arguments.seconds)
    if arguments.page:
        arguments.page.write_text(text, encoding="utf-8")
        for workers, picture in pictures(samples).items():
            arguments.page.with_name(f"bends-{workers}.svg").write_text(picture, encoding="utf-8")
    print(text)


def _rounds(dsn: str, workers: int, pool: int, seconds: int) -> Samples:
    seen: Samples = {}
    with serving(PRODUCTION, dsn, pool=pool, workers=workers) as service:
        read(service, "/users/me", seconds=1, connections=16)  # the first second is not counted: caches are filled
        for clients in CLIENTS:
            seen[workers, pool, clients] = sample = read(service, "/users/me", seconds=seconds, connections=clients)
            print(f"  {workers} workers, pool {pool}, {clients} clients: {sample}", file=sys.stderr)
    return seen


def page(samples: Samples, where: str, seconds: int) -> str:
    """Tables and pictures."""
    parts = [f"# Workers, pool and clients\n\n`GET /users/me`, {seconds} s for each figure. {where}.\n"]
    for workers in sorted({workers for workers, _, _ in samples}):
        title = _title(workers)
        rates = _table(samples, workers, lambda sample: f"{sample.rate:,.0f}{'*' * (sample.refused > 0)}")
        waits = _table(samples, workers, lambda sample: f"{sample.p99:,.0f}")
        parts.append(f"## {title}\n\n![{title}](bends-{workers}.svg)\n\nGood answers a second:\n")
        parts.append(f"{rates}\n\n99th percentile of the time to an answer, ms:\n\n{waits}\n")
    parts.append("\\* Some got a 503 at once: more waited for a connection than `database.max_waiting`.\n")
    return "\n".join(parts)


def pictures(samples: Samples) -> dict[int, str]:
    """SVG by number of workers."""
    drawn = {}
    for workers in sorted({workers for workers, _, _ in samples}):
        series: dict[str, dict[int, float]] = {}
        for (those, pool, clients), sample in sorted(samples.items()):
            if those == workers:
                series.setdefault(f"pool of {pool}", {})[clients] = sample.rate
        drawn[workers] = lines(f"{_title(workers)}: good answers a second", "clients at once", series)
    return drawn


def _title(workers: int) -> str:
    return "One worker" if workers == 1 else f"{workers} workers, each with a pool"


def _table(samples: Samples, workers: int, figure: Callable[[Sample], str]) -> str:
    pools = sorted({pool for those, pool, _ in samples if those == workers})
    clients = sorted({count for those, _, count in samples if those == workers})
    rows: list[Sequence[str]] = [["Pool", *(f"{count:,} clients" for count in clients)], ["--:"] * (len(clients) + 1)]
    rows.extend([str(pool), *(figure(samples[workers, pool, count]) for count in clients)] for pool in pools)
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    main()
