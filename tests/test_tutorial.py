"""The tutorial's cells run, in a short form, and its page is made of them."""

import importlib.util
import json
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

import diffmusic
from diffmusic.tasks import api

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "tutorial"
SCRIPT, PAGE = (FOLDER / "tutorial.py").read_text(), (FOLDER / "index.md").read_text()


@pytest.fixture(scope="module")
def run() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tutorial_run", FOLDER / "run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where a dataclass looks for its own
    spec.loader.exec_module(module)
    return module


def test_every_cell_runs(run: ModuleType, tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prior = diffmusic.load_model(tiny)
    monkeypatch.setattr(api, "load_model", lambda model: prior)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    # One step instead of ten, less to solve, and a prior of nothing: the cells are run, not listened to.
    short = re.sub(r"\bsteps=\d+", "steps=1", SCRIPT).replace("samples=3", "samples=2")
    short = short.replace("3 * rate]\nmuffled", "rate]\nmuffled")
    assert short.count("steps=1") == SCRIPT.count("steps=") >= 5
    done = run.executed(short, tmp_path)
    page = run.page(done)
    assert page.count("```python") == PAGE.count("```python")
    assert page.count("```text") == PAGE.count("```text")
    assert "changed outside: 0.0" in page
    assert " 1 of 1: sigma  0.000" in page
    notebook = json.loads(run.notebook(done))
    assert [each["source"] for each in notebook["cells"][1:]] == [cell.body for cell in done]
    outputs = [each for cell in notebook["cells"] for each in cell.get("outputs", ())]
    assert sum("image/png" in each.get("data", {}) for each in outputs) == page.count("![What the cell")
    assert (tmp_path / "picture-1.png").stat().st_size > 5000
    assert (tmp_path / "restored.ogg").stat().st_size > 5000


def test_the_page_is_made_of_the_script_and_has_its_outputs(run: ModuleType) -> None:
    for kind, body in run.cells(SCRIPT):
        text = body if kind == "markdown" else f"```python\n{body}\n```"
        assert text in PAGE, "run python docs/tutorial/run.py"
    assert "changed outside: 0.0" in PAGE
    for picture in re.findall(r"!\[.*?\]\((\S+)\)", PAGE):
        assert (FOLDER / picture).stat().st_size < 120_000
    assert (FOLDER / "restored.ogg").stat().st_size < 120_000
