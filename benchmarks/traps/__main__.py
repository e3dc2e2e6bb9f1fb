"""Runs all patterns through all scenarios and writes the page: `python -m benchmarks.traps docs/generated/traps.md`."""

import sys
from pathlib import Path

from benchmarks.harness.server import embedded
from benchmarks.traps.pattern import PATTERNS, Pattern, load
from benchmarks.traps.report import markdown, title
from benchmarks.traps.runner import Result, attempt, quiet
from benchmarks.traps.scenarios import SCENARIOS


def main(page: Path) -> int:
    """Run, print and write the page. Return 1 unless Poolkeeper holds in all scenarios."""
    patterns = [load(name) for name in PATTERNS]
    with embedded() as server:
        results: dict[Pattern, list[Result]] = {}
        for pattern in patterns:
            print(pattern.TITLE, flush=True)
            results[pattern] = []
            for scenario in SCENARIOS:
                with quiet():
                    result = attempt(pattern, scenario, server.dsn)
                results[pattern].append(result)
                print(f"  {title(scenario)}: {result.verdict} {result.words}".rstrip(), flush=True)
        text = markdown(results, SCENARIOS, server.version)
    page.write_text(text, encoding="utf-8")
    print(f"\n{text}")
    return int(any(result != Result("holds") for result in results[patterns[-1]]))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
