"""The README's two commands in bare roots of Debian's releases, each with its own Python: `make pythons`. Needs root.

Each root is made in a folder that goes at the end. In it, as root and then as an ordinary user: `make run`, an answer, Ctrl-C,
and the suite or a part of it, with the documents' console blocks.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from argparse import ArgumentParser
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

from tests.support.debian import bootstrap, checked, innermost, limited, pip_configuration
from tests.support.documents import ROOT
from tests.support.processes import answer, free_port

SUITES = ("bookworm", "trixie", "sid")
_USER = "ada"
_CHECKOUT = "/srv/check out"
_PREPARE = """
mount -t proc proc /proc && mount -t devpts devpts /dev/pts -o newinstance,ptmxmode=0666 && ln -sf pts/ptmx /dev/ptmx
mount -t tmpfs -o mode=1777 tmpfs /dev/shm && cd '{checkout}' && exec {as_user} env -i LANG=de_DE.UTF-8 {variables} \
sh -c '{command}'
"""


class DebianRoot:
    """A bare root, with a copy of the checkout in it."""

    def __init__(self, folder: Path, suite: str) -> None:
        self._root = folder / suite
        self.suite = suite
        bootstrap(self._root, suite, "python3", "python3-venv", "make", "curl")
        (self._root / "etc/pip.conf").write_text(pip_configuration())
        shutil.copyfile("/etc/resolv.conf", self._root / "etc/resolv.conf")
        (self._root / "etc/hosts").write_text(
            "127.0.0.1 localhost\n::1 localhost\n"
        )  # an installer's, not debootstrap's
        checked(["chroot", str(self._root), "useradd", "--create-home", _USER], "useradd")
        checkout = self._root / _CHECKOUT.removeprefix("/")
        checkout.mkdir()
        command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
        for name in filter(None, checked(command, "git ls-files", cwd=ROOT).split("\0")):
            if (ROOT / name).is_file():
                (checkout / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, checkout / name)

    def give_to_user(self) -> None:
        """Make the checkout the ordinary user's, with its environment and without data."""
        shutil.rmtree(self._root / _CHECKOUT.removeprefix("/") / ".poolkeeper", ignore_errors=True)
        checked(["chroot", str(self._root), "chown", "-R", f"{_USER}:", _CHECKOUT], "chown")

    def command(self, command: str, user: str, seconds: int) -> list[str]:
        """What to execute to run a command in the checkout."""
        home = "/root" if user == "root" else f"/home/{user}"
        variables = f"PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME={home} USER={user}"
        as_user = "" if user == "root" else f"setpriv --reuid {user} --regid {user} --clear-groups"
        script = _PREPARE.format(checkout=_CHECKOUT, as_user=as_user, variables=variables, command=command)
        return limited(seconds, "chroot", str(self._root), "sh", "-ec", script)

    def run(self, command: str, user: str, seconds: int = 300) -> str:
        """What a command prints."""
        return checked(self.command(command, user, seconds), f"{self.suite}, as {user}: {command}")

    @contextmanager
    def serving(self, user: str, port: int, **variables: str) -> Iterator[subprocess.Popen[str]]:
        """`make run` at this port, with these environment variables."""
        settings = " ".join(f"{name}={value}" for name, value in variables.items())
        with tempfile.TemporaryFile("w+") as output:
            process = subprocess.Popen(
                self.command(f"exec env {settings} make run PORT={port}", user, 600),
                stdout=output,
                stderr=output,
                text=True,
            )
            try:
                yield process
            except BaseException:
                output.seek(0)
                sys.stderr.write(output.read())
                raise
            finally:
                process.kill()
                process.wait()


def _try(root: DebianRoot, user: str, tests: str) -> None:
    started = monotonic()
    port = free_port()
    with root.serving(user, port) as process:
        assert answer(f"http://127.0.0.1:{port}/users/", process, 300).json() == []
        os.kill(innermost(process.pid), signal.SIGINT)
        process.wait(60)
    took = monotonic() - started
    last = root.run(tests, user, 3600).strip().splitlines()[-1]
    version = root.run("python3 --version", user).strip()
    print(f"{root.suite}, {version}, as {user}: make run in {took:.0f} s; {last}", flush=True)


def main() -> None:
    """Try each release that is named, or all of them."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--root-tests", required=True, help="the command for the tests in the checkout, as root")
    parser.add_argument("--tests", required=True, help="the same as an ordinary user")
    parser.add_argument("suites", nargs="*", default=SUITES)
    asked = parser.parse_args()

    def try_suite(suite: str) -> None:
        with tempfile.TemporaryDirectory(prefix="poolkeeper-pythons-") as folder:
            Path(folder).chmod(0o755)
            root = DebianRoot(Path(folder), suite)
            _try(root, "root", asked.root_tests)
            root.give_to_user()
            _try(root, _USER, asked.tests)

    with ThreadPoolExecutor() as threads:  # most of the time is the network's and the disk's
        list(threads.map(try_suite, asked.suites))


if __name__ == "__main__":
    main()
