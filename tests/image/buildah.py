"""Builds and runs container images without an engine: Debian's buildah, on a base from debootstrap. Needs root."""

import ast
import os
import shutil
import ssl
import subprocess
import sys
from pathlib import Path

_SUITE = "bookworm"
_CA_BUNDLE = "etc/ssl/certs/ca-certificates.crt"
_INDEX_SETTINGS = ("index-url", "proxy")
"""The rest of what pip is told here names folders, which a build does not see."""


def missing() -> str | None:
    """Why nothing can be built here, in words; `None` when it can."""
    if os.geteuid() != 0:
        return "building an image without an engine needs root"
    absent = [tool for tool in ("buildah", "debootstrap", "unshare", "apt-get") if shutil.which(tool) is None]
    if absent:
        return f"not installed: {', '.join(absent)}"
    return None if _mirror() else f"apt has no source for Debian {_SUITE}, so there is no base to build on"


def limited(seconds: int, *command: str) -> list[str]:
    """A command in process and mount namespaces of its own: when it ends, or is ended, nothing of it is left."""
    namespaces = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    return [*namespaces, "timeout", "--foreground", "--signal=KILL", str(seconds), *command]


def innermost(pid: int) -> int:
    """The last in the line of children of a process: below `buildah run`, the program in the container."""
    while children := "".join(file.read_text() for file in Path(f"/proc/{pid}/task").glob("*/children")).split():
        pid = int(children[0])
    return pid


class Buildah:
    """buildah with its storage in one folder. Elsewhere it leaves only its cache of blob names, of some kilobytes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.environment = {**os.environ, "BUILDAH_ISOLATION": "chroot", "STORAGE_DRIVER": "vfs", "TMPDIR": str(folder)}

    def command(self, *arguments: str, seconds: int = 120) -> list[str]:
        """What to execute, with `environment`, for a subcommand that may take so many seconds."""
        storage = ("--root", f"{self._folder}/storage", "--runroot", f"{self._folder}/run")
        return limited(seconds, "buildah", *storage, *arguments)

    def __call__(self, *arguments: str, seconds: int = 120) -> str:
        """What a subcommand prints. Raises `AssertionError`, with the end of what it said, when it fails."""
        return self._checked(self.command(*arguments, seconds=seconds), f"buildah {arguments[0]}")

    def make_base(self, name: str) -> None:
        """An image of Debian and its Python, which trusts the authorities that this machine trusts."""
        root = self._folder / "base"
        packages = "--include=python3,python3-venv,ca-certificates"
        bootstrap = limited(420, "debootstrap", "--variant=minbase", packages, _SUITE, str(root), _mirror())
        self._checked(bootstrap, "debootstrap")
        if bundle := _authorities():
            shutil.copyfile(bundle, root / _CA_BUNDLE)
        (self._folder / "Basefile").write_text("FROM scratch\nADD . /\n")
        self("build", "--file", f"{self._folder}/Basefile", "--tag", name, str(root))
        shutil.rmtree(root)

    def build(self, name: str, base: str, project: Path) -> None:
        """The project's image on this base, from the package index that pip uses here."""
        configuration = self._folder / "pip.conf"
        configuration.write_text("\n".join(["[global]", f"cert = /{_CA_BUNDLE}", *_index()]))
        inputs = ("--pull-never", "--build-arg", f"BASE={base}", "--secret", f"id=pip.conf,src={configuration}")
        # HEALTHCHECK is Docker's: the OCI format drops it.
        self("build", "--format", "docker", *inputs, "--tag", name, str(project), seconds=420)

    def _checked(self, command: list[str], name: str) -> str:
        done = subprocess.run(command, env=self.environment, check=False, capture_output=True, text=True)
        assert done.returncode == 0, f"{name} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-3000:]}"
        return done.stdout


def _mirror() -> str:
    wanted = ("Created-By: Packages", f"Release: {_SUITE}", "Component: main")
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)", *wanted],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return next(iter(listed.stdout.splitlines()), "")


def _pip_settings() -> dict[str, str]:
    command = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.splitlines()
    pairs = (line.partition("=") for line in reversed(listed))  # the environment is listed first, and wins
    return {key.rpartition(".")[2]: ast.literal_eval(value) for key, _, value in pairs}


def _index() -> list[str]:
    settings = _pip_settings()
    return [f"{name} = {settings[name]}" for name in _INDEX_SETTINGS if name in settings]


def _authorities() -> str | None:
    return _pip_settings().get("cert") or ssl.get_default_verify_paths().cafile
