"""Processors and versions."""

import os
import platform
from collections.abc import Iterable
from importlib.metadata import version
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


def _affinity() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def described() -> str:
    """The machine in a line."""
    model = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        names = [line.partition(":")[2].strip() for line in information.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    return f"{model}, {len(_affinity())} processors, {platform.system()} {platform.release().split('-')[0]}"


def versions(packages: Iterable[str]) -> str:
    """The installed versions of Python and of some packages."""
    named = (f"{package} {version(package)}" for package in sorted(packages))
    return ", ".join((f"Python {platform.python_version()}", *named))
