"""Builds and runs container images without an engine: Debian's buildah, on a base from debootstrap. Needs root."""

import os
import shutil
from pathlib import Path

from tests.support.debian import bootstrap, checked, limited, mirror, pip_configuration

_SUITE = "sid"


def missing() -> str | None:
    """Why nothing can be built here, in words; `None` when it can."""
    if os.geteuid() != 0:
        return "building an image without an engine needs root"
    absent = [tool for tool in ("buildah", "debootstrap", "unshare", "apt-get") if shutil.which(tool) is None]
    if absent:
        return f"not installed: {', '.join(absent)}"
    return None if mirror() else f"apt has no source for Debian {_SUITE}, so there is no base to build on"


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
        return checked(self.command(*arguments, seconds=seconds), f"buildah {arguments[0]}", env=self.environment)

    def make_base(self, name: str) -> None:
        """An image of Debian and its Python, which trusts the authorities that this machine trusts."""
        root = self._folder / "base"
        bootstrap(root, _SUITE, "python3", "python3-venv")
        (self._folder / "Basefile").write_text("FROM scratch\nADD . /\n")
        self("build", "--file", f"{self._folder}/Basefile", "--tag", name, str(root))
        shutil.rmtree(root)

    def build(self, name: str, base: str, project: Path) -> None:
        """The project's image on this base, from the package index that pip uses here."""
        configuration = self._folder / "pip.conf"
        configuration.write_text(pip_configuration())
        inputs = ("--pull-never", "--build-arg", f"BASE={base}", "--secret", f"id=pip.conf,src={configuration}")
        # HEALTHCHECK is Docker's: the OCI format drops it.
        self("build", "--format", "docker", *inputs, "--tag", name, str(project), seconds=420)
