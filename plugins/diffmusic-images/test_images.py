"""On a tiny Stable Diffusion that is made here: the same as diffusers, and as the papers' formulas."""

import json
import math
import shutil
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import soundfile
import torch
from diffmusic_images import files, tasks
from diffmusic_images.blur import Blur
from diffmusic_images.box_mask import BoxMask
from diffmusic_images.downsampling import Downsampling
from diffmusic_images.image_inversion import ImageInversion
from diffmusic_images.settings import EditSettings, ExploreSettings, SolveSettings
from diffmusic_images.stable_diffusion import StableDiffusion
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from PIL import Image
from scipy.ndimage import gaussian_filter
from transformers import CLIPTextConfig, CLIPTextModel

from diffmusic.cli import main
from diffmusic.editor.contract import Edit
from diffmusic.editor.directions import find
from diffmusic.editor.drift import follow
from diffmusic.editor.inversion import independent_path, invert, posterior_path, shifted
from diffmusic.models.load import load_latent_model
from diffmusic.parameters import bind
from diffmusic.prior import Costs, LatentModel, Prior
from diffmusic.prior.denoiser import Denoiser
from diffmusic.prior.guidance import Text
from diffmusic.problem import Problem
from diffmusic.solver import State, Step, mean
from diffmusic.tasks.loading import load_solver
from diffmusic.testing import check_backbone, parametrize_with_checks

SOURCE, TARGET, OTHER = "a sketch of a cat", "a photo of a dog", "blurry"
SCHEDULER = {
    "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000,
    "steps_offset": 1, "clip_sample": False,
}  # fmt: skip


def clip(folder):
    """A CLIP text encoder, and a tokenizer that knows single letters."""
    from tokenizers import pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "tokenizer").mkdir(parents=True)
    (folder / "tokenizer" / "vocab.json").write_text(json.dumps({word: n for n, word in enumerate(words)}))
    (folder / "tokenizer" / "merges.txt").write_text("#version: 0.2\n")
    special = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}
    kind = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "pad_token": "<|endoftext|>"}
    (folder / "tokenizer" / "tokenizer_config.json").write_text(json.dumps(kind | special))
    config = CLIPTextConfig(
        vocab_size=len(words), hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=77, bos_token_id=len(words) - 2, eos_token_id=len(words) - 1,
    )  # fmt: skip
    torch.manual_seed(3)
    CLIPTextModel(config).save_pretrained(folder / "text_encoder")


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A Stable Diffusion 1 of a few thousand parameters, trained on images of 64 pixels a side."""
    folder = tmp_path_factory.mktemp("tiny-stable-diffusion")
    torch.manual_seed(1)
    AutoencoderKL(
        block_out_channels=(8, 8, 8, 8), down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4, latent_channels=4, norm_num_groups=4, layers_per_block=1,
        sample_size=64, scaling_factor=0.18215,
    ).save_pretrained(folder / "vae")  # fmt: skip
    UNet2DConditionModel(
        sample_size=8, in_channels=4, out_channels=4, block_out_channels=(8, 16), cross_attention_dim=16,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        attention_head_dim=4, norm_num_groups=4, layers_per_block=1,
    ).save_pretrained(folder / "unet")  # fmt: skip
    clip(folder)
    DDIMScheduler(**SCHEDULER, set_alpha_to_one=False).save_pretrained(folder / "scheduler")
    index = {
        "_class_name": "StableDiffusionPipeline",
        "vae": ["diffusers", "AutoencoderKL"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "scheduler": ["diffusers", "DDIMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "safety_checker": [None, None],
        "feature_extractor": [None, None],
    }
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


@pytest.fixture(scope="session")
def model(folder):
    return StableDiffusion.load(folder)


def photo(rows=64, columns=64, seed=0):
    """Smooth colours, (3, rows, columns), from -1 to 1."""
    noise = np.random.default_rng(seed).standard_normal((3, rows, columns))
    smooth = np.stack([gaussian_filter(each, 4) for each in noise])
    return np.round(np.clip(smooth / np.abs(smooth).max(), -1, 1) * 127.5 + 127.5) / 127.5 - 1


def scheduler(steps):
    """DDIM that ends without noise, as the frame does."""
    found = DDIMScheduler(**SCHEDULER, set_alpha_to_one=True)
    found.set_timesteps(steps)
    return found


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# Contracts


@parametrize_with_checks(
    {
        "box-mask": BoxMask.example(),
        "downsampling": Downsampling(),
        "blur": Blur(),
        "image-inversion": ImageInversion(),
        "image-inversion of CycleDiffusion": ImageInversion(path="posterior"),
    }
)
def test_it_keeps_its_contract(component, check):
    check(component)


def test_stable_diffusion_keeps_the_contract_of_a_latent_model(model):
    check_backbone(model)
    assert isinstance(model, LatentModel)


# Operators


def test_a_box_is_lost_and_all_else_comes_back(folder):
    x, operator = torch.from_numpy(photo(20, 30)).flatten(1)[None], BoxMask(((4, 12, 3, 9), (25, 99, 0, 2)), 30)
    expected = photo(20, 30)
    expected[:, 3:9, 4:12] = 0
    expected[:, 0:2, 25:] = 0
    np.testing.assert_array_equal(operator.forward(x).reshape(3, 20, 30), expected)
    finished = operator.finish(x + 1, operator.forward(x)).reshape(3, 20, 30).numpy()
    outside = expected != 0
    np.testing.assert_array_equal(finished[outside], photo(20, 30)[outside])
    np.testing.assert_array_equal(finished[:, 3:9, 4:12], photo(20, 30)[:, 3:9, 4:12] + 1)


def test_downsampling_is_the_mean_of_blocks_and_finishing_explains_it():
    x, operator = torch.from_numpy(photo(12, 24)).flatten(1)[None], Downsampling(3, 24)
    expected = photo(12, 24).reshape(3, 4, 3, 8, 3).mean((2, 4))
    np.testing.assert_allclose(operator.forward(x).reshape(3, 4, 8), expected, atol=1e-12)
    finished = operator.finish(0.3 * x, operator.forward(x))
    torch.testing.assert_close(operator.forward(finished), operator.forward(x))


@pytest.mark.parametrize("deviation", [1.0, 2.0, 30.0])
def test_blur_is_a_gaussian_over_the_mirrored_image(deviation):
    x, operator = torch.from_numpy(photo(20, 31)).flatten(1)[None], Blur(deviation, 31)
    expected = np.stack([gaussian_filter(each, deviation, mode="reflect", truncate=4.0) for each in photo(20, 31)])
    np.testing.assert_allclose(operator.forward(x).reshape(3, 20, 31), expected, atol=1e-10)


# Stable Diffusion, as diffusers has it


def pipeline(kind, folder, steps):
    made = kind.from_pretrained(folder, safety_checker=None, feature_extractor=None, requires_safety_checker=False)
    made.scheduler = scheduler(steps)
    made.set_progress_bar_config(disable=True)
    return made


def test_prompts_are_read_as_diffusers_reads_them(folder, model):
    condition, contrast = pipeline(StableDiffusionPipeline, folder, 4).encode_prompt(TARGET, "cpu", 1, True, OTHER)
    torch.testing.assert_close(model.embed(TARGET), condition)
    torch.testing.assert_close(model.embed(OTHER), contrast)
    assert model.embed(TARGET).shape == (1, 77, 16)


def test_images_are_encoded_and_decoded_as_diffusers_does(folder, model):
    vae = AutoencoderKL.from_pretrained(folder / "vae")
    image = torch.from_numpy(photo(48, 64)).float()[None]
    with torch.no_grad():
        expected = vae.encode(image).latent_dist.mode() * 0.18215
        z = model.encode(image.flatten(2))
        torch.testing.assert_close(z, expected)
        torch.testing.assert_close(model.decode(z, 48 * 64).reshape(image.shape), vae.decode(expected / 0.18215).sample)


@pytest.mark.parametrize("guidance", [1.0, 7.5])
def test_a_walk_from_noise_is_that_of_the_diffusers_pipeline(folder, model, guidance):
    x, steps = drawn(1, 4, 8, 8), 4
    expected = pipeline(StableDiffusionPipeline, folder, steps)(
        TARGET, negative_prompt=OTHER, num_inference_steps=steps, guidance_scale=guidance, latents=x,
        output_type="latent",
    ).images  # fmt: skip
    sigmas = tasks.levels(model, steps)
    text = Text((model.embed(TARGET),), model.embed(OTHER), guidance)
    z = x * math.sqrt(1 + sigmas[0] ** 2)
    for sigma, sigma_next in pairwise(sigmas):
        z = mean(z, Denoiser(model, Costs())(z, sigma, text), sigma, sigma_next, eta=0.0)
    torch.testing.assert_close(z, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_sdedit_is_image_to_image_of_diffusers(folder, model, eta):
    steps, strength, guidance = 10, 0.6, 7.5
    z0 = drawn(1, 4, 8, 8)
    expected = pipeline(StableDiffusionImg2ImgPipeline, folder, steps)(
        TARGET, image=z0, strength=strength, num_inference_steps=steps, guidance_scale=guidance, eta=eta,
        negative_prompt=OTHER, generator=torch.Generator().manual_seed(5), output_type="latent",
    ).images  # fmt: skip
    source, draws = torch.Generator().manual_seed(5), []

    def noise(number):
        while len(draws) <= number:
            draws.append(torch.randn(z0.shape, generator=source))
        return draws[number]

    text = Text((model.embed(TARGET),), model.embed(OTHER), guidance)
    sigmas = tasks.levels(model, steps, steps - int(steps * strength))
    given = Edit(z0, sigmas, Text(), (text,), Denoiser(model, Costs()), noise)
    made = load_solver("sdedit", eta=eta).edit(given)
    torch.testing.assert_close(made, expected, rtol=1e-4, atol=1e-4)


def task(model, steps=8, skip=2, targets=(TARGET,), guidance=15.0, **more):
    """An edit of latents with the papers' weights, float64 but for the network."""
    z0 = 0.8 * drawn(1, 4, 8, 8, seed=9).double()

    def text(prompt, weight):
        return Text((model.embed(prompt),), model.embed(None), weight)

    def noise(number):
        return drawn(*z0.shape, seed=100 + number).double()

    double = replace(model, unet=model.unet.double())
    texts = tuple(text(each, guidance) for each in targets)
    sigmas = tasks.levels(model, steps, skip)
    return Edit(z0, sigmas, text(SOURCE, 3.5), texts, Denoiser(double, Costs()), noise, frame_rate=1 / 8, **more)


@pytest.fixture
def double(folder):
    """A model of its own in float64, so that formulas can be compared to the last digits."""
    return StableDiffusion.load(folder)


@pytest.mark.parametrize("draw", [independent_path, posterior_path])
def test_noise_maps_are_those_that_diffusers_computes(double, draw):
    from diffusers.pipelines.deprecated.stable_diffusion_variants.pipeline_cycle_diffusion import (
        compute_noise as of_cycle_diffusion,
    )
    from diffusers.pipelines.ledits_pp.pipeline_leditspp_stable_diffusion import compute_noise_ddim

    given, known = task(double), scheduler(8)
    code = invert(given, draw(given))
    maps = code.noise()
    for index, t in enumerate(known.timesteps[2:-1].tolist()):
        here, there = (float(known.alphas_cumprod[step]) for step in (t, t - 125))
        x, x_next = code.path[index] * math.sqrt(here), code.path[index + 1] * math.sqrt(there)
        eps = (code.path[index] - code.clean[index]) / given.sigmas[index]
        for theirs, _ in (compute_noise_ddim(known, x_next, x, t, eps, 1.0),):
            torch.testing.assert_close(maps[index], theirs, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(maps[index], of_cycle_diffusion(known, x_next, x, t, eps, 1.0), rtol=1e-4, atol=1e-5)


def test_the_path_of_cycle_diffusion_is_that_of_diffusers(double, monkeypatch):
    from diffusers.pipelines.deprecated.stable_diffusion_variants import pipeline_cycle_diffusion as theirs

    given, known = task(double), scheduler(8)
    path = posterior_path(given)
    for index, t in enumerate(known.timesteps[2:-1].tolist()):
        monkeypatch.setattr(theirs, "randn_tensor", lambda *_, index=index, **__: given.noise(index + 1))
        here, there = (float(known.alphas_cumprod[step]) for step in (t, t - 125))
        expected = theirs.posterior_sample(known, path[index] * math.sqrt(here), t, given.z0, None, 1.0)
        torch.testing.assert_close(path[index + 1] * math.sqrt(there), expected, rtol=1e-5, atol=1e-5)


# The papers


def abars(given):
    return [1 / (1 + sigma**2) for sigma in given.sigmas]


class Paper:
    """Equations of arXiv:2304.06140 in its own quantities: x_t, abar_t, eps, z_t."""

    def __init__(self, given):
        self.given, self.abars = given, abars(given)

    def predicted(self, x, index, text):
        """``P(f_t(x_t))`` under guidance."""
        z = x / math.sqrt(self.abars[index])
        return self.given.denoise(z, self.given.sigmas[index], text)

    def deviation(self, index):
        """``sigma_t`` with eta 1."""
        a, b = self.abars[index : index + 2]
        return math.sqrt((1 - b) / (1 - a) * (1 - a / b))

    def mean(self, x, index, clean):
        """Eq. 4."""
        a, b = self.abars[index : index + 2]
        eps = (x - math.sqrt(a) * clean) / math.sqrt(1 - a)
        return math.sqrt(b) * clean + math.sqrt(max(0.0, 1 - b - self.deviation(index) ** 2)) * eps

    def code(self, cycle=False):
        """``x_T``, and ``z_t`` of eq. 5 along the path of eq. 6 or of CycleDiffusion; of the last step ``sigma_t z_t``,
        where ``sigma_t`` is 0."""
        x0, maps = self.given.z0, []
        path = [math.sqrt(a) * x0 + math.sqrt(1 - a) * self.given.noise(n) for n, a in enumerate(self.abars)]
        if cycle:
            for n in range(len(path) - 1):
                path[n + 1] = self.mean(path[n], n, x0) + self.deviation(n) * self.given.noise(n + 1)
        for n in range(len(path) - 1):
            rest = path[n + 1] - self.mean(path[n], n, self.predicted(path[n], n, self.given.source))
            last = n == len(path) - 2
            maps.append(x0 - self.mean(path[n], n, self.predicted(path[n], n, self.given.source)) if last
                        else rest / self.deviation(n))  # fmt: skip
        return path[0], maps

    def sampled(self, x, maps, change=lambda index, clean: 0.0, shift=lambda index: 0.0):
        """Eq. 3 under the target. change: of the noise maps; shift: of the predicted image."""
        for n, noise in enumerate(maps):
            clean = self.predicted(x, n, self.given.targets[0])
            scale = 1.0 if n == len(maps) - 1 else self.deviation(n)
            moved = self.mean(x, n, clean + shift(n))
            x = moved + scale * (noise + (change(n, clean) if n < len(maps) - 1 else 0.0))
        return x


@pytest.mark.parametrize("cycle", [False, True])
def test_text_edits_are_the_papers(double, cycle):
    """Algorithm 1 of arXiv:2304.06140 with its guidance, 15 and 3.5, and CycleDiffusion with the same."""
    given = task(double)
    paper = Paper(given)
    solver = load_solver("cycle-diffusion" if cycle else "ddpm-inversion")
    expected = paper.sampled(*paper.code(cycle))
    torch.testing.assert_close(solver.edit(given), expected, rtol=1e-7, atol=1e-7)
    inversion = ImageInversion(path="posterior" if cycle else "independent")
    torch.testing.assert_close(inversion.edit(given), expected, rtol=1e-7, atol=1e-7)
    assert float((expected - given.z0).abs().max()) > 0.05


def test_the_drift_along_a_component_is_that_of_the_paper(double):
    """arXiv:2402.10009, eq. 5: what the predicted image is moved by, ``gamma sqrt(lambda) v``, moves the mean."""
    given = task(double, targets=(SOURCE,), guidance=3.5)
    found, paper = find(given, 2, products=6), Paper(given)

    def shift(index):
        deviation = float(found.values[index, 1].clamp(min=0).sqrt())
        return 0.7 * deviation * found.vectors[index, 1].double()

    expected = paper.sampled(*paper.code(), shift=shift)
    torch.testing.assert_close(follow(given, found, (0.0, 1.0), 0.7), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(follow(given, found, (0.0, 1.0), 0.0), given.z0)


def test_eigenvalues_are_those_of_the_posterior_covariance(double):
    """``sigma^2 dD/dz``, by automatic differentiation of the network, at every level of the path."""
    given = replace(
        task(double, steps=3, skip=0), z0=drawn(1, 4, 2, 2).double(), source=Text((double.embed(SOURCE),)),
        noise=lambda number: drawn(1, 4, 2, 2, seed=number).double(),
    )  # fmt: skip
    found, path = find(given, 1, products=16, tolerance=0.0, step=1e-4, central=True), independent_path(given)
    for index, sigma in enumerate(given.sigmas[:-1]):

        def denoised(z, sigma=sigma):
            return given.denoise.backbone.denoise(z, sigma, double.embed(SOURCE))

        jacobian = torch.autograd.functional.jacobian(denoised, path[index]).reshape(16, 16)
        # An untrained network's is not symmetric: the largest real part belongs to the space that it maps into itself.
        # Two that are complex share a plane, in which no direction has it exactly.
        values = torch.linalg.eigvals(jacobian)
        leading = values[values.real.argmax()]
        close = 1e-4 if leading.imag == 0 else 1e-2
        assert float(found.values[index, 0]) == pytest.approx(sigma**2 * float(leading.real), rel=close)


class White:
    """A prior of white noise, which is the same wherever it is shifted to."""

    def denoise(self, z, sigma, condition=None):
        return z / (1 + sigma**2)


def plain(**more):
    given = Edit(drawn(1, 4, 6, 9, seed=2), (3.0, 1.5, 0.7, 0.2, 0.0), Text(), (Text(),), Denoiser(White(), Costs()),
                 lambda number: drawn(1, 4, 6, 9, seed=50 + number), frame_rate=1 / 8)  # fmt: skip
    return replace(given, **more)


def test_a_code_that_is_moved_or_mirrored_moves_or_mirrors_the_image():
    given = plain()
    torch.testing.assert_close(ImageInversion(right=16).edit(given), shifted(given.z0, 2, 3))
    torch.testing.assert_close(ImageInversion(down=-9).edit(given), shifted(given.z0, -1, 2))
    torch.testing.assert_close(ImageInversion(mirror=True).edit(given), given.z0.flip(-1))
    torch.testing.assert_close(ImageInversion().edit(given), given.z0)


def test_paint_is_equation_7():
    pixels = torch.zeros(1, 3, 48 * 72)

    def encode(x):  # blocks of 8 by 8, as Stable Diffusion's
        small = torch.nn.functional.avg_pool2d(x.reshape(1, 3, 48, 72), 8)
        return torch.cat([small, small[:, :1]], 1)

    given = plain(encode=encode, audio=pixels, sample_rate=72)
    solver = ImageInversion(paint=((8, 24, 16, 40, 255, 0, 127),), amount=0.3, highest=2.0)
    painted = torch.zeros(3, 48, 72)
    painted[:, 16:40, 8:24] = torch.tensor([1.0, -1.0, 127 / 127.5 - 1])[:, None, None]
    M, B, paper = encode(painted.flatten(1)[None]), torch.zeros(6, 9), Paper(given)
    B[2:5, 1:3] = 1

    def change(index, clean):
        return 0.3 * B * (M - clean) if given.sigmas[index] <= 2 else 0.0

    expected = paper.sampled(*paper.code(), change=change)
    torch.testing.assert_close(solver.edit(given), expected, rtol=1e-5, atol=1e-5)
    assert float((expected - given.z0).abs()[..., 2:5, 1:3].min()) > 0


def test_a_step_of_dps_is_the_papers(model):
    """``x' - zeta grad_x ||y - A Dec(D(x))||`` (arXiv:2209.14687, Algorithm 1), in pixels."""
    operator = bind(Blur(1.5), sample_rate=64)
    y = operator.forward(torch.from_numpy(photo()).float().flatten(1)[None])
    problem = Problem(operator, y, features=lambda pixels: pixels)
    prior = Prior(model, 64 * 64, Costs(), (model.embed(TARGET),), (model.embed(None),), 3.0)
    sigma, sigma_next = tasks.levels(model, 10, 4)[:2]
    here, there = 1 / (1 + sigma**2), 1 / (1 + sigma_next**2)
    x, noise = drawn(1, 4, 8, 8, seed=4), drawn(1, 4, 8, 8, seed=6)
    step = Step(0, sigma, sigma_next, problem, prior, lambda like: noise)
    ours = load_solver("dps", zeta=0.4, eta=1.0).step(State(x / math.sqrt(here)), step).z * math.sqrt(there)
    leaf = x.clone().requires_grad_()
    clean = prior.denoise(leaf / math.sqrt(here), sigma)
    (gradient,) = torch.autograd.grad((operator.forward(model.decode(clean, 64 * 64)) - y).norm(), leaf)
    deviation = math.sqrt((1 - there) / (1 - here) * (1 - here / there))
    eps = (x - math.sqrt(here) * clean) / math.sqrt(1 - here)
    moved = math.sqrt(there) * clean + math.sqrt(1 - there - deviation**2) * eps + deviation * noise
    torch.testing.assert_close(ours, (moved - 0.4 * gradient).detach(), rtol=1e-4, atol=1e-4)


# Tasks


@pytest.mark.parametrize("solver", ["dps", "mmps", "repaint", "diffmusic", "dsg", "reencode"])
def test_a_box_is_solved_and_everything_else_is_kept(model, solver):
    image, operator = photo(40, 72), BoxMask(((16, 40, 8, 24),))
    damaged = image.copy()
    damaged[:, 8:24, 16:40] = 0
    result = tasks.solve(damaged, operator, load_solver(solver), model, SolveSettings(steps=3, prompt=TARGET))
    outside = np.ones((40, 72), dtype=bool)
    outside[8:24, 16:40] = False
    assert result.images.shape == (1, 3, 40, 72)
    np.testing.assert_array_equal(result.images[0][:, outside], image[:, outside])
    assert result.costs.network_forward > 0


def test_the_misfit_falls_along_a_solve(model):
    image = photo()
    operator = Blur(2.0)
    y = bind(operator, sample_rate=64).forward(torch.from_numpy(image).flatten(1)[None])

    def misfit(solver, **parameters):
        settings = SolveSettings(steps=12, finish=False)
        made = tasks.solve(y.reshape(3, 64, 64).numpy(), operator, load_solver(solver, **parameters), model, settings)
        pixels = torch.from_numpy(made.images).flatten(2)
        return float((bind(operator, sample_rate=64).forward(pixels) - y).norm() / y.norm())

    assert misfit("diffmusic", rate=0.8) < 0.95 * misfit("diffmusic", rate=1e-9)


def test_wiener_needs_no_prior():
    image, operator = photo(), Blur(1.0)
    y = bind(operator, sample_rate=64).forward(torch.from_numpy(image).flatten(1)[None]).reshape(3, 64, 64).numpy()
    result = tasks.solve(y, operator, load_solver("wiener"), None, SolveSettings())
    assert files.psnr(image, result.images[0]) > files.psnr(image, y) + 3


def test_the_same_text_gives_the_image_back(model):
    image = photo(50, 37)
    settings = EditSettings(targets=(SOURCE,), source=SOURCE, steps=5, skip=1, guidance=3.5)
    result = tasks.edit(image, load_solver("ddpm-inversion"), model, settings)
    own = model.with_columns(37)
    with torch.no_grad():
        pixels = torch.from_numpy(image).float().flatten(1)[None]
        back = own.decode(own.encode(pixels), 50 * 37).reshape(1, 3, 50, 37).double().numpy()
    np.testing.assert_array_equal(result.images, back)


def test_items_of_a_batch_are_those_alone(model):
    z, sigmas = drawn(3, 4, 7, 5), torch.tensor([0.3, 2.0, 9.0], dtype=torch.float64)
    conditions = [model.embed(TARGET), model.embed(None), model.embed(OTHER)]
    with torch.no_grad():
        together = model.denoise_batch(z, sigmas, conditions)
        for n in range(3):
            alone = model.denoise(z[n : n + 1], float(sigmas[n]), conditions[n])
            torch.testing.assert_close(together[n : n + 1], alone, rtol=1e-4, atol=1e-5)


def test_levels_are_those_of_the_papers(model):
    """T_skip 36 of 100 begins at timestep 631 of 1000; all the way down to 1, and then 0."""
    sigmas = tasks.levels(model, 100, 36)
    grid = model.noise.grid
    assert len(sigmas) == 65
    assert sigmas[0] == grid[631]
    assert sigmas[-2:] == (grid[1], 0.0)
    for steps in (1, 3, 7, 334, 999):
        assert np.all(np.diff(tasks.levels(model, steps)) < 0)


# Command line


def run(capfd, *words):
    with pytest.raises(SystemExit) as stop:
        main([str(word) for word in words])
    out, err = capfd.readouterr()
    return stop.value.code or 0, out, err


@pytest.fixture
def png(tmp_path):
    path = tmp_path / "cat.png"
    path.write_bytes(files.encode(photo(50, 37)))
    return path


def test_files_keep_their_bits(png):
    assert png.read_bytes() == files.encode(files.read(png))
    assert files.read(png, 32).shape == (3, 32, 32)


def test_image_edit_writes_pngs_and_a_record(folder, png, capfd):
    words = ("image", "edit", png, "--source", SOURCE, "--target", TARGET, "--target", OTHER, "--steps", 4, "--skip", 1,
             "--model", folder, "--solver", "cycle-diffusion")  # fmt: skip
    code, out, err = run(capfd, *words)
    assert code == 0, err
    made = [png.with_name(f"cat.edited-{n}.png") for n in (1, 2)]
    assert out.split() == [str(path) for path in made]
    for path in made:
        assert Image.open(path).size == (37, 50)
    record = json.loads(png.with_name("cat.edited-1.png.json").read_text())
    assert record["job"]["targets"] == [TARGET, OTHER]
    assert record["costs"]["network_forward"] == 3 * 2 * 3
    assert record["model"]["name"] == folder.name
    first = made[0].read_bytes()
    run(capfd, *words)
    assert made[0].read_bytes() == first


@pytest.mark.parametrize("operator", ["box-mask box=8:24,16:40", "downsampling factor=2", "blur deviation=1.5"])
def test_image_solve_of_a_whole_image_measures_itself(operator, folder, png, tmp_path, capfd):
    code, out, err = run(capfd, "image", "solve", operator, png, "--size", 48, "--steps", 2, "--simulate", "--model",
                         folder, "-o", tmp_path / "out.png", "--samples", 2)  # fmt: skip
    assert code == 0, err
    assert out.splitlines()[-1].startswith("psnr ")
    assert Image.open(tmp_path / "out-2.png").size == (48, 48)
    assert (tmp_path / "out.damaged.png").exists()
    assert len(json.loads((tmp_path / "out-1.png.json").read_text())["metrics"]["psnr"]) == 2


def test_image_explore_finds_directions_that_edit_follows(folder, png, tmp_path, capfd):
    code, _, err = run(capfd, "image", "explore", png, "--steps", 3, "--skip", 1, "--components", 1, "--products", 3,
                       "--model", folder, "-o", tmp_path / "found")  # fmt: skip
    assert code == 0, err
    names = {"component-1+.png", "component-1-.png", "component-1+.png.json", "directions.safetensors"}
    assert {path.name for path in (tmp_path / "found").iterdir()} == names
    code, _, err = run(capfd, "image", "edit", png, "--steps", 3, "--skip", 1, "--model", folder, "--solver",
                       "posterior-pc", "-s", f"directions={tmp_path / 'found' / 'directions.safetensors'}",
                       "--source-guidance", 1, "-o", tmp_path / "again.png")  # fmt: skip
    assert code == 0, err
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "found" / "component-1+.png").read_bytes()


def test_the_list_of_commands_imports_nothing_heavy():
    script = (
        "import click, sys; from diffmusic_images.plugin import diffmusic_commands\n"
        "cli = click.Group(); diffmusic_commands(cli=cli); print(cli.commands['image'].get_short_help_str())\n"
        "print([name for name in ('torch', 'pydantic', 'PIL') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.splitlines() == ["Restore, edit and explore images.", "[]"], done.stderr


def test_what_cannot_be_is_one_line(folder, png, tmp_path, capfd):
    soundfile.write(tmp_path / "song.wav", np.zeros(16000), 16000)
    (tmp_path / "text.png").write_text("no image")
    cases = [
        (("image", "solve", "blur", tmp_path / "text.png", "--model", folder), "holds no image"),
        (("image", "solve", "blur", tmp_path / "none.png", "--model", folder), "no such file"),
        (("image", "solve", "box-mask", png, "--model", folder), "not one pixel"),
        (("image", "solve", "box-mask box=9:8,1:2", png, "--model", folder), "LEFT:RIGHT"),
        (("image", "solve", "box-mask box=1:8,1:2", png, "--model", "mini"), "no prior of images"),
        (("image", "solve", "blur", png, "--solver", "sdedit", "--model", folder), "edits"),
        (("image", "edit", png, "--target", TARGET, "--model", folder, "-o", tmp_path / "out.jpg"), "PNG"),
        (("image", "edit", png, "--target", TARGET, "--model", folder, "--skip", 100), "fewer skipped"),
        (("image", "edit", png, "--target", TARGET, "--model", folder, "-o", png), "overwrite an input"),
        (("image", "edit", png, "--model", folder, "--solver", "image-inversion", "-s", "paint=1:2"), "RRGGBB"),
        (("solve", "blur", tmp_path / "song.wav"), "for images"),
        (("solve", "inpainting", tmp_path / "song.wav", "--gap", "0.2:0.3", "--model", folder), "no prior of audio"),
    ]
    before = sorted(tmp_path.iterdir())
    for words, expected in cases:
        code, out, err = run(capfd, *words)
        assert (code, out) == (2, ""), (words, out, err)
        assert expected in err
        assert len(err.splitlines()) == 1, err
    assert sorted(tmp_path.iterdir()) == before


def test_the_folder_of_an_inpainting_model_is_refused(folder, tmp_path):
    from diffmusic.errors import InputError

    shutil.copytree(folder, tmp_path / "model")
    UNet2DConditionModel(
        sample_size=8, in_channels=9, out_channels=4, block_out_channels=(8, 16), cross_attention_dim=16,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        attention_head_dim=4, norm_num_groups=4, layers_per_block=1,
    ).save_pretrained(tmp_path / "model" / "unet")  # fmt: skip
    with pytest.raises(InputError, match="9 channels"):
        load_latent_model(str(tmp_path / "model"))


def test_settings_of_an_exploration_are_checked(model):
    with pytest.raises(ValueError, match="`products` 2"):
        tasks.explore(photo(), model, ExploreSettings(components=3, products=2))
