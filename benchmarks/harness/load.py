"""wrk, and what it says."""

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
"""Seconds after which wrk gives up on an answer."""


class NoLoad(Exception):
    """No load can be made. The message says what to do."""


@dataclass(frozen=True)
class Sample:
    """What one run of wrk saw. Times in milliseconds; they are of all answers."""

    rate: float
    """Good answers a second."""
    p50: float
    p99: float
    refused: int = 0
    """Answers that were not good."""
    failed: int = 0
    """Requests without an answer."""
    processor: float = 0.0
    """Microseconds of the contender's processor time for each good answer."""


@dataclass(frozen=True)
class Figures:
    """The medians of some samples."""

    rate: float
    p50: float
    p99: float
    spread: float
    """From the lowest rate to the highest, as a share of the median."""
    refused: int
    failed: int
    processor: float


def find_wrk() -> str:
    """Where wrk is. Raises `NoLoad` where it is missing."""
    program = shutil.which("wrk")
    if program is None:
        raise NoLoad(
            "wrk makes the load, and is not installed. On Debian and Ubuntu: apt-get install wrk. On macOS: brew install wrk"
        )
    return program


def wrk(url: str, request: str, *, seconds: int, connections: int, token: str = "", script: Path = SCRIPT) -> Sample:
    """Ask for so many seconds, each connection again as soon as it has its answer."""
    command = [
        find_wrk(), "--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s",
        "--timeout", f"{PATIENCE}s", "--script", str(script), url, "--", request, *([token] if token else []),
    ]  # fmt: skip
    result = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 2 * PATIENCE, check=False)
    return parsed(result.stdout + result.stderr)


def parsed(output: str) -> Sample:
    """The sample in what wrk and the script have printed. Raises `NoLoad` where there is none."""
    for line in output.splitlines():
        if line.startswith("RESULT "):
            seen = json.loads(line.removeprefix("RESULT "))
            good = seen["requests"] - seen["refused"]
            return Sample(good / seen["seconds"], seen["p50"], seen["p99"], seen["refused"], seen["failed"])
    raise NoLoad(f"wrk did not say what it saw: {output.strip()}")


def figures(samples: Sequence[Sample]) -> Figures:
    """What several rounds come to."""
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
