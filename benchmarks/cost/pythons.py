"""Compares one row by id on the oldest and the newest Python, both from Debian in a bare root. Needs root and debootstrap.

`python -m benchmarks.cost.pythons build/pythons.md`; `--rounds` and `--seconds` shorten it.
"""

import asyncio
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from time import monotonic

from benchmarks.cost.worker import machine
from benchmarks.harness.page import page_parser, publish
from tests.support.debian import innermost
from tests.support.processes import answer, free_port
from tests.support.pythons import DebianRoot

SUITES = ("bookworm", "sid")
CLIENTS = 16
_TICKS = os.sysconf("SC_CLK_TCK")
_USER = b'{"email":"ada@example.com","password":"correct horse"}'


@dataclass
class Contender:
    """The service under one Python, with the figures of each round."""

    python: str
    port: int
    pid: int
    microseconds: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)

    def measure(self, seconds: float) -> None:
        """Measure one round: processor time of the service for each request, and requests a second."""
        before, started = self._processor(), monotonic()
        answers = asyncio.run(_load(self.port, seconds))
        self.rates.append(answers / (monotonic() - started))
        self.microseconds.append(1e6 * (self._processor() - before) / answers)

    def resident(self) -> float:
        """Return its resident memory in megabytes."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def _processor(self) -> float:
        ticks = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        return sum(map(int, ticks)) / _TICKS


def main() -> None:
    """Run, print and write the page."""
    parser = page_parser("benchmarks.cost.pythons", __doc__)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--seconds", type=float, default=4)
    arguments = parser.parse_args()
    where = machine()
    with ExitStack() as stack:
        contenders = [_contender(stack, suite) for suite in SUITES]
        for contender in contenders:
            contender.measure(arguments.seconds)  # this round fills caches and lets the interpreter specialise its code
            contender.rates.clear()
            contender.microseconds.clear()
        for turn in range(arguments.rounds):
            for contender in contenders[:: -1 if turn % 2 else 1]:
                contender.measure(arguments.seconds)
        rows = "\n".join(_rows(contenders))
    how = f"medians of {arguments.rounds} rounds of {arguments.seconds:g} s, one worker"
    text = (
        f"# One row by its id, on two Pythons\n\n{where}.\n\nBoth at once, asked in turn by {CLIENTS} clients; {how}.\n\n"
        f"| | Processor us a request | Requests a second | Resident |\n| --- | --: | --: | --: |\n{rows}\n"
    )
    publish(text, arguments.page)


def _contender(stack: ExitStack, suite: str) -> Contender:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="poolkeeper-pythons-")))
    folder.chmod(0o755)
    root = DebianRoot(folder, suite)
    port = free_port()
    process = stack.enter_context(root.serving("root", port, POOLKEEPER_DIAGNOSTICS__ENABLED="false"))
    answer(f"http://127.0.0.1:{port}/users/", process, 300)
    asyncio.run(_post(port))
    return Contender(root.run("python3 --version", "root").strip(), port, innermost(process.pid))


def _rows(contenders: list[Contender]) -> Iterator[str]:
    for contender in contenders:
        cost, rate = median(contender.microseconds), median(contender.rates)
        yield f"| {contender.python} | {cost:.0f} | {rate:,.0f} | {contender.resident():.0f} MB |"
    old, new = contenders[0], contenders[-1]
    cost = median(new.microseconds) / median(old.microseconds)
    rate = median(new.rates) / median(old.rates)
    yield f"| the newest to the oldest | {cost:.2f} | {rate:.2f} | {new.resident() / old.resident():.2f} |"


async def _load(port: int, seconds: float) -> int:
    """Return the number of responses. Each client sends its next request when it has its response."""
    end = monotonic() + seconds
    return sum(await asyncio.gather(*(_client(port, end) for _ in range(CLIENTS))))


async def _client(port: int, end: float) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answers = 0
    while monotonic() < end:
        writer.write(b"GET /users/1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        await _read(reader, b"200")
        answers += 1
    writer.close()
    await writer.wait_closed()
    return answers


async def _post(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST /users/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(_USER)}\r\n\r\n"
    writer.write(head.encode() + _USER)
    await _read(reader, b"201")
    writer.close()
    await writer.wait_closed()


async def _read(reader: asyncio.StreamReader, status: bytes) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.split(b" ", 2)[1] == status, head
    length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
    await reader.readexactly(int(length))


if __name__ == "__main__":
    main()
