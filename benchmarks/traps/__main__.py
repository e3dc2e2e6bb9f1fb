"""Run all patterns through all scenarios: `python -m benchmarks.traps docs/generated/traps.md`. Print and write the page."""

import asyncio
import sys
from pathlib import Path

import asyncpg

from benchmarks.traps.pattern import PATTERNS, Pattern, load
from benchmarks.traps.report import markdown, title
from benchmarks.traps.runner import Result, attempt, quiet
from benchmarks.traps.scenarios import SCENARIOS
from service.database import EmbeddedServer


def main(page: Path) -> int:
    """Run, print, write. Gives 1 when Poolkeeper does not hold in all."""
    patterns = [load(name) for name in PATTERNS]
    server = EmbeddedServer(None)
    dsn = server.start()
    try:
        results: dict[Pattern, list[Result]] = {}
        for pattern in patterns:
            print(pattern.TITLE, flush=True)
            results[pattern] = []
            for scenario in SCENARIOS:
                with quiet():
                    result = attempt(pattern, scenario, dsn)
                results[pattern].append(result)
                print(f"  {title(scenario)}: {result.verdict} {result.words}".rstrip(), flush=True)
        text = markdown(results, SCENARIOS, asyncio.run(postgres_version(dsn)))
    finally:
        server.stop()
    page.write_text(text, encoding="utf-8")
    print(f"\n{text}")
    return int(any(result != Result("holds") for result in results[patterns[-1]]))


async def postgres_version(dsn: str) -> str:
    """The server's version, such as `18.4`."""
    connection = await asyncpg.connect(dsn)
    try:
        version: str = await connection.fetchval("SHOW server_version")
        return version.split(maxsplit=1)[0]
    finally:
        await connection.close()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
