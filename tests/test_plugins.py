"""Discovery: real distributions in a temporary folder, found by importlib.metadata as installed ones are."""

import importlib
import json
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest

from diffmusic.bench import page
from diffmusic.errors import InputError, reason, suggestion
from diffmusic.jobs.evaluate import default_metrics
from diffmusic.models.load import load_model
from diffmusic.plugins import Plugin, Registry, Spec, registry
from diffmusic.tasks.loading import load_editor

Install = Callable[[str, str], None]
Run = Callable[..., SimpleNamespace]

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


HOOK = """from diffmusic import Spec, hookimpl
from diffmusic.plugins import Checkpoint
@hookimpl
def diffmusic_backbones():
    """
BROKEN |= {
    "panic": ("class Panic(BaseException): pass\nraise Panic('index out of bounds')", "Panic: index out of bounds"),
    "generator-exit": ("raise GeneratorExit('early')", "GeneratorExit: early"),
    "panicking-hook": (f"{HOOK}raise BaseException('down')", "BaseException: down"),
    "name-none": (f"{HOOK}return [Spec(None, 'a:b', 'c')]", "TypeError: name None"),
    "name-empty": (f"{HOOK}return [Spec('', 'a:b', 'c')]", "TypeError: name ''"),
    "name-colon": (f"{HOOK}return [Spec('diffmusic:mini', 'a:b', 'c')]", "TypeError: name 'diffmusic:mini'"),
    "name-space": (f"{HOOK}return [Spec('my prior', 'a:b', 'c')]", "TypeError: name 'my prior'"),
    "target": (f"{HOOK}return [Spec('a', 'module.Class', 'c')]", "TypeError: target 'module.Class'"),
    "target-class": (f"{HOOK}return [Spec('a', dict, 'c')]", "TypeError: target <class 'dict'>"),
    "summary": (f"{HOOK}return [Spec('a', 'b:c', None)]", "TypeError: summary None"),
    "summary-lines": (f"{HOOK}return [Spec('a', 'b:c', 'two\\nlines')]", "TypeError: summary"),
    "tags-none": (f"{HOOK}return [Spec('a', 'b:c', 'd', None)]", "TypeError: a: tags is a tuple of str, not None"),
    "tags-text": (f"{HOOK}return [Spec('a', 'b:c', 'd', 'MusicLDMPipeline')]", "TypeError: a: tags"),
    "tags-numbers": (f"{HOOK}return [Spec('a', 'b:c', 'd', (1,))]", "TypeError: a: tags"),
    "checkpoints-text": (f"{HOOK}return [Spec('a', 'b:c', 'd', (), ('me/model',))]", "TypeError: a: checkpoints"),
    "checkpoint-alone": (
        f"{HOOK}return [Spec('a', 'b:c', 'd', (), Checkpoint('me/model', 16000, 1, 10, 'MIT'))]",
        "TypeError: a: checkpoints is a tuple of Checkpoint",
    ),
    "repository": (f"{HOOK}return [Spec('a', 'b:c', 'd', (), (Checkpoint('model', 1, 1, 1, 'MIT'),))]", "repository"),
    "rate": (f"{HOOK}return [Spec('a', 'b:c', 'd', (), (Checkpoint('m/m', '16k', 1, 1, 'MIT'),))]", "positive numbers"),
    "licence": (f"{HOOK}return [Spec('a', 'b:c', 'd', (), (Checkpoint('m/m', 1, 1, 1, None),))]", "licence None"),
    "role": (
        f"{HOOK}return [Spec('a', 'b:c', 'd', role='prior')]",
        "a: the role 'prior' of a backbone is none of them",
    ),
    "direction": (f"{HOOK}return [Spec('a', 'b:c', 'd', higher_is_better='yes')]", "higher_is_better and reported are"),
    "pipelines": (
        f"{HOOK}return [Spec('a', 'b:c', 'd', pipelines='MyPipeline')]",
        "TypeError: a: pipelines is a tuple",
    ),
    "twice": (f"{HOOK}return 2 * [Spec('a', 'b:c', 'd')]", "diffmusic_backbones offers 'a' more than once"),
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


@pytest.mark.parametrize(
    "source",
    [
        f"{HOOK}yield Spec('echo', 'b:c', 'd')",
        f"{HOOK}return (Spec('echo', 'b:c', 'd', ['a', 'b']),)",
        f"{HOOK}return [Spec('echo', 'b.c:d.e', '')]",
        f"{HOOK}return [Spec('echo', 'b:c', 'd', (), [Checkpoint('me/model', 16000, 1, 10.5, 'MIT')])]",
    ],
)
def test_what_a_plugin_may_offer(install: Install, source: str) -> None:
    install("healthy", source)
    assert plugin("healthy").error is None
    assert isinstance(registry().components("backbone")["echo"].tags, tuple)


def test_what_a_plugin_prints_is_no_output(install: Install, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    install("chatty", "print('loading')\n" + OFFER.format(name="echo", target="chatty_target:Echo"))
    target = (
        "print('target')\nfrom dataclasses import dataclass\n@dataclass(frozen=True)\nclass Echo:\n    'An echo.'\n"
    )
    install("chatty-target", target)
    listed = run("operators", "--json")
    assert "echo" in {row["name"] for row in json.loads(listed.out)}
    assert {"loading", "target"} <= set(listed.err.splitlines())
    monkeypatch.delitem(sys.modules, "chatty_target")
    shown = run("operators", "echo")
    assert "target" not in shown.out.splitlines()
    assert "target" in shown.err.splitlines()


def test_a_panic_in_a_target_is_one_line(install: Install) -> None:
    install("panics", OFFER.format(name="echo", target="panics_target:Echo"))
    install("panics-target", "class Panic(BaseException): pass\nraise Panic('index\\nout of bounds')")
    with pytest.raises(InputError, match="'echo' cannot be loaded from panics_target:Echo: Panic: index out of bounds"):
        registry().load("operator", "echo")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("class Echo: 'An echo.'", "rough_target:Echo is no dataclass"),
        (
            "from dataclasses import dataclass\n@dataclass\nclass Echo:\n    a: 'Nowhere' = 1",
            "annotations of Echo cannot",
        ),
    ],
)
def test_a_component_that_cannot_be_described_is_one_line(
    install: Install, run: Run, source: str, message: str
) -> None:
    install("rough", OFFER.format(name="echo", target="rough_target:Echo"))
    install("rough-target", source)
    for words in (("operators", "echo"), ("solve", "echo", "--help"), ("check", "echo")):
        result = run(*words)
        assert (result.code, result.err.count("\n")) == (2, 1), result.err
        assert message in result.err


def test_ctrl_c_is_no_broken_plugin(install: Install) -> None:
    install("slow", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        registry()


def test_thousands_of_offers_are_listed_in_a_moment(install: Install) -> None:
    install("many", f"{HOOK}return [Spec(f'a{{n}}', 'b:c', 'd') for n in range(20_000)]")
    registry()
    begin = time.process_time()  # of this process: others may keep the machine busy
    assert len(registry().components("backbone")) > 20_000
    assert registry().find("backbone", "a19999").name == "a19999"
    assert time.process_time() - begin < 3.0  # counting each name among all took 21 s


@pytest.mark.parametrize(("kind", "name"), [("operator", "inpainting"), ("backbone", "mini"), ("solver", "diffmusic")])
def test_no_plugin_takes_over_a_name_of_ours(install: Install, kind: str, name: str) -> None:
    ours = registry().find(kind, name)
    hook = OFFER.replace("diffmusic_operators", f"diffmusic_{kind}s")
    install("a-rival", hook.format(name=name, target="a_rival:Rival"))
    listed = registry().components(kind)
    assert listed[name] == registry().find(kind, name) == registry().find(kind, f"diffmusic:{name}") == ours
    assert listed[f"a-rival:{name}"] == registry().find(kind, f"a-rival:{name}") != ours


def test_two_entry_points_of_one_distribution_offer_a_name_once(install: Install, tmp_path: Path) -> None:
    install("twins", OFFER.format(name="echo", target="twins:Echo"))
    (tmp_path / "twins_two.py").write_text((tmp_path / "twins.py").read_text())
    (tmp_path / "twins-1.2.dist-info" / "entry_points.txt").write_text("[diffmusic]\na = twins\nb = twins_two\n")
    registry.cache_clear()
    first, second = (each for each in registry().plugins if each.distribution == "twins")
    assert first.error is None
    assert second.error == "the operator 'echo' is offered by another entry point of twins"
    assert "echo" in registry().components("operator")


BY_TAGS = """
from diffmusic import Spec, hookimpl

@hookimpl
def diffmusic_solvers():
    return [Spec("retouch", "old:Retouch", "edits", ("editor", "fast")), Spec("plain", "old:Plain", "no tags")]

@hookimpl
def diffmusic_metrics():
    return [Spec("hits", "old:hits", "notes that were hit (higher is better)", ("pair", "solve")),
            Spec("gap", "old:Gap", "how far sets are apart (lower is better)", ("set",)),
            Spec("tempo", "old:tempo", "beats a minute")]

@hookimpl
def diffmusic_backbones():
    return [Spec("old", "old:load", "for the tests", ("OldPipeline", "OlderPipeline"))]
"""
BY_FIELDS = """
from diffmusic import Spec, hookimpl

@hookimpl
def diffmusic_solvers():
    return [Spec("retouch", "old:Retouch", "edits", ("fast",), role="editor"), Spec("plain", "old:Plain", "no tags")]

@hookimpl
def diffmusic_metrics():
    return [Spec("hits", "old:hits", "notes that were hit", role="pair", higher_is_better=True, reported=True),
            Spec("gap", "old:Gap", "how far sets are apart", role="set", higher_is_better=False),
            Spec("tempo", "old:tempo", "beats a minute")]

@hookimpl
def diffmusic_backbones():
    return [Spec("old", "old:load", "for the tests", pipelines=("OldPipeline", "OlderPipeline"))]
"""


@pytest.mark.parametrize("source", [BY_TAGS, BY_FIELDS], ids=["tags", "fields"])
def test_what_a_spec_decides_may_be_said_in_fields_or_in_the_tags_of_older_plugins(
    install: Install, source: str
) -> None:
    install("both-ways", source)
    assert plugin("both-ways").error is None
    solvers, metrics = registry().components("solver"), registry().components("metric")
    assert [solvers[name].role for name in ("retouch", "plain")] == ["editor", ""]
    facts = {name: (metrics[name].role, metrics[name].higher_is_better, metrics[name].reported) for name in metrics}
    assert facts["hits"] == ("pair", True, True)
    assert facts["gap"] == ("set", False, False)
    assert facts["tempo"] == ("", None, False)
    assert registry().readers("OlderPipeline") == ["old"]
    # Listings read the same.
    assert (metrics["hits"].words, solvers["retouch"].words) == (("pair", "solve"), ("editor", "fast"))
    assert metrics["hits"].description == "notes that were hit (higher is better)"
    assert metrics["tempo"].description == "beats a minute"
    # What the core decides by them.
    assert "hits" in default_metrics()
    assert "gap" not in default_metrics()
    lines: Any = [SimpleNamespace(values={n: SimpleNamespace(mean=m) for n in (*facts, "misfit")}) for m in (0.2, 0.7)]
    assert [page._best(name, lines) for name in ("hits", "gap", "tempo", "misfit")] == [0.7, 0.2, None, 0.2]
    with pytest.raises(InputError, match=r"edits none\. Those that do: .*retouch"):
        load_editor("interpolate")


READER = """
from diffmusic import Spec, hookimpl

@hookimpl
def diffmusic_backbones():
    return [Spec("{name}", "nowhere:Reader", "for the tests", ("{pipeline}",))]
"""


def test_a_rival_reader_of_a_pipeline_is_reported_and_takes_nothing_over(install: Install, tiny: Path) -> None:
    install("a-rival", READER.format(name="aaa", pipeline="MusicLDMPipeline"))
    with pytest.warns(UserWarning, match="MusicLDMPipeline is read by musicldm; aaa would read it too"):
        assert load_model(str(tiny)).describe()["sample_rate"] == 16000


def test_two_foreign_readers_of_a_pipeline_are_a_clash(install: Install, tmp_path: Path) -> None:
    for name in ("one", "two"):
        install(f"{name}-dist", READER.format(name=name, pipeline="ForeignPipeline"))
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model_index.json").write_text('{"_class_name": "ForeignPipeline"}')
    with pytest.raises(InputError, match="is a ForeignPipeline, which one and two read"):
        load_model(str(tmp_path / "model"))


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


@pytest.mark.parametrize("failure", ["raise KeyError('tempo')", "import nowhere_at_all", "raise BaseException('down')"])
def test_what_a_plugins_command_raises_is_one_line(install: Install, run: Run, failure: str) -> None:
    install("fails", COMMAND.format(name="fail", body="pass").replace("        pass\n", f"        {failure}\n"))
    result = run("fail")
    assert (result.code, result.err.count("\n"), result.out) == (1, 1, "")
    assert result.err.startswith("error: plugin fails: command fail failed: ")
    assert "(fails.py, line " in result.err


def test_a_command_that_another_plugin_replaces_is_said(install: Install) -> None:
    for distribution in ("adds-first", "adds-second"):
        install(distribution, COMMAND.format(name="same", body="pass"))
    with pytest.warns(UserWarning, match="plugin adds-second replaces the command 'same'"):
        registry().add_commands(click.Group())


def test_plugin_takes_a_file_and_nothing_else(run: Run) -> None:
    for words in (("--plugin", "operators"), ("operators", "--plugin")):
        result = run(*words)
        assert result.code == 2
        assert "--plugin takes a file, FILE.py" in result.err


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
