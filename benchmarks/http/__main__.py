"""`python -m benchmarks.http docs/generated/benchmarks.md` measures and writes the page; `--quick` prints the targets."""

import argparse
import sys
from pathlib import Path

from benchmarks.harness.load import NoLoad, find_wrk
from benchmarks.harness.machine import Processors, allow_connections, pinned
from benchmarks.harness.running import WrongAnswer
from benchmarks.harness.server import with_records
from benchmarks.http.report import page, pictures, targets, versions_of_contenders, write
from benchmarks.http.run import FULL, QUICK, Run, shortest


def main() -> None:
    """Run, print and write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.http", description=__doc__)
    parser.add_argument("page", type=Path, nargs="?", help="the file to write the page to; it is printed either way")
    parser.add_argument("--quick", action="store_true", help="measure only what the targets need, in about two minutes")
    parser.add_argument(
        "--short",
        action="store_true",
        help="take one second for each figure, to check that everything runs; the figures mean nothing",
    )
    arguments = parser.parse_args()
    plan = QUICK if arguments.quick else FULL
    if arguments.short:
        plan = shortest(plan)
    try:
        find_wrk()
        processors = Processors()
        allow_connections(4096)
        with pinned(processors.others), with_records() as server:
            version = server.version
            results = Run(server, plan, processors).everything()
    except (NoLoad, WrongAnswer) as error:
        sys.exit(str(error))
    text = page(results, plan, version, versions_of_contenders())
    if arguments.page:
        write(text, pictures(results), arguments.page)
    print(f"\n{targets(results) if plan.quick else text}")


if __name__ == "__main__":
    main()
