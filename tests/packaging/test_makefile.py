"""`make run` and the environment that it makes: finished, or made anew; nothing is downloaded here."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from time import sleep

import pytest

from tests.support.documents import ROOT

pytestmark = pytest.mark.packaging

_NOTHING = "INSTALL=-c pass"
_FOR_EVER = "INSTALL=-c \"import time; open('installing', 'w').close(); time.sleep(600)\""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What make needs of the project, in a folder with a space in its name."""
    folder = tmp_path / "a checkout"
    folder.mkdir()
    for name in ("Makefile", "pyproject.toml", "requirements"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
    return folder


def _make(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["make", f"PYTHON={sys.executable}", *arguments]
    return subprocess.run(command, cwd=checkout, env=_environment(), capture_output=True, text=True, check=False)


def _environment() -> dict[str, str]:
    """Without what the make that runs these tests hands down."""
    return {name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}}


def _has_pip(checkout: Path) -> bool:
    return subprocess.run([checkout / ".venv/bin/pip", "--version"], capture_output=True, check=False).returncode == 0


def _interrupt(checkout: Path, number: signal.Signals) -> None:
    """Begin to install, and be interrupted as by Ctrl-C or the system."""
    command = ["make", f"PYTHON={sys.executable}", ".venv/run.stamp", _FOR_EVER]
    with subprocess.Popen(command, cwd=checkout, env=_environment(), start_new_session=True) as process:
        while not (checkout / "installing").exists():
            assert process.poll() is None
            sleep(0.05)
        (checkout / ".venv/half").touch()
        os.killpg(process.pid, number)
    assert not (checkout / ".venv/run.stamp").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_environment_whose_making_was_interrupted_is_made_anew(checkout: Path, number: signal.Signals) -> None:
    """Of a package that pip was just unpacking it would say that it is there."""
    _interrupt(checkout, number)
    assert (made := _make(checkout, ".venv/run.stamp", _NOTHING)).returncode == 0, made.stderr
    assert _has_pip(checkout)
    assert not (checkout / ".venv/half").exists()


def _without_pip(checkout: Path) -> None:
    """As it is without python3-venv, or where it was interrupted before pip was there."""
    shutil.rmtree(next(checkout.glob(".venv/lib/python*/site-packages/pip")))


def _without_python(checkout: Path) -> None:
    """As after its Python was removed."""
    for link in checkout.glob(".venv/bin/python*"):
        link.unlink()
        link.symlink_to("/nowhere/python3")


def _moved(checkout: Path) -> None:
    """As after the folder got another name: its scripts name the old one."""
    pip = checkout / ".venv/bin/pip"
    pip.write_text(pip.read_text().replace(checkout.name, "another"))


@pytest.mark.parametrize("harm", [_without_pip, _without_python, _moved])
def test_an_environment_that_does_not_work_any_more_is_made_anew(checkout: Path, harm: object) -> None:
    """Also one that was finished; and one that works is left alone."""
    assert callable(harm)
    _make(checkout, ".venv/run.stamp", _NOTHING)
    (checkout / ".venv/kept").touch()
    assert "up to date" in _make(checkout, ".venv/run.stamp", _NOTHING).stdout
    harm(checkout)
    assert (made := _make(checkout, ".venv/run.stamp", _NOTHING)).returncode == 0, made.stderr
    assert _has_pip(checkout)
    assert not (checkout / ".venv/kept").exists()


def test_other_requirements_are_installed_into_the_environment_that_is_there(checkout: Path) -> None:
    """It takes seconds, and not a minute."""
    _make(checkout, ".venv/run.stamp", _NOTHING)
    (checkout / ".venv/kept").touch()
    later = (checkout / ".venv/run.stamp").stat().st_mtime + 1
    os.utime(checkout / "pyproject.toml", (later, later))
    assert "Installing the service" in _make(checkout, ".venv/run.stamp", _NOTHING).stdout
    assert (checkout / ".venv/kept").exists()


@pytest.mark.parametrize("python", ["/nowhere/python3", "old"], ids=["none", "without venv, or too old"])
def test_what_is_missing_is_said(checkout: Path, python: str) -> None:
    """Before anything is made, and with what to install."""
    if python == "old":
        python = str(checkout / "python3")
        Path(python).write_text("#!/bin/sh\nexit 1\n")
        Path(python).chmod(0o755)
    made = _make(checkout, "run", f"PYTHON={python}")
    assert made.returncode == 2
    assert "apt install python3-venv" in made.stderr
    assert "make PYTHON=python3.13 run" in made.stderr
    assert not (checkout / ".venv").exists()


def test_run_takes_a_port(checkout: Path) -> None:
    """And hands it to the service."""
    assert "serve --port 8001\n" in _make(checkout, "-n", "run", "PORT=8001").stdout
