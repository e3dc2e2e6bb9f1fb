"""A limit: PostgreSQL's own client, on the contender's processor."""

import subprocess
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory

from benchmarks.harness.contender import POOL
from benchmarks.harness.load import Sample
from benchmarks.harness.machine import Processors, pin
from benchmarks.harness.records import ROWS
from benchmarks.harness.server import Postgres

_COLUMNS = "id, name, email, city, amount, active, created_at"
SCRIPTS = {
    "one": f"\\set id random(2, {ROWS - 1})\nSELECT {_COLUMNS} FROM records WHERE id = :id;\n",
    "list": f"SELECT {_COLUMNS} FROM records ORDER BY id OFFSET 0 LIMIT 100;\n",
    "create": (
        "BEGIN;\nINSERT INTO records (name, email, city, amount, active) "
        f"VALUES ('Ada Lovelace', 'ada@example.com', 'London', 1815, true) RETURNING {_COLUMNS};\nCOMMIT;\n"
    ),
}


class PgBench:
    """Sends the statements of a request, without HTTP."""

    name = "pgbench"

    def __init__(self, server: Postgres, processors: Processors) -> None:
        self._server = server
        self._processors = processors

    def sample(self, request: str, seconds: int) -> Sample:
        """Measure transactions a second and their times."""
        with TemporaryDirectory(prefix="poolkeeper-pgbench-") as folder:
            script = Path(folder) / "script.sql"
            script.write_text(SCRIPTS[request])
            command = [
                str(self._server.bin / "pgbench"), "--no-vacuum", "--protocol", "prepared", "--client", str(POOL),
                "--time", str(seconds), "--file", str(script), "--log", "--log-prefix", f"{folder}/log",
                "--host", str(self._server.data), "--username", "postgres", "postgres",
            ]  # fmt: skip
            with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
                pin(process.pid, self._processors.contender)
                _, complaint = process.communicate(timeout=seconds + 30)
            if process.returncode:
                raise RuntimeError(f"pgbench: {complaint}")
            lines = [line for log in Path(folder).glob("log*") for line in log.read_text().splitlines()]
        return parsed(lines, seconds)


def parsed(lines: list[str], seconds: int) -> Sample:
    """Return the sample in pgbench's log of transactions. Its third field is the time in microseconds."""
    hundredths = quantiles((int(line.split()[2]) / 1000 for line in lines), n=100)
    return Sample(rate=len(lines) / seconds, p50=hundredths[49], p99=hundredths[98])
