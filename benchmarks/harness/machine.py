"""The machine of a run: its processors and limits."""

import os
import platform
import resource
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


class Processors:
    """Assigns processors: the first to the contender alone, the others to wrk, PostgreSQL and the delayed network."""

    def __init__(self) -> None:
        self.all = _affinity()
        self.contender = {min(self.all)}
        self.others = self.all - self.contender or self.contender

    def described(self) -> str:
        """Return the assignment in words."""
        if not hasattr(os, "sched_setaffinity"):
            return "where the system puts them"
        if self.others == self.contender:
            return "all on one processor"
        return "the contender alone on one processor; wrk and PostgreSQL on the other" + "s" * (len(self.others) > 1)


def pin(process: int, processors: Iterable[int]) -> None:
    """Pin a process and its later children to some processors, if the system can. 0 means the current process."""
    if hasattr(os, "sched_setaffinity"):
        threads = Path(f"/proc/{process or os.getpid()}/task").glob("*")
        for thread in threads:
            os.sched_setaffinity(int(thread.name), processors)


@contextmanager
def pinned(processors: set[int]) -> Iterator[None]:
    """Pin the current process and its children to some processors until the end of the block."""
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
    """Raise the limit of open files for this process and its children to `count`, if it is lower."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < count:
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (count if hard == resource.RLIM_INFINITY else min(count, hard), hard)
        )


def described() -> str:
    """Return the machine in one line."""
    model = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        names = [
            line.partition(":")[2].strip() for line in information.read_text().splitlines() if "model name" in line
        ]
        model = names[0] if names else model
    return f"{model}, {len(_affinity())} processors, {platform.system()} {platform.release().split('-')[0]}"
