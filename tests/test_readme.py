"""What the README says is run as it is written."""

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_python_example_runs(tmp_path: Path) -> None:
    (code,) = [block for block in blocks("python") if "restore(" in block]
    assert "steps=10)" in code
    # One step instead of ten: the example is run, not listened to.
    code = code.replace("steps=10)", "steps=1)").replace("examples/clip.flac", str(ROOT / "examples" / "clip.flac"))
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    assert (tmp_path / "restored.flac").stat().st_size > 3e5


def test_every_command_line_is_understood(run: Callable[..., SimpleNamespace]) -> None:
    lines = [line.split("#")[0].strip() for block in blocks("sh") for line in block.splitlines()]
    commands = [shlex.split(line.replace(".venv/bin/", "")) for line in lines if "diffmusic" in line.split("#")[0]]
    assert len(commands) >= 8
    for _, *words in commands:
        result = run(*words)
        # The files in the examples do not exist here: that, and nothing about the words, may be complained of.
        missing = re.search(r"no such file|lies outside|several inputs need a folder|does not exist", result.err)
        assert result.code == 0 or missing, (words, result.err)


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#:]+)\)", README))
def test_links_lead_somewhere(link: str) -> None:
    assert (ROOT / link).exists()


def test_it_is_read_in_one_sitting() -> None:
    assert len(README.splitlines()) <= 100
