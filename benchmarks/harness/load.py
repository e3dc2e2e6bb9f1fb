"""Runs wrk and reads its results."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

SCRIPT = Path(__file__).with_name("load.lua")
CONNECTIONS = 32
PATIENCE = 10
"""Seconds after which wrk stops waiting for a response."""


class NoLoad(Exception):
    """wrk cannot make a load. The message says what to do."""


@dataclass(frozen=True)
class Sample:
    """The results of one run of wrk. Times are in milliseconds and include all responses."""

    rate: float
    """Good responses a second."""
    p50: float
    p99: float
    refused: int = 0
    """Responses that were not good."""
    failed: int = 0
    """Requests without a response."""
    processor: float = 0.0
    """Microseconds of the contender's processor time for each good response."""


@dataclass(frozen=True)
class Figures:
    """Medians of several samples."""

    rate: float
    p50: float
    p99: float
    spread: float
    """The highest rate minus the lowest, as a share of the median."""
    refused: int
    failed: int
    processor: float


def find_wrk() -> str:
    """Return the path of wrk. Raise `NoLoad` if it is not installed."""
    program = shutil.which("wrk")
    if program is None:
        raise NoLoad(
            "wrk makes the load and is not installed. On Debian and Ubuntu: apt-get install wrk. On macOS: brew install wrk"
        )
    return program


def wrk(url: str, request: str, *, seconds: int, connections: int, token: str = "", script: Path = SCRIPT) -> Sample:
    """Send requests for some seconds. Each connection sends its next request when it has its response."""
    command = [
        find_wrk(), "--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s",
        "--timeout", f"{PATIENCE}s", "--script", str(script), url, "--", request, *([token] if token else []),
    ]  # fmt: skip
    result = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 2 * PATIENCE, check=False)
    return parsed(result.stdout + result.stderr)


def parsed(output: str) -> Sample:
    """Return the sample that the Lua script printed. Raise `NoLoad` if it printed none."""
    for line in output.splitlines():
        if line.startswith("RESULT "):
            seen = json.loads(line.removeprefix("RESULT "))
            good = seen["requests"] - seen["refused"]
            return Sample(good / seen["seconds"], seen["p50"], seen["p99"], seen["refused"], seen["failed"])
    raise NoLoad(f"wrk printed no result: {output.strip()}")


def figures(samples: Sequence[Sample]) -> Figures:
    """Return the medians of several rounds."""
    rates = [sample.rate for sample in samples]
    middle = median(rates)
    return Figures(
        rate=middle,
        p50=median(sample.p50 for sample in samples),
        p99=median(sample.p99 for sample in samples),
        spread=(max(rates) - min(rates)) / middle if middle else 0.0,
        refused=sum(sample.refused for sample in samples),
        failed=sum(sample.failed for sample in samples),
        processor=median(sample.processor for sample in samples),
    )
