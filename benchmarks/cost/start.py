"""Measures the time from the start of a worker to its first response, as in production: warm, and without a migration.

`python -m benchmarks.cost.start`; `-X importtime` prints the time of each import:
`python -X importtime -c 'import service.main'`.
"""

import argparse
import http.client
import os
import signal
import subprocess
import sys
from statistics import median
from time import perf_counter, sleep

import psutil  # type: ignore[import-untyped]

from benchmarks.cost.worker import PRODUCTION, machine
from benchmarks.harness.running import UVICORN, free_port
from benchmarks.harness.server import with_records


def main() -> None:
    """Run and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cost.start", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    where = machine()
    with with_records() as server:
        _start(server.dsn)  # the first start fills the file system's cache
        seen = [_start(server.dsn) for _ in range(arguments.rounds)]
    walls, processors = zip(*seen, strict=True)
    print(f"{where}; {arguments.rounds} starts")
    print(f"first response after {min(walls):.2f} s at best, {median(walls):.2f} s in the median")
    print(f"processor time until then {min(processors):.2f} s at best, {median(processors):.2f} s in the median")


def _start(dsn: str) -> tuple[float, float]:
    """Return the seconds until the service is ready: by the clock and of processor time."""
    port = free_port()
    variables = {name: value for name, value in PRODUCTION.variables.items() if value}
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        PRODUCTION.app,
        "--port",
        str(port),
        "--http",
        PRODUCTION.http,
        *UVICORN,
    ]
    started = perf_counter()
    with subprocess.Popen(command, env={**os.environ, **variables, "DATABASE_URL": dsn}) as process:
        try:
            while not _is_ready(port):
                if process.poll() is not None:
                    sys.exit("the service did not start; its output is above")
                sleep(0.002)
            wall = perf_counter() - started
            times = psutil.Process(process.pid).cpu_times()
            return wall, float(times.user + times.system)
        finally:
            process.send_signal(signal.SIGKILL)


def _is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == http.client.OK
    except OSError:
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    main()
