"""Posterior principal components where they are known, and ``diffmusic explore`` on a tiny checkpoint."""

import dataclasses
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from diffmusic.editor.contract import Edit, Region
from diffmusic.editor.directions import Directions, find
from diffmusic.editor.drift import follow
from diffmusic.editor.eigenpairs import Pairs, entropy, gaps, leading, matched
from diffmusic.prior import Costs
from diffmusic.prior.denoiser import Denoiser
from diffmusic.prior.guidance import Text
from diffmusic.solver import mean
from diffmusic.testing.editors import task
from diffmusic.testing.oracle import GaussianPrior

DIM = 64


def gaussian(ratio: float = 0.9) -> tuple[GaussianPrior, Tensor]:
    """A prior whose spectrum decays slowly, with rotated axes; and the axes, the leading first."""
    axes = torch.linalg.qr(torch.randn(DIM, DIM, generator=torch.Generator().manual_seed(1)).double()).Q
    spread = 2 * ratio ** torch.arange(DIM).double() + 1e-6  # or rounding makes it indefinite
    return GaussianPrior(torch.zeros(DIM).double(), (axes * spread) @ axes.T), axes.T


def given(
    prior: GaussianPrior, strength: float = 2.0, steps: int = 1, batch: int = 1, **more: object
) -> tuple[Edit, Costs]:
    made = task((Text(),), Text(), prior=prior, strength=strength, steps=steps, **more)  # type: ignore[arg-type]
    return dataclasses.replace(made, denoise=Denoiser(prior, costs := Costs(), batch)), costs


def degrees(found: Tensor, true: Tensor) -> float:
    """The largest principal angle between two spaces."""
    return math.degrees(math.acos(min(1.0, float(torch.linalg.svdvals(found.double() @ true.T).min()))))


def published(prior: GaussianPrior, z: Tensor, sigma: float, count: int, iterations: int) -> Tensor:
    """Algorithm 1 of arXiv:2402.10009: subspace iteration on one-sided differences, the last vectors kept."""
    v = torch.randn(count, DIM, generator=torch.Generator().manual_seed(2)).double()
    clean = prior.denoise(z, sigma)[0]
    for _ in range(iterations):
        v = torch.linalg.qr(((prior.denoise(z[0] + 1e-3 * v, sigma) - clean) / 1e-3).T).Q.T
    return v


def test_components_of_a_gaussian_at_a_tenth_of_the_published_calls() -> None:
    prior, axes = gaussian()
    made, costs = given(prior)
    found = find(made, 3, products=14, tolerance=0.0)
    ours = degrees(found.vectors[0].flatten(1), axes[:3])
    z = made.z0 + made.sigmas[0] * made.noise(0)
    theirs = degrees(published(prior, z[0], made.sigmas[0], 3, 50), axes[:3])
    assert costs.network_forward == 15  # 1 and 14; the recipe takes 1 and 150
    assert ours < 5
    assert ours < theirs
    # Cov = C - C (C + sigma^2)^-1 C: eigenvalue l s^2 / (l + s^2).
    spread = 2 * 0.9 ** torch.arange(3).double()
    assert torch.allclose(found.values[0].double(), spread * 4 / (spread + 4), rtol=0.01)


def test_a_wrong_factor_would_show() -> None:
    """sigma^2 dD/dz, not sigma dD/dz nor with the factor that eq. 9 of the paper drops."""
    prior, _ = gaussian(0.5)
    made, _ = given(prior, strength=0.5)
    value = float(find(made, 1).values[0, 0])
    right = 2 * 0.25 / 2.25
    assert value == pytest.approx(right, rel=0.01)
    assert abs(right / 0.5 - right) > 0.1 * right
    assert abs(right * math.sqrt(1 + 0.25) - right) > 0.1 * right


def test_early_stop_batches_and_central_differences_agree() -> None:
    prior, axes = gaussian(0.6)
    results = []
    for more in ({}, {"central": True}):
        for batch in (1, 8):
            made, costs = given(prior, strength=3.0, steps=4, batch=batch)
            results.append((find(made, 2, products=30, tolerance=1e-3, **more), costs))  # type: ignore[arg-type]
    for found, costs in results:
        # One pass for a level and one for each product, or two for each: all 30 of no level's were needed.
        assert costs.network_forward < 4 * (60 if found.about["central"] else 31) * 0.7
        assert float(found.residuals.max()) < 1e-3
        for level in range(2):  # lower down they are too much alike to be told apart
            assert degrees(found.vectors[level].flatten(1), axes[:2]) < 2
        # Order and sign go on from level to level.
        together = (found.vectors[1] * found.vectors[0]).flatten(1).sum(-1)
        assert float(together.min()) > 0.99


def test_drift_is_the_papers_equation_5() -> None:
    """Against the variance-preserving form: x' = mu + gamma c_t sqrt(lambda) v + sigma_t z with
    c_t = sqrt(abar') - sqrt(abar) sqrt(1 - abar' - sigma_t^2) / sqrt(1 - abar)."""
    prior, _ = gaussian()
    made, _ = given(prior, steps=6)
    found = find(made, 2)
    gamma, weights = 1.5, (1.0, -0.5)
    z = None
    for i, (a, b) in enumerate(zip(made.sigmas, made.sigmas[1:], strict=False)):
        path = [made.z0 + s * made.noise(k) if s else made.z0 for k, s in enumerate(made.sigmas)]
        abar, after = 1 / (1 + a**2), 1 / (1 + b**2)
        variance = (1 - after) / (1 - abar) * (1 - abar / after)

        def mu(z: Tensor, a: float = a, abar: float = abar, after: float = after, variance: float = variance) -> Tensor:
            clean = prior.denoise(z, a)
            return math.sqrt(after) * clean + math.sqrt(1 - after - variance) * (z - clean) / a

        c = math.sqrt(after) - math.sqrt(abar) * math.sqrt(max(0, 1 - after - variance)) / math.sqrt(1 - abar)
        shift = sum(w * found.values[i, j].sqrt() * found.vectors[i, j] for j, w in enumerate(weights))
        z = path[0] if z is None else z
        x = mu(z) + gamma * c * shift + (math.sqrt(after) * path[i + 1] - mu(path[i]))
        z = x / math.sqrt(after)
    assert z is not None
    ours = follow(made, found, weights, gamma)
    assert float((ours - z).norm() / z.norm()) < 1e-6  # directions are kept in float32
    assert float((ours - made.z0).norm()) > 0.1
    assert torch.equal(follow(made, found, weights, 0.0), made.z0)
    fixed, random = follow(made, found, weights, gamma, at=0.5), follow(made, found, weights, gamma, random=True)
    assert float((fixed - ours).norm()) > 1e-6
    assert float((random - made.z0).norm()) > 1e-3


def test_regions_bound_the_directions() -> None:
    prior, _ = gaussian()
    mask = torch.zeros(DIM)
    mask[10:20] = 1
    made, _ = given(prior, regions=(Region(mask, 2.0),))
    found = find(made, 2)
    assert float(found.vectors[..., mask == 0].abs().max()) < 1e-6


def test_matching_and_entropy() -> None:
    vectors = torch.eye(3, 8).double()
    mixed = Pairs(torch.tensor([3.0, 2.0, 1.0]), torch.stack([-vectors[1], vectors[2], vectors[0]]),
                  torch.tensor([0.3, 0.2, 0.1]), 5)  # fmt: skip
    back = matched(mixed, vectors)
    assert back.values.tolist() == [1, 3, 2]
    assert torch.equal(back.residuals, torch.tensor([0.1, 0.3, 0.2]))  # they stay with their pairs
    assert torch.equal(back.vectors, vectors)
    wide, narrow = torch.ones(1, 2, 8, 4), torch.zeros(1, 2, 8, 4)
    narrow[:, :, 3] = 1
    assert entropy(wide).item() == pytest.approx(math.log(8))
    assert entropy(narrow).item() == pytest.approx(0)


def test_a_matrix_that_is_not_quite_symmetric_has_its_leading_space_found() -> None:
    """The space of the leading Schur vectors, with residuals that go to 0; that of the symmetric part alone is not
    mapped into itself, however many products are taken."""
    draw = torch.Generator().manual_seed(3)
    axes = torch.linalg.qr(torch.randn(40, 40, generator=draw).double()).Q
    skew = torch.randn(40, 40, generator=draw).double()
    matrix = (axes * 0.8 ** torch.arange(40)) @ axes.T + 0.01 * (skew - skew.T)
    found = leading(lambda v: v @ matrix.T, torch.randn(1, 40, generator=draw).double(), 3, products=30, tolerance=1e-6)
    assert float(found.residuals.max()) < 1e-6
    assert found.products < 30
    values = torch.linalg.eigvals(matrix).real.sort(descending=True).values
    space = found.vectors.T @ found.vectors
    assert float((space @ matrix @ space - matrix @ space).norm()) < 1e-5
    assert float(found.values.sum()) == pytest.approx(float(values[:3].sum()), rel=1e-6)


def test_a_leading_pair_of_complex_eigenvalues_is_a_space_too() -> None:
    turn = torch.tensor([[3.0, -1.0, 0, 0], [1.0, 3.0, 0, 0], [0, 0, 1.0, 0], [0, 0, 0, 0.5]]).double()
    found = leading(lambda v: v @ turn.T, torch.ones(1, 4).double(), 2, products=4)
    assert float(found.residuals.max()) < 1e-9
    assert float(found.vectors[:, 2:].norm()) < 1e-9
    assert found.values.tolist() == pytest.approx([3, 3])
    assert float(leading(lambda v: v @ turn.T, torch.ones(1, 4).double(), 1, products=4).residuals) > 0.1  # half of it


def test_the_angle_to_the_truth_is_within_what_the_gap_allows_once_values_have_settled() -> None:
    prior, axes = gaussian()
    for products in (14, 20):
        made, _ = given(prior)
        found = find(made, 3, products=products, tolerance=0.0)
        vectors = found.vectors[0].flatten(1).double()
        true = (vectors * axes[:3]).sum(1).abs().clamp(max=1).acos().rad2deg()
        assert (true <= found.angles[0] + 0.1).all(), (true, found.angles[0])
    assert float(found.angles[0].max()) < 20
    assert found.beyond is not None
    # Of two that coincide, nothing is known of either.
    twins = Directions(found.sigmas, found.vectors[:, :2], torch.tensor([[2.0, 2.0]]), torch.full((1, 2), 1e-6),
                       torch.tensor([1.0]))  # fmt: skip
    assert twins.angles.tolist() == [[90, 90]]
    assert twins.unfinished(1e-7) == [0]
    assert twins.unfinished(1e-5) == []
    assert gaps(torch.tensor([[1.0, 4.0, 3.0]]), torch.tensor([0.5])).tolist() == [[0.5, 1.0, 1.0]]


def test_search_is_exact_once_it_has_everything() -> None:
    matrix = torch.diag(torch.tensor([5.0, 4.0, 1.0, 0.5]).double())
    pairs = leading(lambda v: v @ matrix, torch.ones(1, 4).double(), 2, products=10)
    assert pairs.values.tolist() == pytest.approx([5, 4])
    assert pairs.products == 4


# -- the command ---------------------------------------------------------------------------------------------------

Song = Callable[..., Path]
Run = Callable[..., SimpleNamespace]


def test_explore_then_follow(song: Song, run: Run, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path, out = song(subtype="FLOAT"), tmp_path / "found"
    common = ("--model", tiny, "--steps", 3)
    result = run("explore", path, "-o", out, "--components", 2, "--products", 4, *common)
    assert result.code == 0, result.err
    names = {"directions.safetensors", "directions.safetensors.json", "listen.html"}
    page = (out / "listen.html").read_text()
    assert page.count("data:audio/flac") == 1 + 4 * 3  # two components and the control at -2, -1, 1, 2; and 0
    letter = re.search(r'data-right="Direction ([ABC])"', page)
    assert letter
    assert f"<li>{letter[1]}: random</li>" in page
    assert "degrees" in result.out
    assert {each.name for each in out.iterdir()} == names | {
        f"pc{n}-{w}.wav" for n in (1, 2) for w in ("plus", "minus")
    }
    record = json.loads((out / "directions.safetensors.json").read_text())
    assert np.array(record["entropy"]).shape == (3, 2)
    assert Directions.load(out / "directions.safetensors").about["model"]["name"] == Path(tiny).name
    # Followed again by the same amount it is what explore rendered, without looking for anything.
    words = ("--target", "", "--solver", "posterior-pc", "-s", f"directions={out / 'directions.safetensors'}")
    result = run("edit", path, *words, "-s", "weights=0,1", "-s", "amount=2", "-o", tmp_path / "again.wav", *common)
    assert result.code == 0, result.err
    again, minus = (soundfile.read(each)[0] for each in (tmp_path / "again.wav", out / "pc2-minus.wav"))
    assert np.array_equal(again, soundfile.read(out / "pc2-plus.wav")[0])
    assert not np.array_equal(again, minus)
    assert json.loads((tmp_path / "again.wav.json").read_text())["costs"]["network_forward"] == 6
    repeated = tmp_path / "repeated"
    assert run("explore", "--config", out / "directions.safetensors.json", "-o", repeated).code == 0
    assert (repeated / "pc1-plus.wav").read_bytes() == (out / "pc1-plus.wav").read_bytes()
    values = tmp_path / "values"
    many = run("explore", path, path, "--average", "-o", values, "--components", 2, "--products", 4, *common)
    assert many.code == 0, many.err
    mean, own = (Directions.load(each / "directions.safetensors").values for each in (values, out))
    assert torch.allclose(mean, own, rtol=1e-4)
    for number, averages in enumerate((values / "directions.safetensors", "kept")):
        done = run("edit", path, *words, "-s", f"averages={averages}", "-o", tmp_path / f"{number}.wav", *common)
        assert done.code == 0, done.err
    assert (tmp_path / "0.wav").read_bytes() == (tmp_path / "1.wav").read_bytes()
    longer = run("edit", song("long.wav", seconds=3.0), *words, "-o", tmp_path / "no.wav", *common)
    assert longer.code == 2
    assert "latents" in longer.err


def test_a_change_of_the_posterior_mean_is_c_times_as_large_in_the_next_latent() -> None:
    """arXiv:2402.10009, eq. 13 to 17: adding to x_0|t is adding to mu_t with c_t; ours is theirs over sqrt(abar')."""
    z, clean, change = (torch.randn(4, 9, generator=torch.Generator().manual_seed(n)).double() for n in range(3))
    for sigma, after in ((14.0, 9.0), (2.73, 2.1), (0.05, 0.03), (0.03, 0.0)):
        moved = mean(z, clean + change, sigma, after, 1.0) - mean(z, clean, sigma, after, 1.0)
        a, b = 1 / (1 + sigma**2), 1 / (1 + after**2)
        variance = (1 - b) / (1 - a) * (1 - a / b)
        c = math.sqrt(b) - math.sqrt(a) / math.sqrt(1 - a) * math.sqrt(max(0.0, 1 - b - variance))
        assert torch.allclose(moved, c / math.sqrt(b) * change, rtol=1e-9)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--components", 0), "--components: input should be"),
        (("--components", 9, "--products", 4), "no fewer"),
        (("--strength", 1e9), "noise level"),
        (("--segment", "5:6"), "outside the recording"),
    ],
)
def test_bad_input_leaves_nothing(
    song: Song, run: Run, tiny: Path, tmp_path: Path, words: tuple[object, ...], message: str
) -> None:
    path = song()
    result = run("explore", path, "--model", tiny, *words)
    assert (result.code, result.err.count("\n")) == (2, 1), result.err
    assert message in result.err
    assert list(tmp_path.iterdir()) == [path]


def test_files_of_something_else_are_refused(song: Song, run: Run, tiny: Path, tmp_path: Path) -> None:
    path = song()
    words = ("edit", path, "--target", "", "--model", tiny, "--solver", "posterior-pc", "-o", tmp_path / "out.wav")
    for given, message in ((path, "holds no directions"), (tmp_path / "none", "no such file")):
        result = run(*words, "-s", f"directions={given}")
        assert (result.code, result.err.count("\n")) == (2, 1), result.err
        assert message in result.err
