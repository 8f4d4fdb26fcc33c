"""The documentation says what the code does: what is generated is current, what is typed is understood."""

import importlib.util
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if path.parent.name != "decisions")


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", ["cli.md", "components.md"])
def test_generated_pages_are_current(generate: ModuleType, page: str) -> None:
    written = (DOCS / "reference" / page).read_text()
    assert written == generate.PAGES[page]().rstrip() + "\n", "run python docs/generate.py"


def test_every_command_of_the_pages_is_understood(
    run: Callable[..., SimpleNamespace], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # of their files only the example clip is there, so that nothing is solved
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    commands = [
        shlex.split(line.split("#")[0])
        for page in PAGES
        for block in re.findall(r"```sh\n(.*?)```", page.read_text(), flags=re.DOTALL)
        for line in block.splitlines()
        if line.startswith("diffmusic ")
    ]
    assert len(commands) > 20
    for _, *words in commands:
        if words[0] == "new" or "tape-hiss" in words or "--plugin" in words:
            continue  # tests/test_new.py does these
        result = run(*words)
        missing = re.search(r"no such file|lies outside|several inputs need|does not exist|is no folder", result.err)
        assert result.code == 0 or missing, (words, result.err)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
        assert (page.parent / link).exists(), link


def test_components_in_the_tables_are_the_registered_ones() -> None:
    from diffmusic.plugins import KINDS, registry

    page = (DOCS / "components.md").read_text()
    tables = re.findall(r"^\| (\w+) \|.*\n\|---\|---\|\n((?:\|.*\n)+)", page, flags=re.MULTILINE)
    assert {kind for kind, _ in tables} == set(KINDS)
    for kind in {kind for kind, _ in tables}:
        rows = "".join(rows for each, rows in tables if each == kind)
        assert set(re.findall(r"^\| `([\w-]+)`", rows, flags=re.MULTILINE)) == set(registry().components(kind))


def test_every_page_is_in_the_menu_and_every_problem_has_one() -> None:
    from diffmusic.plugins import registry

    menu = set(re.findall(r": (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), flags=re.MULTILINE))
    assert menu == {page.relative_to(DOCS).as_posix() for page in PAGES} | {"decisions/README.md"}
    ours = next(
        each for each in registry().plugins if (each.distribution, each.entry_point) == ("diffmusic", "operators")
    )
    for spec in ours.offers["operator"]:
        assert f"problems/{spec.name}.md" in menu


def test_every_solver_with_a_prior_has_a_page_of_equations() -> None:
    from diffmusic.plugins import registry

    ours = next(
        each for each in registry().plugins if (each.distribution, each.entry_point) == ("diffmusic", "solvers")
    )
    # What chooses among the others has no equation of its own.
    solvers = {spec.name for spec in ours.offers["solver"] if spec.role != "classical"} - {"auto"}
    pages = {path.stem for path in (DOCS / "methods").glob("*.md")}
    assert solvers <= pages
    assert pages - {"index"} <= {spec.name for spec in ours.offers["solver"]}
    index = (DOCS / "methods" / "index.md").read_text()
    for name in solvers:
        assert (DOCS / "methods" / f"{name}.md").read_text().startswith(f"# {name}")
        assert f"[{name}]({name}.md)" in index


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocstrings")
    words = (sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site"))
    built = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    assert (tmp_path / "site" / "methods" / "dps.html").exists()
    assert "Restore a damaged recording" in (tmp_path / "site" / "api" / "index.html").read_text()


def test_pictures_of_the_site_are_small() -> None:
    for picture in set((DOCS / "images").glob("*.png")) - {DOCS / "images" / "restored.png"}:
        assert picture.stat().st_size < 120_000, picture


def test_plugins_named_as_patterns_exist() -> None:
    for folder in re.findall(r"`(plugins/[\w-]+)`", (DOCS / "plugins.md").read_text()):
        assert (ROOT / folder / "pyproject.toml").exists()
