"""The effects are tested where torchaudio loads; how its builds are told apart, everywhere."""

import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch
from diffmusic_torchaudio import builds

from diffmusic.cli import main
from diffmusic.plugins import registry

PROBLEM = builds.mismatch()
works = pytest.mark.skipif(PROBLEM is not None, reason=PROBLEM or "")


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Packages that consist of a version.py, as those of torch and torchaudio are laid out."""

    def add(package, version, cuda=None, library=False):
        folder = tmp_path / package
        (folder / "lib").mkdir(parents=True)
        lines = [f"__version__ = '{version}'"] + ([f"cuda: Optional[str] = {cuda!r}"] if package == "torch" else [])
        (folder / "version.py").write_text("\n".join(lines))
        if library:
            (folder / "lib" / "_torchaudio.abi3.so").touch()

    monkeypatch.setattr(builds, "_folder", lambda name: tmp_path / name if (tmp_path / name).is_dir() else None)
    return add


@pytest.mark.parametrize(
    ("torch_cuda", "torchaudio", "problem"),
    [
        (None, "2.11.0+cpu", None),
        (None, "2.11.0", None),
        ("13.0", "2.11.0+cu130", None),
        (None, "2.11.0+cu130", "built for CUDA 13.0 but torch for no CUDA"),
        ("13.2", "2.11.0+cu130", "built for CUDA 13.0 but torch for CUDA 13.2"),
        ("12.8", "2.9.1+cu128", None),
    ],
)
def test_builds_are_told_apart(install, torch_cuda, torchaudio, problem):
    install("torch", "2.13.0", torch_cuda)
    install("torchaudio", torchaudio, library=True)
    found = builds.mismatch()
    if problem is None:
        assert found is None
    else:
        assert problem in found
        assert f"/whl/{'cu132' if torch_cuda else 'cpu'}" in found


def test_a_build_without_its_library_is_only_python_and_fits(install):
    install("torch", "2.13.0", None)
    install("torchaudio", "2.11.0+cu130")
    assert builds.mismatch() is None


def test_without_torchaudio_it_says_how_to_get_it(install):
    install("torch", "2.13.0", None)
    assert "not installed: pip install torchaudio --index-url" in builds.mismatch()


def test_it_is_listed_with_its_operators_or_its_reason():
    (plugin,) = [each for each in registry().plugins if each.distribution == "diffmusic-torchaudio"]
    if PROBLEM is None:
        assert plugin.error is None
        assert {spec.name for spec in plugin.offers["operator"]} == {"biquad", "contrast"}
    else:
        assert plugin.error == f"ImportError: {PROBLEM}"
        assert "pip install torchaudio" in plugin.error
        assert "biquad" not in registry().components("operator")


def test_being_listed_imports_neither_torch_nor_torchaudio():
    code = (
        "import sys; from diffmusic.plugins import registry\n"
        "import diffmusic_torchaudio.builds as builds; builds.mismatch()\n"
        "print({'torch', 'torchaudio'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr


@works
@pytest.mark.parametrize("kind", ["lowpass", "highpass", "bandpass", "bandreject", "equalizer", "bass", "treble"])
def test_filters_keep_their_contract_and_are_torchaudios(kind):
    import torchaudio.functional as effects
    from diffmusic_torchaudio.effects import Biquad

    from diffmusic.testing import check_operator

    operator = Biquad(kind=kind)
    check_operator(operator)
    x = 0.1 * torch.randn(1, 1, 400, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    settings = {"gain": operator.gain} if kind in ("equalizer", "bass", "treble") else {}
    name = {"lowpass": "cutoff_freq", "highpass": "cutoff_freq", "equalizer": "center_freq"}.get(kind, "central_freq")
    theirs = getattr(effects, f"{kind}_biquad")(x, 16000, **{name: operator.frequency}, Q=operator.q, **settings)
    torch.testing.assert_close(operator.forward(x), theirs, atol=1e-6, rtol=0)


@works
def test_contrast_is_undone():
    from diffmusic_torchaudio.effects import Contrast

    from diffmusic.testing import check_operator

    check_operator(Contrast())
    x = torch.linspace(-0.99, 0.99, 500, dtype=torch.float64)[None, None]
    finished = Contrast().finish(torch.zeros_like(x), Contrast().forward(x))
    torch.testing.assert_close(finished, x, atol=1e-6, rtol=0)


@works
def test_it_is_solved(tmp_path):
    soundfile.write(tmp_path / "x.wav", 0.1 * np.random.default_rng(0).standard_normal(4000), 16000, subtype="FLOAT")
    words = ["solve", "biquad", str(tmp_path / "x.wav"), "--solver", "wiener", "-o", str(tmp_path / "out.wav")]
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert not stop.value.code
    assert soundfile.info(tmp_path / "out.wav").frames == 4000
