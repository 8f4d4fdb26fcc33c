"""Help, listings, ``check`` and ``doctor``: what a newcomer reads, and how little is loaded for it."""

import json
import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace

import pytest

Run = Callable[..., SimpleNamespace]
HEAVY = ("torch", "numpy", "librosa", "diffusers", "transformers", "pydantic", "matplotlib")


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["operators"],
        ["solvers"],
        ["models"],
        ["metrics"],
        ["datasets"],
        ["plugins"],
        ["solve", "--help"],
        ["--version"],
    ],
)
def test_listings_import_nothing_heavy(words: list[str]) -> None:
    script = (
        "import sys; from diffmusic.cli import main\n"
        "try: main(sys.argv[1:])\n"
        f"finally: print('HEAVY', [m for m in {HEAVY} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("HEAVY []\n")
    assert len(done.stdout.splitlines()) > 1


def test_help_shows_every_command_with_a_summary(run: Run) -> None:
    out = run("--help").out
    for command in ("solve", "operators", "solvers", "models", "metrics", "datasets", "plugins", "check", "doctor"):
        assert any(line.split()[:1] == [command] and len(line.split()) > 2 for line in out.splitlines()), command


def test_an_operators_flags_are_made_from_its_dataclass(run: Run) -> None:
    out = run("solve", "inpainting", "--help").out
    assert "--gap START:END" in out
    assert "gaps|periodic|random" in out
    assert "--sample-rate" not in out
    assert "--offset" not in out


def test_listings_name_what_is_there(run: Run) -> None:
    assert "inpainting" in run("operators").out
    assert {"diffmusic", "interpolate"} <= {line.split()[0] for line in run("solvers").out.splitlines()}
    assert {"mini", "musicldm"} <= {line.split()[0] for line in run("models").out.splitlines() if line}
    metrics = {spec["name"]: spec["tags"] for spec in json.loads(run("metrics", "--json").out)}
    assert "pair" in metrics["lsd"]
    assert "set" in metrics["fad"]
    assert "folder" in {line.split()[0] for line in run("datasets").out.splitlines()}


def test_showing_one_gives_its_equation_and_parameters(run: Run) -> None:
    out = run("solvers", "diffmusic").out
    assert "D* = D - gamma grad_D L" in out
    assert "-s rate=" in out
    assert "--gap" in run("operators", "inpainting").out
    assert "embedding=" in run("metrics", "fad").out
    assert "path=" in run("datasets", "folder").out
    assert "access" not in run("metrics", "fad").out


def test_plugins_lists_the_built_in_ones(run: Run) -> None:
    rows = json.loads(run("plugins", "--json").out)
    offers = {row["entry_point"]: row["offers"] for row in rows if row["distribution"] == "diffmusic"}
    assert {"inpainting", "resampling", "stft-magnitude", "mixing", "reverb"} <= set(offers["operators"]["operator"])
    assert all(row["error"] is None for row in rows)


def test_check_prints_every_result(run: Run) -> None:
    result = run("check", "inpainting")
    assert result.code == 0, result.out
    assert "ok      adjoint" in result.out
    assert result.out.endswith("all passed\n")


def test_check_of_a_component_that_fails_exits_1(run: Run) -> None:
    # Steps so short never let the measurement in.
    result = run("check", "diffmusic", "-s", "rate=1e-9")
    assert result.code == 1
    assert "FAILED  posterior mean: error" in result.out


def test_doctor_reports_versions_device_and_plugins(run: Run) -> None:
    result = run("doctor", "--json")
    facts = {fact["name"]: fact for fact in json.loads(result.out)}
    assert {"python", "torch", "device", "ffmpeg", "model cache", "plugin diffmusic:operators"} <= set(facts)
    assert all(fact["ok"] for fact in facts.values()), [fact for fact in facts.values() if not fact["ok"]]
    assert result.code == 0


def test_no_words_at_all_is_help(run: Run) -> None:
    result = run()
    assert result.code == 0
    assert "Commands" in result.out
