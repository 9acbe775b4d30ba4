"""What is installed: the wheel works far from its repository; LOCKED=1 installs what was tested."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
MODULE = ("-m", "labutils")
SCRIPT = "bin/labutils"  # where pip puts console commands below --target
TRAIN = "train --data digits --model mlp --depth 4 --width 8 --epochs 1".split()
needs_make = pytest.mark.skipif(not shutil.which("make"), reason="needs make")


def files_below(folder: Path) -> set[str]:
    """Paths from the folder to its files."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def pip(*arguments: str | Path) -> None:
    options = ("--quiet", "--no-index", "--no-deps", "--disable-pip-version-check")
    command = [sys.executable, "-m", "pip", *map(str, arguments), *options]
    said = subprocess.run(command, capture_output=True, text=True)
    assert said.returncode == 0, said.stdout + said.stderr


class Installed(NamedTuple):
    """A wheel, where it is installed, and a folder to work in that is far from the repository."""

    source: Path
    wheel: Path
    site: Path
    here: Path

    def run(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        """This interpreter with the installed package, and no other of its name.

        Without `site` (-S) there are no hooks of an editable install, which would put the modules
        of the repository in the place of those that the wheel lacks.
        """
        others = [
            path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")
        ]
        environment = {key: text for key, text in os.environ.items() if not key.startswith("LAB_")}
        environment["PYTHONPATH"] = os.pathsep.join([str(self.site), *others])
        environment["PYTHONDONTWRITEBYTECODE"] = "1"
        return subprocess.run(
            [sys.executable, "-S", *map(str, command)],
            cwd=self.here,
            env=environment,
            capture_output=True,
            text=True,
        )


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Installed:
    """Built from a copy, which what earlier builds left in the repository cannot disturb."""
    folder = tmp_path_factory.mktemp("packaging")
    source, site, here = folder / "source", folder / "site", folder / "here"
    cache = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "labutils", source / "labutils", ignore=cache)
    for name in ("pyproject.toml", "requirements.txt", "LICENSE"):
        shutil.copy(ROOT / name, source)
    photographs = source / "labutils" / "data" / "photographs"
    photographs.mkdir(exist_ok=True)
    (photographs / "of-this-test.png").touch()
    before = files_below(source / "labutils")
    pip("wheel", "--no-build-isolation", "--wheel-dir", folder, source)
    assert files_below(source / "labutils") == before
    [wheel] = folder.glob("*.whl")
    pip("install", "--no-compile", "--target", site, wheel)
    here.mkdir()
    return Installed(source, wheel, site, here)


@pytest.mark.slow
def test_the_wheel_holds_the_whole_package_and_nothing_else(installed):
    names = zipfile.ZipFile(installed.wheel).namelist()
    about = f"labutils-{PROJECT['version']}.dist-info/"
    packed = {name for name in names if not name.startswith(about)}
    assert packed == {f"labutils/{name}" for name in files_below(installed.source / "labutils")}
    assert about + "licenses/LICENSE" in names


@pytest.mark.slow
@pytest.mark.parametrize("command", ["", "train", "sweep", "detect", "cam"])
def test_help_needs_no_repository(command, installed):
    page = installed.run(*MODULE, *command.split(), "--help")
    assert page.returncode == 0, page.stderr
    assert f"labutils {command}" in page.stdout


@pytest.mark.slow
def test_the_console_command_ends_with_the_exit_code(installed):
    page = installed.run(installed.site / SCRIPT, "--help")
    assert page.returncode == 0 and "train" in page.stdout, page.stderr
    photograph = installed.site / "labutils" / "data" / "photographs" / "cat.png"
    for command in ("detect", "cam"):
        said = installed.run(installed.site / SCRIPT, command, photograph)
        assert said.returncode == 1, "no network is stored where one works"
        assert "not stored" in said.stderr and "Traceback" not in said.stderr, said.stderr


@pytest.mark.slow
def test_an_installed_package_trains_where_one_works(installed):
    before = files_below(installed.site)
    first = installed.run(*MODULE, *TRAIN)
    assert first.returncode == 0, first.stderr
    [run] = (installed.here / "trained_models").glob("[!.]*")
    assert f"trained_models/{run.name}: finished after 1 epoch" in first.stdout
    assert {"config.json", "history.json", "metrics.json"} <= files_below(run)
    second = installed.run(*MODULE, *TRAIN)
    assert second.returncode == 0 and "stored already" in second.stdout
    assert files_below(installed.site) == before, "nothing is written beside the package"
    assert {path.name for path in installed.here.iterdir()} <= {"trained_models", "build"}


@pytest.mark.slow
def test_an_installed_package_looks_for_data_where_one_works(installed):
    said = installed.run("-c", "from labutils.data.sets import data_root; print(data_root())")
    assert said.stdout == f"{installed.here / 'data'}\n", said.stderr


def locked() -> dict[str, str]:
    """The versions of the lock by package."""
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    found = [re.fullmatch(r"([\w.-]+)==([\w.]+)", line) for line in lines if line[0] != "#"]
    assert all(found), "names and versions alone: no place, no hash, no build of one's own"
    return {canonicalize_name(line[1]): line[2] for line in found}


def test_whatever_is_required_is_locked_to_a_version_that_will_do():
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    required = [text for line in lines if (text := line.partition("#")[0].strip())]
    for extra in PROJECT["optional-dependencies"].values():
        required += extra
    versions = locked()
    for line in required:
        wanted = Requirement(line)
        if wanted.name != PROJECT["name"]:
            assert wanted.specifier.contains(versions[canonicalize_name(wanted.name)]), line
    assert PROJECT["name"] not in versions


@pytest.fixture
def make(tmp_path):
    """Runs make where the interpreter of .venv only notes what it is told; returns the notes."""
    for name in ("Makefile", "pyproject.toml", "requirements.txt", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path)
    interpreter, notes = tmp_path / ".venv" / "bin" / "python", tmp_path / "notes"
    interpreter.parent.mkdir(parents=True)
    interpreter.write_text('#!/bin/sh\necho "$@" >> notes\n')
    interpreter.chmod(0o755)
    (tmp_path / ".venv" / ".made").touch()
    kept = {key: value for key, value in os.environ.items() if key not in ("LOCKED", "MAKEFLAGS")}

    def run(*arguments: str) -> str:
        notes.write_text("")
        command = ["make", *arguments]
        said = subprocess.run(command, cwd=tmp_path, env=kept, capture_output=True, text=True)
        assert said.returncode == 0, said.stderr
        return notes.read_text()

    return run


@needs_make
@pytest.mark.parametrize(
    ("target", "packages"), [("lab", "-r requirements.txt"), ("setup", "-e .[test]")]
)
def test_locked_brings_an_environment_to_the_versions_of_the_lock(target, packages, make, tmp_path):
    unlocked, held = f"pip install {packages}\n", f"pip install -c requirements.lock {packages}\n"
    assert unlocked in make(target)
    assert "pip" not in make(target) + make(target, "LOCKED=0"), "all of it is there"
    assert held in make(target, "LOCKED=1"), "but perhaps of other versions"
    assert "pip" not in make(target, "LOCKED=1")
    os.utime(tmp_path / "requirements.lock", (2**32, 2**32))  # it was written anew
    assert held in make(target, "LOCKED=1")
    os.utime(tmp_path / "requirements.lock", (0, 0))
    assert unlocked in make(target)
    assert held in make(target, "LOCKED=1"), "that may have changed a version"


def test_the_citation_speaks_of_this_version():
    citation = (ROOT / "CITATION.cff").read_text().splitlines()
    assert f"version: {PROJECT['version']}" in citation
    assert f"license: {PROJECT['license']}" in citation
