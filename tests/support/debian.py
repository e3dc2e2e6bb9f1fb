"""Bare roots of Debian's releases, made by debootstrap from this machine's mirror. Needs root."""

import ast
import shutil
import ssl
import subprocess
import sys
from pathlib import Path

_KNOWN = "bookworm"
CA_BUNDLE = "etc/ssl/certs/ca-certificates.crt"
_INDEX_SETTINGS = ("index-url", "proxy")
"""The rest of what pip is told here names folders, which a root does not see."""


def limited(seconds: int, *command: str) -> list[str]:
    """A command in process and mount namespaces of its own: when it ends, or is ended, nothing of it is left."""
    namespaces = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    return [*namespaces, "timeout", "--foreground", "--signal=KILL", str(seconds), *command]


def innermost(pid: int) -> int:
    """The last in the line of children of a process: below `limited`, the program itself."""
    while children := "".join(file.read_text() for file in Path(f"/proc/{pid}/task").glob("*/children")).split():
        pid = int(children[0])
    return pid


def checked(command: list[str], name: str, **options: object) -> str:
    """What a command prints. Raises `AssertionError`, with the end of what it said, when it fails."""
    done = subprocess.run(command, check=False, capture_output=True, text=True, **options)  # type: ignore[call-overload]
    output = done.stdout + done.stderr
    assert done.returncode == 0, f"{name} ended with {done.returncode}:\n{output[-3000:]}"
    return str(done.stdout)


def bootstrap(root: Path, suite: str, *packages: str) -> None:
    """Debian's smallest system with these packages, which trusts the authorities that this machine trusts."""
    included = f"--include={','.join((*packages, 'ca-certificates'))}"
    checked(limited(420, "debootstrap", "--variant=minbase", included, suite, str(root), mirror()), "debootstrap")
    if bundle := _authorities():
        shutil.copyfile(bundle, root / CA_BUNDLE)


def mirror() -> str:
    """Where this machine has its Debian from; empty where it has none."""
    wanted = ("Created-By: Packages", f"Release: {_KNOWN}", "Component: main")
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI)", *wanted]
    return next(iter(checked(command, "apt-get indextargets", timeout=60).splitlines()), "")


def pip_configuration() -> str:
    """A pip.conf for a root: the package index and proxy of this machine, and the root's authorities."""
    settings = _pip_settings()
    index = [f"{name} = {settings[name]}" for name in _INDEX_SETTINGS if name in settings]
    return "\n".join(["[global]", f"cert = /{CA_BUNDLE}", *index])


def _pip_settings() -> dict[str, str]:
    listed = checked([sys.executable, "-m", "pip", "config", "list"], "pip config", timeout=60).splitlines()
    pairs = (line.partition("=") for line in reversed(listed))  # the environment is listed first, and wins
    return {key.rpartition(".")[2]: ast.literal_eval(value) for key, _, value in pairs}


def _authorities() -> str | None:
    return _pip_settings().get("cert") or ssl.get_default_verify_paths().cafile
