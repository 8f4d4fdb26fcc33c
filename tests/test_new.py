"""``diffmusic new`` writes what passes ``diffmusic check``; ``--plugin`` adds a file that is not installed."""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from diffmusic import plugins

Run = Callable[..., SimpleNamespace]


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    """Take back what ``--plugin`` adds to this process."""
    path, modules = sys.path.copy(), set(sys.modules)
    yield
    plugins.FILES.clear()
    plugins.registry.cache_clear()
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if name.startswith("diffmusic_") or name == "my_operator":
            del sys.modules[name]


@pytest.mark.parametrize("kind", plugins.KINDS)
def test_what_is_written_passes_its_check_at_once(run: Run, tmp_path: Path, kind: str) -> None:
    made = run("new", kind, "tape-hiss", "-o", tmp_path)
    assert made.code == 0, made.err
    root = tmp_path / "diffmusic-tape-hiss"
    checked = run("check", "tape-hiss", "--plugin", root / "diffmusic_tape_hiss" / "plugin.py")
    assert checked.code == 0, checked.out + checked.err
    assert checked.out.startswith(f"{kind} tape-hiss\n")
    assert checked.out.endswith("all passed\n")
    project = tomllib.loads((root / "pyproject.toml").read_text())
    assert project["project"]["name"] == "diffmusic-tape-hiss"
    assert project["project"]["entry-points"]["diffmusic"] == {"tape-hiss": "diffmusic_tape_hiss.plugin"}
    text = "".join(path.read_text() for path in root.rglob("*") if path.is_file())
    assert "placeholder" not in text.lower()
    assert "{" not in (root / "README.md").read_text()
    assert f": {'an' if kind[0] in 'aeiou' else 'a'} {kind} of diffmusic" in project["project"]["description"]


def test_metrics_of_sets_take_an_embedding_that_is_added(run: Run, song: Callable[..., Path], tmp_path: Path) -> None:
    run("new", "embedding", "bands", "-o", tmp_path)
    plugin = tmp_path / "diffmusic-bands" / "diffmusic_bands" / "plugin.py"
    assert "log energies of sixteen bands" in run("embeddings", "--plugin", plugin).out
    files = song("a.wav", seconds=3), song("b.wav", seconds=3, rate=22050)
    result = run("evaluate", *files, "--metrics", "fad embedding=bands", "--plugin", plugin)
    assert result.code == 0, result.err
    assert "(1 files, 5 windows against 1 files, 5 windows)" in result.out
    assert "fad embedding=bands by bands, sha256" in result.out


@pytest.mark.parametrize("name", ["Tape", "tape hiss", "1tape", "tape--hiss", "", "class", "../x"])
def test_a_name_that_cannot_be_one_is_refused(run: Run, tmp_path: Path, name: str) -> None:
    result = run("new", "operator", name, "-o", tmp_path)
    assert result.code == 2
    assert "cannot be a name" in result.err
    assert not list(tmp_path.iterdir())


def test_nothing_is_written_over(run: Run, tmp_path: Path) -> None:
    (tmp_path / "diffmusic-x").mkdir()
    assert "exists already" in run("new", "metric", "x", "-o", tmp_path).err
    assert "does not exist" in run("new", "metric", "y", "-o", tmp_path / "no").err
    assert list(tmp_path.rglob("*")) == [tmp_path / "diffmusic-x"]


PAGE = (Path(__file__).parents[1] / "docs" / "plugins.md").read_text()
(SINGLE,) = [block for block in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL) if "my_operator" in block]


@pytest.fixture
def single(tmp_path: Path) -> Path:
    path = tmp_path / "my_operator.py"
    path.write_text(SINGLE)
    return path


def test_a_single_file_is_a_plugin(run: Run, song: Callable[..., Path], single: Path, tmp_path: Path) -> None:
    assert "quieter" in run("operators", "--plugin", single).out
    assert "my_operator.py" in run(f"--plugin={single}", "plugins").out
    assert run("check", "--plugin", single, "quieter").out.endswith("all passed\n")
    out = tmp_path / "out.wav"
    result = run("solve", "quieter", song(), "--solver", "wiener", "-o", out, "--plugin", single)
    assert result.code == 0, result.err
    recorded = json.loads((tmp_path / "out.wav.json").read_text())
    assert [each["path"] for each in recorded["plugin_files"]] == [str(single)]
    again = tmp_path / "again.wav"
    assert run("solve", "--config", f"{out}.json", "-o", again, "--plugin", single).code == 0
    assert again.read_bytes() == out.read_bytes()
    plugins.FILES.clear()
    plugins.registry.cache_clear()
    assert f"repeat it with --plugin {single}" in run("solve", "--config", f"{out}.json", "-o", again).err


@pytest.mark.parametrize(
    ("name", "source", "message"),
    [
        ("missing.py", None, "no such Python file"),
        ("notes.txt", "", "--plugin takes a file, FILE.py"),
        ("json.py", SINGLE, "no free name"),
        ("my-operator.py", SINGLE, "no free name"),
        ("diffmusic_torn.py", "raise OSError('torn')", "is broken: OSError: torn"),
        ("diffmusic_empty.py", "x = 1", "offers nothing: it needs a hook such as diffmusic_operators"),
    ],
)
def test_a_file_that_is_no_plugin_is_refused(
    run: Run, tmp_path: Path, name: str, source: str | None, message: str
) -> None:
    if source is not None:
        (tmp_path / name).write_text(source)
    result = run("operators", "--plugin", tmp_path / name)
    assert result.code == 2
    assert message in result.err
    assert len(result.err.splitlines()) == 1


def test_a_name_that_is_taken_gets_its_file(run: Run, single: Path) -> None:
    single.write_text(SINGLE.replace('"quieter"', '"inpainting"'))
    listed = run("operators", "--plugin", single).out
    assert "my_operator.py:inpainting" in listed
    (ours,) = [line for line in listed.splitlines() if line.startswith("inpainting ")]
    assert "[diffmusic]" in ours  # no plugin takes it over


def test_listing_a_new_plugin_imports_no_torch(run: Run, tmp_path: Path) -> None:
    run("new", "operator", "tape", "-o", tmp_path)
    code = (
        "import sys; from diffmusic.plugins import add_file, registry; from pathlib import Path\n"
        "add_file(Path(sys.argv[1])); print('tape' in registry().components('operator'), 'torch' in sys.modules)"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "diffmusic-tape" / "diffmusic_tape" / "plugin.py")]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=os.environ)
    assert done.stdout == "True False\n", done.stderr
