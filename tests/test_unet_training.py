"""The UNet's training: the store of log-mels, the pool of latents, weights, averages and several processes."""

from __future__ import annotations

import json
import math
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import multiprocessing, nn

from training import parallel
from training.data import EXCERPT_SECONDS, MEL
from training.latents import LatentPool
from training.loop import Run, learning_rate_factor
from training.mels import BANDS, EXCERPT_FRAMES, FLOOR, FRAME_RATE, STEP, Mels, equalise, quantise, shares
from training.pack import PASSAGE, needed, passages
from training.packed import compress, decompress
from training.release import history
from training.train_unet import schedule, weight

HOUR = 360_000  # frames


def store(folder: Path) -> Mels:
    """Two training sources, of constant log-mels 1 and 2 nats above the floor, and a validation source at 3."""
    folder.mkdir()
    rows, parts = [], []
    for k, (group, split) in enumerate([("rock", "train"), ("bank_a", "train"), ("rock", "validation")]):
        kind = "rendered" if group == "bank_a" else "recorded"
        row = {"source": str(k), "kind": kind, "group": group, "split": split, "speed": 1.0, "captions": 0}
        rows.append({**row, "start": 100 * k, "frames": 100})
        parts.append(quantise(np.full((100, 64), FLOOR + k + 1, np.float32)))
    np.concatenate(parts).tofile(folder / "mels.u8")
    (folder / "sources.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    np.save(folder / "text.npy", np.zeros((3, 2, 8), np.float16))
    np.save(folder / "text_empty.npy", np.zeros(8, np.float16))
    return Mels(folder)


def test_log_mels_are_stored_to_half_a_step() -> None:
    mel = np.linspace(FLOOR, FLOOR + 15.9, 1000, dtype=np.float32)
    assert np.abs(FLOOR + STEP * quantise(mel).astype(np.float32) - mel).max() <= STEP / 2 + 1e-5
    assert quantise(np.array([FLOOR])) == 0


def test_the_store_has_the_mel_of_everything_else() -> None:
    assert (BANDS, FRAME_RATE, math.exp(FLOOR)) == pytest.approx((MEL.bands, MEL.frame_rate, MEL.floor))
    assert round(EXCERPT_SECONDS * MEL.frame_rate) == EXCERPT_FRAMES


def test_packed_log_mels_come_back_bit_for_bit() -> None:
    codes = np.random.default_rng(0).integers(0, 256, (300, BANDS), np.uint8)
    assert np.array_equal(decompress(compress(codes)), codes)
    assert len(compress(np.full((300, BANDS), 7, np.uint8))) < 300


def test_excerpts_are_drawn_by_share_from_the_training_split_alone(tmp_path: Path) -> None:
    mels = store(tmp_path / "mels")
    _, sources = mels.sampler({"rock": 0.25, "bank_a": 0.75}, 64).draw(400, torch.Generator().manual_seed(0))
    assert set(sources) == {0, 1}
    assert sources.count(1) / 400 == pytest.approx(0.75, abs=0.07)
    mel, picks = mels.fixed("recorded", "validation", 3, 64)
    assert picks == [2, 2, 2]
    torch.testing.assert_close(mel, torch.full((3, 64, 64), FLOOR + 3))


def test_shares_halve_between_recorded_and_rendered_and_leave_out_what_is_short() -> None:
    def row(group: str, kind: str, hours: float) -> dict[str, Any]:
        return {"group": group, "kind": kind, "split": "train", "frames": hours * HOUR}

    rows = [row("a", "recorded", 4), row("b", "recorded", 1), row("c", "recorded", 0.1), row("d", "rendered", 9)]
    rows += [row("e", "rendered", 1), {**row("f", "rendered", 9), "split": "test"}]
    assert shares(rows) == pytest.approx({"a": 1 / 3, "b": 1 / 6, "d": 0.25, "e": 0.25})


def test_equalising_adds_one_gain_and_keeps_the_floor() -> None:
    mel = torch.full((4, 5, 64), -3.0)
    changed = equalise(mel, torch.Generator().manual_seed(0), gain_db=6.0, share=0.0)
    gains = changed[:, 0, 0] + 3
    torch.testing.assert_close(changed, mel + gains[:, None, None])
    assert 0 < gains.abs().max() <= 6 * math.log(10) / 20
    curved = equalise(mel, torch.Generator().manual_seed(0), share=1.0)
    assert curved.std(dim=2).min() > 0.01
    assert curved.std(dim=1).max() < 1e-6
    assert equalise(torch.full((8, 5, 64), FLOOR), torch.Generator().manual_seed(0)).min() >= FLOOR


def test_a_pool_grows_and_then_replaces_the_oldest(tmp_path: Path) -> None:
    sampler = store(tmp_path / "mels").sampler({"rock": 1.0}, 64)
    count = iter(range(100))
    pool = LatentPool(sampler, lambda mel: torch.full((len(mel), 1, 1, 1), float(next(count))), 4, "cpu")
    generator = torch.Generator().manual_seed(0)
    for expected in ([0, 0], [0, 0, 1, 1], [2, 2, 1, 1]):
        pool.renew(2, generator)
        assert pool.latents[: pool.filled].flatten().tolist() == expected
    z, sources = pool.draw(100, generator)
    assert set(z.flatten().tolist()) == {1.0, 2.0}
    assert set(sources.tolist()) == {0}


def test_min_snr_weights_the_error_of_v_as_the_paper_has_it() -> None:
    alphas = schedule().alphas_cumprod
    t = torch.tensor([10, 500, 990])
    snr = alphas[t] / (1 - alphas[t])
    # The error of v is (SNR + 1) times that of x0; on x0 the weight is min(SNR, 5).
    torch.testing.assert_close(weight(t, alphas, "min-snr") * (snr + 1), snr.clamp(max=5))
    assert snr[0] > 5 > snr[1]
    assert weight(t, alphas, "v").tolist() == [1, 1, 1]


def test_the_rate_holds_for_the_share_of_the_time_that_is_asked_for() -> None:
    assert [learning_rate_factor(1000, x, hold=0.6) for x in (0.5, 0.8, 1.0)] == pytest.approx([1, 0.5, 0])
    assert learning_rate_factor(1000, 1.0, hold=1) == 1


def _run(work: Path, minutes: float, trained: bool) -> Run[nn.Linear]:
    model = nn.Linear(1, 1, bias=False)
    nn.init.ones_(model.weight)
    chosen = Namespace(work=work, minutes=minutes, hold=1, batch=1, seed=0, threads=1, device="cpu")
    return Run("part", model, chosen, 1e-2, 0.9, more_decays=(0.5,), trained=trained)


def test_averages_of_every_decay_follow_the_model_and_survive_a_restart(tmp_path: Path) -> None:
    run = _run(tmp_path, 1e9, trained=True)
    expected = {0.9: 1.0, 0.5: 1.0}
    for step in run:
        run.update(run.model(torch.ones(1, 1)).sum())
        for decay in expected:
            expected[decay] = decay * expected[decay] + (1 - decay) * run.model.weight.item()
        if step == 4:
            run.stop()
    assert run.ema is run.emas[0.9]
    again = _run(tmp_path, 1e9, trained=True)
    assert (again.step, again.model.weight.item()) == (run.step, run.model.weight.item())
    for kept in (run, again):
        assert {decay: ema.weight.item() for decay, ema in kept.emas.items()} == pytest.approx(expected)


def _average(rank: int, path: str, out: str) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{path}", rank=rank, world_size=2)
    model = nn.Linear(2, 1)
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, float(1 + 2 * rank))
    stopping = [parallel.average(model.parameters(), False), parallel.average(model.parameters(), rank == 1)]
    means = [parameter.grad.unique().tolist() for parameter in model.parameters() if parameter.grad is not None]
    Path(f"{out}{rank}").write_text(json.dumps([means, stopping]))
    parallel.finish()


def test_processes_average_their_gradients_and_stop_together(tmp_path: Path) -> None:
    multiprocessing.spawn(_average, (str(tmp_path / "meet"), str(tmp_path / "out")), nprocs=2)
    for rank in (0, 1):
        assert json.loads((tmp_path / f"out{rank}").read_text()) == [[[2.0], [2.0]], [False, True]]


def test_a_part_keeps_the_history_that_its_new_stage_went_on_from() -> None:
    package = {"unet_gpu": {"steps": 1}, "vae": {"steps": 2}}
    assert history(package, "unet", {}) == {"unet_gpu": {"steps": 1}}
    further, afresh = {"unet": {"steps": 3, "trained": True}}, {"unet": {"steps": 3, "trained": False}}
    assert history(package, "unet", further) == {"unet_gpu": {"steps": 1}} | further
    assert history(package, "unet", afresh) == afresh


def test_passages_are_drawn_once_each_at_their_own_speed(tmp_path: Path) -> None:
    row = {"kind": "recorded", "group": "rock", "split": "train", "frames": HOUR}
    mels = store(tmp_path / "mels")
    mels.rows = [row | {"speed": speed} for speed in (1.0, 15 / 16)]
    drawn = passages(mels, 50)
    assert len(set(drawn)) == len(drawn) == 50
    assert {index for index, _ in drawn} == {0}
    assert all(start % PASSAGE == 0 and start + PASSAGE <= HOUR for _, start in drawn)


def test_what_diffusers_needs_is_packed_and_torch_is_not() -> None:
    names = needed("diffusers")
    assert {"diffusers", "huggingface-hub", "filelock"} <= set(names)
    assert not {"torch", "numpy", "safetensors"} & set(names)
