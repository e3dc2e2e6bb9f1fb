"""Measures the rate by workers, pool size and clients.

`python -m benchmarks.cost.bends docs/generated/performance/bends.md` also writes a chart
for each number of workers into the page's folder.
"""

import sys
from collections.abc import Callable
from time import sleep

from benchmarks.cost.worker import PRODUCTION, machine, read, serving
from benchmarks.harness.lines import lines
from benchmarks.harness.load import NoLoad, Sample, find_wrk
from benchmarks.harness.machine import allow_connections
from benchmarks.harness.page import page_parser, publish, row
from benchmarks.harness.server import with_records

WORKERS = (1, 2)
POOLS = (1, 2, 4, 16, 64)
CLIENTS = (1, 8, 64, 256, 1000)
MANY = 100
"""Above this number of clients a round takes twice as long, because all of them connect at once."""
PAUSE = 0.5
"""Seconds after each round, in which its connections close."""

Samples = dict[tuple[int, int, int], Sample]
"""Keys: workers, pool size and clients."""


def main() -> None:
    """Run, print and write the page."""
    parser = page_parser("benchmarks.cost.bends", __doc__)
    parser.add_argument("--seconds", type=int, default=2, help="the length of each round")
    parser.add_argument(
        "--rounds", type=int, default=3, help="the best round counts: other load on the machine only lowers a rate"
    )
    arguments = parser.parse_args()
    where = machine()
    samples: Samples = {}
    try:
        find_wrk()
        allow_connections(4096)
        with with_records() as server:
            for _ in range(arguments.rounds):
                for pool in POOLS:  # the numbers of workers run one after the other, because they are compared
                    for workers in WORKERS:
                        _keep_best(samples, _round(server.dsn, workers, pool, arguments.seconds))
    except NoLoad as error:
        sys.exit(str(error))
    text = page(samples, where, arguments.seconds, arguments.rounds)
    if arguments.page:
        for workers, picture in pictures(samples).items():
            arguments.page.with_name(f"bends-{workers}.svg").write_text(picture, encoding="utf-8")
    publish(text, arguments.page)


def _round(dsn: str, workers: int, pool: int, seconds: int) -> Samples:
    seen: Samples = {}
    with serving(PRODUCTION, dsn, pool=pool, workers=workers) as service:
        read(service, "/users/me", seconds=1, connections=16)  # the first second fills caches and does not count
        for clients in CLIENTS:
            longer = 2 if clients > MANY else 1
            sample = read(service, "/users/me", seconds=longer * seconds, connections=clients)
            seen[workers, pool, clients] = sample
            print(f"  {workers} workers, pool {pool}, {clients} clients: {sample}", file=sys.stderr)
            sleep(PAUSE)
    return seen


def _keep_best(samples: Samples, seen: Samples) -> None:
    for key, sample in seen.items():
        if key not in samples or sample.rate > samples[key].rate:
            samples[key] = sample


def page(samples: Samples, where: str, seconds: int, rounds: int) -> str:
    """Return the page, with tables and charts."""
    how = f"the best of {rounds} rounds of {seconds} s for each figure, twice that for more than {MANY} clients"
    parts = [f"# Workers, pool and clients\n\n`GET /users/me` with a token, {how}. {where}.\n"]
    for workers in sorted({workers for workers, _, _ in samples}):
        title = _title(workers)
        rates = _table(samples, workers, lambda sample: f"{sample.rate:,.0f}{'*' * (sample.refused > 0)}")
        waits = _table(samples, workers, lambda sample: f"{sample.p99:,.0f}")
        parts.append(f"## {title}\n\n![{title}](bends-{workers}.svg)\n\nGood answers a second:\n")
        parts.append(f"{rates}\n\n99th percentile of the time to an answer, ms:\n\n{waits}\n")
    parts.append(
        "A star: some requests got a 503 at once, because `database.max_waiting` tasks already waited for a connection.\n"
    )
    return "\n".join(parts)


def pictures(samples: Samples) -> dict[int, str]:
    """Return the SVG charts by number of workers."""
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
    rows = [row("Pool", *(f"{count:,} clients" for count in clients)), row(*["--:"] * (len(clients) + 1))]
    rows.extend(row(str(pool), *(figure(samples[workers, pool, count]) for count in clients)) for pool in pools)
    return "\n".join(rows)


if __name__ == "__main__":
    main()
