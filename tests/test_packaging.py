"""The wheel as a user gets it: what it holds, and that it and third-party plugins work outside the checkout."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import pytest

CHECKOUT = Path(__file__).parents[1]
FROM_HERE = ("--no-deps", "--no-index", "--no-build-isolation")

PLUGINS = sorted(path.parent for path in (CHECKOUT / "plugins").glob("*/pyproject.toml"))


BROKEN = {
    "pyproject.toml": """
        [build-system]
        requires = ["hatchling"]
        build-backend = "hatchling.build"

        [project]
        name = "diffmusic-broken"
        version = "0.0.1"

        [project.entry-points.diffmusic]
        broken = "diffmusic_broken"

        [tool.hatch.build.targets.wheel]
        include = ["diffmusic_broken.py"]
        """,
    "diffmusic_broken.py": 'raise RuntimeError("the tape is torn")',
}


@dataclass(frozen=True)
class Environment:
    """A virtual environment of its own; its commands run in ``folder``, outside the checkout."""

    folder: Path

    def path(self, kind: str) -> Path:
        """``scripts``, ``purelib``, ... of the environment, as sysconfig names them."""
        base = str(self.folder / "venv")
        return Path(sysconfig.get_path(kind, "venv", {"base": base, "platbase": base}))

    def run(self, command: str, *arguments: str | Path) -> str:
        """What the command prints. It must succeed, and see nothing of the environment the tests run in."""
        hidden = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
        variables = {name: value for name, value in os.environ.items() if name not in hidden}
        return _run([self.path("scripts") / command, *arguments], self.folder, variables | {"COLUMNS": "200"})

    def install(self, *what: Path) -> None:
        """Install wheels or source trees, from what is here alone."""
        self.run("python", "-m", "pip", "install", "-q", *FROM_HERE, *what)


def _run(command: list[str | Path], folder: Path, variables: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}"
    return done.stdout


def _write(files: dict[str, str], folder: Path) -> Path:
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(dedent(text).lstrip())
    return folder


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    _run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, CHECKOUT], folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The wheel in a fresh environment, which borrows its dependencies from the one the tests run in."""
    fresh = Environment(tmp_path_factory.mktemp("elsewhere"))
    _run([sys.executable, "-m", "venv", fresh.folder / "venv"], fresh.folder)
    fresh.install(wheel)
    borrowed = sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
    # A folder named in a .pth is searched last, and its own .pth files (the editable install) are not read.
    (fresh.path("purelib") / "borrowed.pth").write_text("".join(f"{folder}\n" for folder in borrowed))
    return fresh


@pytest.fixture(scope="module")
def with_plugins(environment: Environment) -> Environment:
    """The same, with the wheels of plugins/ and a distribution of a third party that does not work."""
    sources = [shutil.copytree(path, environment.folder / "plugins" / path.name) for path in PLUGINS]
    broken = _write(BROKEN, environment.folder / "broken")
    wheels = environment.folder / "wheels"
    environment.run("python", "-m", "pip", "wheel", "-q", "-w", wheels, *FROM_HERE, *sources, broken)
    environment.install(*sorted(wheels.glob("*.whl")))
    return environment


def test_wheel_holds_the_packages_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    top = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert top == {"diffmusic", "diffmusic_operators", "diffmusic_solvers"}
    assert {"diffmusic/plugins/spec.py", "diffmusic_operators/plugin.py", "diffmusic_solvers/plugin.py"} <= set(names)
    assert {f"{package}/py.typed" for package in top} <= set(names)
    assert not [name for name in names if "__pycache__" in name]


def test_wheel_holds_the_mini_prior(wheel: Path) -> None:
    files = [name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("diffmusic/backbones/mini/")]
    assert "diffmusic/backbones/mini/model_index.json" in files
    assert [name for name in files if name.endswith(".safetensors")]


def test_wheel_says_the_licences_of_the_code_and_of_the_weights(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    metadata = archive.read(name).decode()
    assert "License-Expression: MIT AND CC-BY-SA-4.0\n" in metadata
    named = set(re.findall(r"^License-File: (.+)$", metadata, flags=re.MULTILINE))
    assert named == {"LICENSE", "diffmusic/backbones/mini/LICENSE", "diffmusic/backbones/mini/CREDITS.md"}
    assert {"diffmusic/backbones/mini/LICENSE", "diffmusic/backbones/mini/CREDITS.md"} <= set(archive.namelist())


def test_runs_outside_the_checkout(environment: Environment) -> None:
    version = environment.run("python", "-c", "import diffmusic; print(diffmusic.__version__)").strip()
    assert version in environment.run("diffmusic", "--version")
    assert "inpainting" in environment.run("diffmusic", "operators")


def test_imports_come_from_the_wheel(environment: Environment) -> None:
    for package in "diffmusic", "diffmusic_operators", "diffmusic_solvers":
        file = environment.run("python", "-c", f"import {package}; print({package}.__file__)").strip()
        assert environment.path("purelib").resolve() in Path(file).resolve().parents


def test_broken_plugin_is_named_with_its_reason(with_plugins: Environment) -> None:
    listing = with_plugins.run("diffmusic", "plugins").splitlines()
    (broken,) = [line for line in listing if "diffmusic-broken" in line]
    assert "BROKEN" in broken
    assert "the tape is torn" in broken
    (working,) = [line for line in listing if "diffmusic-telephone" in line]
    assert "BROKEN" not in working


def test_operators_of_a_third_party_stand_beside_the_own(with_plugins: Environment) -> None:
    listing = with_plugins.run("diffmusic", "operators")
    assert "telephone" in listing
    assert "a telephone's band is left" in listing
    assert "inpainting" in listing


def test_third_party_operator_is_a_command_with_its_own_flags(with_plugins: Environment) -> None:
    text = with_plugins.run("diffmusic", "solve", "telephone", "--help")
    assert "--low" in text
    assert "lower edge, Hz" in text


def test_the_documentation_shows_the_telephone_as_it_is() -> None:
    page = (CHECKOUT / "docs" / "plugins.md").read_text()
    named = dict(re.findall(r"```(?:toml|python)\n# (\S+\.(?:toml|py))\n(.*?)```", page, flags=re.DOTALL))
    assert set(named) == {"pyproject.toml", "diffmusic_telephone.py"}
    for name, text in named.items():
        assert text == (CHECKOUT / "plugins" / "diffmusic-telephone" / name).read_text()


def test_every_plugin_passes_its_own_tests_in_the_fresh_environment(with_plugins: Environment) -> None:
    """Each has a `solve` among them, through the command line."""
    assert {path.name for path in PLUGINS} >= {
        "diffmusic-telephone", "diffmusic-torchaudio", "diffmusic-red", "diffmusic-pink",
        "diffmusic-musicnn", "diffmusic-notes", "diffmusic-images", "diffmusic-musicgen",
    }  # fmt: skip
    tests = [test for path in PLUGINS for test in (with_plugins.folder / "plugins" / path.name).glob("test_*.py")]
    assert len(tests) == len(PLUGINS)
    # Copies without their modules: what is imported is the wheel.
    folder = with_plugins.folder / "tests"
    folder.mkdir()
    copies = [shutil.copy(test, folder) for test in tests]
    report = with_plugins.run("python", "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", *copies)
    assert re.search(r"\d+ passed", report), report


def test_every_plugin_is_listed(with_plugins: Environment) -> None:
    listing = with_plugins.run("diffmusic", "plugins")
    for path in PLUGINS:
        (line,) = [line for line in listing.splitlines() if line.startswith(path.name)]
        # torchaudio fits few machines; where it does not, the reason and the remedy are there.
        assert "BROKEN" not in line or "pip install torchaudio" in line


def test_third_party_operator_passes_the_contract_tests(with_plugins: Environment) -> None:
    report = with_plugins.run("diffmusic", "check", "telephone")
    assert "adjoint" in report
    assert "all passed" in report
