"""Completion: what a word can be is there at once, without PyTorch."""

import os
import subprocess
import sys

import pytest

HEAVY = ("torch", "numpy", "scipy", "librosa", "pydantic", "soundfile")


def completed(*words: str, shell: str = "bash") -> tuple[list[str], str]:
    """What a shell is told of the last word, and which heavy packages were imported for it."""
    code = (
        "import atexit, sys\n"
        f"atexit.register(lambda: print(*[m for m in {HEAVY} if m in sys.modules], file=sys.stderr))\n"
        "from diffmusic.cli import main\nmain()"
    )
    given = {"_DIFFMUSIC_COMPLETE": f"{shell}_complete", "COMP_WORDS": " ".join(("diffmusic", *words))}
    given |= {"COMP_CWORD": str(len(words))}
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | given, capture_output=True, text=True, check=True
    )
    return [line.split(",", 1)[1] for line in done.stdout.splitlines()], done.stderr.strip()


@pytest.mark.parametrize(
    ("words", "some", "others"),
    [
        (("so",), {"solve", "solvers"}, {"edit"}),
        (("solve", ""), {"inpainting", "mixing", "reverb"}, {"auto"}),
        (("solve", "inpainting", "x.wav", "--solver", ""), {"auto", "interpolate", "repeat", "mmps"}, {"sdedit"}),
        (("solve", "inpainting", "x.wav", "--solver", "in"), {"interpolate"}, {"auto"}),
        (("edit", "x.wav", "--solver", ""), {"sdedit", "ddpm-inversion"}, {"auto"}),
        (("solve", "reverb", "--model", "m"), {"mini", "musicldm"}, {"auto"}),
        (("solvers", "re"), {"repeat", "repaint"}, {"auto"}),
        (("metrics", ""), {"lsd", "fad"}, {"auto"}),
        (("check", "a"), {"auto"}, {"inpainting"}),
    ],
)
def test_names(words: tuple[str, ...], some: set[str], others: set[str]) -> None:
    found, imported = completed(*words)
    assert some <= set(found)
    assert not others & set(found)
    assert imported == ""


def test_files_are_left_to_the_shell_and_flags_to_click() -> None:
    assert completed("solve", "inpainting", "son") == (["son"], "")
    assert completed("edit", "x.wav", "son") == (["son"], "")
    found, _ = completed("solve", "inpainting", "--ga")
    assert found == ["--gap", "--gaps"]
