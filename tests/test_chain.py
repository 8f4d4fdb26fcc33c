"""Operators in a chain: what each part says, of the whole."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

import diffmusic
from diffmusic.audio.noise_spectrum import NoiseSpectrum
from diffmusic.bench import suite
from diffmusic.cli import main
from diffmusic.errors import InputError
from diffmusic.jobs.inputs import damaged
from diffmusic.problem import (
    BoundOperator,
    HasAdjoint,
    HasDamage,
    HasMeasuredRate,
    HasSTFT,
    Operator,
    chain,
    clean_length,
    clean_rate,
    has_place,
    is_linear,
    observed_rate,
    sources,
)
from diffmusic.problem.noise_part import measured_deviation
from diffmusic.problem.operator import is_noisy
from diffmusic.problem.shrinkage import finished
from diffmusic.tasks.settings import RestoreSettings
from diffmusic.tasks.told_noise import told_noise
from diffmusic.testing import parametrize_with_checks
from diffmusic_operators.clipping import Clipping
from diffmusic_operators.inpainting import Inpainting
from diffmusic_operators.mixing import Mixing
from diffmusic_operators.noise import NoiseAlone
from diffmusic_operators.resampling import Resampling
from diffmusic_operators.reverb import Reverb
from diffmusic_operators.stft_magnitude import StftMagnitude

RATE = 16000


def noise(*shape: int, seed: int = 0) -> Tensor:
    return 0.2 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@parametrize_with_checks(
    [
        chain(Inpainting(gap=((0.02, 0.05),)), Clipping(level=0.1, iterations=3)),
        chain(Inpainting(gap=((0.02, 0.05),)), Reverb(decay=0.05)),
        chain(Mixing(), Clipping(level=0.1, iterations=3)),
    ]
)
def test_a_chain_keeps_the_contract_of_an_operator(component, check):  # type: ignore[no-untyped-def]
    check(component)


def test_parts_act_in_the_order_in_which_they_happened() -> None:
    x = noise(1, 1, 800)
    clip, room = Clipping(level=0.1), Reverb(decay=0.05)
    first = chain(clip, room).forward(x)
    torch.testing.assert_close(first, room.forward(clip.forward(x)))
    assert (first - chain(room, clip).forward(x)).abs().max() > 0.01


def test_the_adjoint_goes_backwards() -> None:
    operator = chain(Inpainting(gap=((0.01, 0.02),)), Reverb(decay=0.05))
    assert isinstance(operator, HasAdjoint)
    x, y = noise(1, 1, 800), noise(1, 1, 800, seed=1)
    assert float((operator.forward(x) * y).sum()) == pytest.approx(float((x * operator.adjoint(y)).sum()), rel=1e-9)
    swapped = Inpainting(gap=((0.01, 0.02),)).forward(Reverb(decay=0.05).adjoint(y))
    torch.testing.assert_close(operator.adjoint(y), swapped)


def test_a_chain_says_what_holds_for_all_of_its_parts() -> None:
    gap, other, clip = Inpainting(gap=((0.01, 0.02),)), Inpainting(gap=((0.015, 0.04),)), Clipping(level=0.1)
    both = gap >> other
    assert isinstance(both, HasDamage)
    assert both.damage(1600) == [(160, 640)]
    assert is_linear(both)
    assert has_place(both)
    assert not isinstance(both, HasMeasuredRate)
    for whole in (gap >> clip, clip >> gap):  # what is clipped may be anywhere
        assert not has_place(whole)
        assert not is_linear(whole)
        assert not isinstance(whole, HasAdjoint)
    assert sources(Mixing(count=3) >> clip) == 3
    assert isinstance(gap >> StftMagnitude(), HasSTFT)
    assert [type(part) for part in (gap >> (other >> clip)).parts] == [Inpainting, Inpainting, Clipping]


def test_parts_before_a_change_of_rate_act_at_the_higher_rate() -> None:
    operator = chain(Inpainting(gap=((0.1, 0.2),)), Resampling(factor=2), Clipping(level=0.1))
    assert clean_rate(operator, 8000) == 16000
    assert observed_rate(operator, 16000) == 8000
    bound, y = BoundOperator.of(operator, noise(1, 4000).numpy(), 8000)
    assert isinstance(bound.operator, HasMeasuredRate)
    assert clean_length(bound.operator, y) == 8000
    gap, low, clip = bound.operator.placed()  # type: ignore[attr-defined]
    assert (gap.sample_rate, low.sample_rate, low.measured_rate, clip.sample_rate) == (16000, 16000, 8000, 8000)
    x = noise(1, 1, 8000, seed=2)
    parts = (Inpainting(gap=((0.1, 0.2),)), Resampling(sample_rate=16000, measured_rate=8000), clip)
    expected = x
    for part in parts:
        expected = part.forward(expected)
    torch.testing.assert_close(bound.operator.forward(x), expected)
    # What the file holds within the gap was not measured: 0.1 to 0.2 s of 8 kHz.
    assert not y[..., 800:1600].any()
    assert y[..., :800].any()


def test_finishing_puts_back_what_every_part_let_through() -> None:
    """An estimate that is wrong everywhere: outside the gap unclipped samples are the recording's, the others lie
    beyond the level, and inside the gap it is kept."""
    time = torch.arange(RATE, dtype=torch.float64) / RATE
    x = torch.sin(2 * torch.pi * 220 * time)[None, None]
    operator = chain(Inpainting(gap=((0.4, 0.6),), equalise=False, crossfade=0), Clipping(level=0.5, iterations=20))
    y = operator.forward(x)
    estimate = -0.3 * x
    finished = operator.finish(estimate, y)
    inside = slice(6400, 9600)
    torch.testing.assert_close(finished[..., inside], estimate[..., inside])
    kept = y.abs() < 0.499
    kept[..., inside] = False
    assert torch.equal(finished[kept], y[kept])
    lost = ~kept
    lost[..., inside] = False
    assert (finished[lost] * y[lost].sign() >= 0.499).all()


def test_the_recording_tells_a_part_its_level() -> None:
    operator = chain(Inpainting(gap=((0.01, 0.02),)), Clipping())
    bound, _ = BoundOperator.of(operator, noise(1, 800).clamp(-0.25, 0.25).numpy(), RATE)
    assert bound.operator.parts[1].level == pytest.approx(0.25)  # type: ignore[attr-defined]
    again = dataclasses.replace(bound.operator, sample_rate=8000)  # type: ignore[type-var]
    assert again.parts == bound.operator.parts  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("operators", "message"),
    [
        ((Resampling(), Resampling()), "change the rate"),
        ((Mixing(), Mixing()), "mix sources"),
        ((StftMagnitude(), Clipping()), "comes last"),
    ],
)
def test_parts_that_do_not_go_together_are_refused(operators: tuple[Operator, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        chain(*operators)


def test_operators_without_the_base_class_chain_too() -> None:
    @dataclasses.dataclass(frozen=True)
    class Half:
        def forward(self, x: Tensor) -> Tensor:
            return x / 2

    x = noise(1, 1, 100)
    torch.testing.assert_close((Half() >> Clipping(level=0.1)).forward(x), (x / 2).clamp(-0.1, 0.1))  # type: ignore[operator]
    torch.testing.assert_close((Clipping(level=0.1) >> Half()).forward(x), x.clamp(-0.1, 0.1) / 2)


def test_a_line_of_operators_is_a_chain() -> None:
    operator = diffmusic.load_operator("inpainting gap=1:2 gap=3:4 | clipping level=0.5")
    assert operator.parts == (Inpainting(gap=((1, 2), (3, 4))), Clipping(level=0.5))  # type: ignore[attr-defined]
    for line, message in (
        ("inpainting | ", "missing"), ("inpainting | clipp", "Did you mean"), ("clipping levle=1 | reverb", "levle"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=message):
            diffmusic.load_operator(line)
    with pytest.raises(InputError, match="of which operator"):
        diffmusic.load_operator("inpainting | clipping", gap="1:2")
    with pytest.raises(InputError, match="operators alone"):
        diffmusic.load_solver("dps | dsg")


def test_the_command_line_restores_a_chain_and_repeats_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    time = np.arange(2 * RATE) / RATE
    soundfile.write("clean.wav", 0.8 * np.sin(2 * np.pi * 220 * time), RATE)
    line = "inpainting gap=0.9:1.0 | clipping level=0.4"

    def run(*words: str) -> int:
        with pytest.raises(SystemExit) as stop:
            main(list(words))
        return int(stop.value.code or 0)

    words = ("--simulate", "--steps", "2", "-s", "repeats=1", "-o", "out.wav", "--solver", "diffmusic")
    assert run("solve", line, "clean.wav", *words) == 0
    record = json.loads(Path("out.wav.json").read_text())
    assert record["job"]["operator"] == line
    assert set(record["metrics"][0]["lsd"]) == {"restored", "damaged"}
    first = Path("out.wav").read_bytes()
    assert run("solve", "--config", "out.wav.json", "-o", "again.wav") == 0
    assert Path("again.wav").read_bytes() == first
    assert run("solve", "inpainting gap=0.9:1.0 | clippng", "clean.wav") == 2
    assert "clippng" in capsys.readouterr().err


def test_a_suite_takes_a_chain(tmp_path: Path) -> None:
    path = tmp_path / "suite.yaml"
    path.write_text(
        "title: A table\ndataset: folder path=.\nclips: {count: 1, seconds: 1}\nsolvers: [diffmusic]\nmetrics: [lsd]\n"
        "problems: ['inpainting gap=0.4:0.6 | clipping level=0.5', clipping]\n"
    )
    first, second = suite.read(path).problems
    assert first.operator is not None
    assert first.operator.component("operator") == chain(Inpainting(gap=((0.4, 0.6),)), Clipping(level=0.5))
    assert (first.name, second.name) == ("inpainting gap=0.4:0.6 | clipping level=0.5", "clipping")


HISS = NoiseAlone(std=0.02)


def test_noise_in_a_chain_is_told_or_estimated() -> None:
    told, found = Resampling() >> HISS >> Clipping(level=0.9), Resampling() >> NoiseAlone() >> Clipping(level=0.9)
    assert is_noisy(told)
    assert not is_noisy(Resampling() >> Clipping(level=0.9))
    with pytest.raises(InputError, match="are noise"):
        chain(HISS, HISS)
    time = torch.arange(6 * RATE, dtype=torch.float64) / RATE
    music = 0.3 * torch.sin(2 * torch.pi * 440 * time) * (torch.sin(2 * torch.pi * time) > 0)
    measured = music + 0.02 * noise(1, 6 * RATE)[0] / 0.2
    for operator, std, closeness in ((told, 0.0, 1e-9), (found, 0.0, 0.4), (told, 0.05, 1e-9)):
        bound, y = BoundOperator.of(operator, measured[None].numpy(), RATE)
        spectrum = told_noise(RestoreSettings(noise_std=std), bound, y, None)
        assert spectrum is not None
        expected = (std or 0.02) ** 2
        deviation = float(spectrum.draw(RATE, 4, (0,)).square().mean())
        assert deviation == pytest.approx(expected, rel=closeness + 0.05)


def test_what_follows_the_noise_changes_its_deviation() -> None:
    operator = BoundOperator.unfitted(HISS >> Resampling(factor=2), 8000).operator
    assert measured_deviation(operator, 0.02) == pytest.approx(0.02 / 2**0.5, rel=0.05)
    assert measured_deviation(HISS >> Clipping(level=0.9), 0.02) == pytest.approx(0.02, rel=0.05)
    assert measured_deviation(HISS >> StftMagnitude(), 0.02) == 0.02
    assert measured_deviation(HISS, 0.02) == 0.02


def test_a_simulation_adds_the_noise_where_it_stands() -> None:
    clean = 2 * noise(1, 4000).numpy()
    measured, rate, std = damaged(Resampling(factor=2) >> HISS >> Clipping(level=0.3), clean, RATE)
    assert rate == 8000
    assert std == pytest.approx(0.02, rel=0.05)
    assert np.abs(measured).max() == 0.3  # noise was clipped with the music
    quiet, _, _ = damaged(Resampling(factor=2) >> Clipping(level=0.3), clean, RATE)
    inside = (np.abs(measured) < 0.25) & (np.abs(quiet) < 0.25)
    assert (measured - quiet)[inside].std() == pytest.approx(0.02, rel=0.05)
    after, _, _ = damaged(Clipping(level=0.3) >> HISS, clean, RATE)
    assert np.abs(after).max() > 0.32


def test_finishing_takes_noise_off_where_it_stands() -> None:
    """A tone with hiss, clipped: told the truth, the clipped samples come back beyond the level and the hiss goes."""
    time = torch.arange(2 * RATE, dtype=torch.float64) / RATE
    x = 0.6 * torch.sin(2 * torch.pi * 440 * time)[None, None]
    operator = NoiseAlone(std=0.03) >> Clipping(level=0.5, iterations=30)
    y = (x + 0.03 * noise(1, 1, 2 * RATE) / 0.2).clamp(-0.5, 0.5)
    spectrum = NoiseSpectrum.white(0.03, 1, RATE)
    out = finished(BoundOperator(operator, RATE, RATE), x, y, spectrum)
    clipped = y.abs() >= 0.5
    assert float((out[clipped].abs() > 0.5).double().mean()) > 0.7
    error, before, later = ((each - x).square().mean() for each in (out, y, operator.finish(x, y)))
    assert error < 0.2 * before
    assert error < 0.3 * later


def test_finishing_keeps_the_band_below_a_change_of_rate() -> None:
    time = torch.arange(2 * RATE, dtype=torch.float64) / RATE
    x = 0.6 * torch.sin(2 * torch.pi * 440 * time)[None, None]
    operator = Resampling(factor=2) >> NoiseAlone(std=0.01) >> Clipping(level=0.5, iterations=30)
    y = (x[..., ::2] + 0.01 * noise(1, 1, RATE) / 0.2).clamp(-0.5, 0.5)
    bound = BoundOperator.unfitted(operator, RATE // 2)
    # The estimate has the right levels and wrong phases, as a vocoder's.
    out = finished(bound, -x, y, NoiseSpectrum.white(0.01, 1, RATE // 2))
    assert (out - x)[..., 800:-800].square().mean() < 0.05 * x.square().mean()


def test_a_dull_hissing_clipped_file_is_solved_in_one_run(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "song.wav", 0.5 * np.random.default_rng(0).standard_normal(16000), 16000)
    words = ["solve", "resampling factor=2 | noise std=0.01 | clipping level=0.5", tmp_path / "song.wav", "--simulate",
             "--steps", "2", "-s", "repeats=1", "-o", tmp_path / "out.wav"]  # fmt: skip
    with pytest.raises(SystemExit) as stop:
        main([str(word) for word in words])
    assert not stop.value.code
    record = json.loads((tmp_path / "out.wav.json").read_text())
    assert record["measured"]["noise_std"] == pytest.approx(0.01, rel=0.05)
