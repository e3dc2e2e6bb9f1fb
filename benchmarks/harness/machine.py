"""Processors and versions."""

import os
import platform
import resource
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


class Processors:
    """Who runs where: the contender alone on the first; load, PostgreSQL and what delays a network on the others."""

    def __init__(self) -> None:
        self.all = _affinity()
        self.contender = {min(self.all)}
        self.others = self.all - self.contender or self.contender

    def described(self) -> str:
        """In words."""
        if not hasattr(os, "sched_setaffinity"):
            return "where the system puts them"
        if self.others == self.contender:
            return "all on one processor"
        return "the contender alone on one processor; wrk and PostgreSQL on the other" + "s" * (len(self.others) > 1)


def pin(process: int, processors: Iterable[int]) -> None:
    """Keep a process, and what it starts from now on, on these processors, where the system can do that; 0 is this one."""
    if hasattr(os, "sched_setaffinity"):
        threads = Path(f"/proc/{process or os.getpid()}/task").glob("*")
        for thread in threads:
            os.sched_setaffinity(int(thread.name), processors)


@contextmanager
def pinned(processors: set[int]) -> Iterator[None]:
    """This process, and what it starts, on these processors until the end of the block."""
    before = _affinity()
    pin(0, processors)
    try:
        yield
    finally:
        pin(0, before)


def _affinity() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def allow_connections(count: int) -> None:
    """Let this process, and what it starts, have so many open, where the system's own limit is lower."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < count:
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (count if hard == resource.RLIM_INFINITY else min(count, hard), hard)
        )


def described() -> str:
    """The machine in a line."""
    model = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        names = [
            line.partition(":")[2].strip() for line in information.read_text().splitlines() if "model name" in line
        ]
        model = names[0] if names else model
    return f"{model}, {len(_affinity())} processors, {platform.system()} {platform.release().split('-')[0]}"
