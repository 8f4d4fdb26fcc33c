"""Discovery: real distributions in a temporary folder, found by importlib.metadata as installed ones are."""

import importlib
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

from diffmusic.errors import InputError, reason, suggestion
from diffmusic.plugins import Plugin, Registry, Spec, registry

Install = Callable[[str, str], None]

OFFER = """
from diffmusic import Spec, hookimpl

@hookimpl
def diffmusic_operators():
    return [Spec("{name}", "{target}", "for the tests", ("linear",))]
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Install a distribution with one module, which is its entry point in the group ``diffmusic``."""
    known = set(sys.modules)
    monkeypatch.syspath_prepend(tmp_path)

    def add(distribution: str, source: str) -> None:
        module = distribution.replace("-", "_")
        (tmp_path / f"{module}.py").write_text(textwrap.dedent(source))
        information = tmp_path / f"{module}-1.2.dist-info"
        information.mkdir()
        (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n")
        (information / "entry_points.txt").write_text(f"[diffmusic]\nmain = {module}\n")
        importlib.invalidate_caches()
        registry.cache_clear()

    yield add
    registry.cache_clear()
    for name in set(sys.modules) - known:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def plugin(distribution: str) -> Plugin:
    (found,) = [plugin for plugin in registry().plugins if plugin.distribution == distribution]
    return found


def test_a_distribution_joins_by_its_entry_point(install: Install) -> None:
    install("joining", OFFER.format(name="echo", target="joining:Echo") + "class Echo: pass\n")
    found = plugin("joining")
    assert (found.version, found.entry_point, found.error) == ("1.2", "main", None)
    spec = registry().components("operator")["echo"]
    assert (spec.summary, spec.tags) == ("for the tests", ("linear",))
    assert registry().find("operator", "echo") == registry().find("operator", "joining:echo") == spec
    assert registry().load("operator", "echo").__name__ == "Echo"
    assert "echo" not in registry().components("solver")


BROKEN = {
    "import": ("import no_such_module_anywhere", "ModuleNotFoundError: No module named 'no_such_module_anywhere'"),
    "syntax": ("def :", "SyntaxError"),
    "exit": ("import sys\nsys.exit('two\\nlines')", "SystemExit: two lines"),
    "raising-hook": (
        "from diffmusic import hookimpl\n@hookimpl\ndef diffmusic_solvers():\n    raise OSError('no licence')",
        "OSError: no licence",
    ),
    "exiting-hook": (
        "from diffmusic import hookimpl\n@hookimpl\ndef diffmusic_solvers():\n    raise SystemExit(3)",
        "SystemExit: 3",
    ),
    "none": (
        "from diffmusic import hookimpl\n@hookimpl\ndef diffmusic_solvers():\n    return None",
        "diffmusic_solvers must return a list of diffmusic.Spec",
    ),
    "text": (
        "from diffmusic import hookimpl\n@hookimpl\ndef diffmusic_metrics():\n    return 'snr'",
        "diffmusic_metrics must return a list of diffmusic.Spec",
    ),
    "spec": (
        "from diffmusic import Spec, hookimpl\n@hookimpl\ndef diffmusic_metrics():\n    return Spec('a', 'b:c', 'd')",
        "diffmusic_metrics must return a list of diffmusic.Spec",
    ),
    "names": (
        "from diffmusic import hookimpl\n@hookimpl\ndef diffmusic_backbones():\n    return {'a': 1}",
        "diffmusic_backbones must return a list of diffmusic.Spec",
    ),
    "unknown-hook": (
        "from diffmusic import hookimpl\n@hookimpl\ndef diffmusic_operator():\n    return []",
        "unknown hook diffmusic_operator. Did you mean 'diffmusic_operators'?",
    ),
    "arguments": (
        "from diffmusic import hookimpl\n@hookimpl\ndef diffmusic_operators(config):\n    return []",
        "PluginValidationError",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_plugin_is_listed_with_its_reason_and_takes_nothing_down(install: Install, case: str) -> None:
    source, wanted = BROKEN[case]
    install(f"broken-{case}", source)
    install("healthy", OFFER.format(name="echo", target="healthy:Echo"))
    found = plugin(f"broken-{case}")
    assert found.error is not None
    assert wanted in found.error
    assert "\n" not in found.error
    assert found.offers == {}
    assert plugin("healthy").error is None
    assert {"echo", "inpainting"} <= set(registry().components("operator"))


def test_a_distribution_without_metadata_takes_nothing_down(install: Install, tmp_path: Path) -> None:
    install("healthy", OFFER.format(name="echo", target="healthy:Echo"))
    install("leftover", OFFER.format(name="ghost", target="leftover:Ghost"))
    (tmp_path / "leftover-1.2.dist-info" / "METADATA").unlink()
    assert {"echo", "inpainting"} <= set(registry().components("operator"))


def test_a_target_is_imported_only_when_it_is_used(install: Install) -> None:
    install("lazy", OFFER.format(name="missing", target="no_such_module:Thing"))
    assert plugin("lazy").error is None
    assert "missing" in registry().components("operator")
    with pytest.raises(InputError, match="'missing' cannot be loaded from no_such_module:Thing: ModuleNotFound"):
        registry().load("operator", "missing")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("raise RuntimeError('needs\\nffmpeg')", "RuntimeError: needs ffmpeg"),
        ("raise SystemExit('no')", "SystemExit: no"),
        ("Other = 1", "AttributeError"),
    ],
)
def test_a_target_that_cannot_be_imported_is_reported_in_one_line(
    install: Install, tmp_path: Path, source: str, message: str
) -> None:
    (tmp_path / "diffmusic_test_target.py").write_text(source)
    with pytest.raises(InputError, match=message) as caught:
        Spec("thing", "diffmusic_test_target:Thing", "").load()
    assert "\n" not in str(caught.value)


def test_two_plugins_with_one_name_are_both_listed_and_only_the_bare_name_fails(install: Install) -> None:
    for distribution in ("first-dist", "second-dist"):
        target = f"{distribution.replace('-', '_')}:Echo"
        install(distribution, OFFER.format(name="echo", target=target) + "class Echo: pass\n")
    listed = registry().components("operator")
    assert {"first-dist:echo", "second-dist:echo", "inpainting"} <= set(listed)
    assert "echo" not in listed
    with pytest.raises(InputError, match="several plugins: use first-dist:echo or second-dist:echo"):
        registry().find("operator", "echo")
    for distribution in ("first-dist", "second-dist"):
        loaded = registry().load("operator", f"{distribution}:echo")
        assert loaded.__module__ == distribution.replace("-", "_")
    assert registry().find("operator", "inpainting").name == "inpainting"


def test_an_unknown_name_gets_a_suggestion() -> None:
    with pytest.raises(InputError, match=r"unknown operator 'inpaintin'\. Did you mean 'inpainting'\?"):
        registry().find("operator", "inpaintin")
    with pytest.raises(InputError, match=r"unknown metric 'qqq'\. Known: .*lsd.*si_sdr") as caught:
        registry().find("metric", "qqq")
    assert "\n" not in str(caught.value)
    # A name of one kind is no name of another.
    with pytest.raises(InputError, match="unknown solver 'inpainting'"):
        registry().find("solver", "inpainting")


def test_suggestions() -> None:
    assert suggestion("lod", ["low", "high"]) == " Did you mean 'low'?"
    assert suggestion("zzz", ["low", "high"]) == " Known: high, low."
    assert suggestion("zzz", []) == ""


def test_a_reason_is_one_line() -> None:
    assert reason(ValueError("a\n  b")) == "ValueError: a b"
    assert reason(KeyboardInterrupt()) == "KeyboardInterrupt"


COMMAND = """
import click
from diffmusic import hookimpl

@hookimpl
def diffmusic_commands(cli):
    {body}
    @cli.command("{name}")
    def command():
        pass
"""


@pytest.mark.parametrize("failure", ["raise OSError('broken\\nthing')", "raise SystemExit('broken thing')"])
def test_commands_are_added_and_a_failing_plugin_adds_none(install: Install, failure: str) -> None:
    install("adds-none", COMMAND.format(name="bad", body=failure))
    install("adds-one", COMMAND.format(name="good", body=""))
    group = click.Group()
    with pytest.warns(UserWarning, match="plugin adds-none adds no command: .*broken thing"):
        registry().add_commands(group)
    assert "good" in group.commands
    assert "bad" not in group.commands


def test_the_built_in_plugins_take_the_public_route_and_work() -> None:
    ours = [plugin for plugin in registry().plugins if plugin.distribution == "diffmusic"]
    assert {plugin.entry_point for plugin in ours} >= {"operators", "solvers", "backbones", "metrics"}
    assert [plugin.error for plugin in ours if plugin.error] == []
    assert Registry([]).components("operator") == {}


def test_listing_imports_neither_torch_nor_numpy() -> None:
    code = """
        import sys
        from diffmusic.plugins import KINDS, registry
        listed = [name for kind in KINDS for name in registry().components(kind)]
        assert "inpainting" in listed and "lsd" in listed, listed
        heavy = {"torch", "numpy", "scipy", "librosa", "soundfile", "transformers", "diffusers", "pydantic"}
        print(sorted(heavy & set(sys.modules)))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False, env=os.environ
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
