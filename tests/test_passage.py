"""From recordings to latents and back: level, rate, channels, windows; and the seconds that segments mean."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from diffmusic.errors import InputError
from diffmusic.prior import Costs
from diffmusic.tasks.encoded_recording import EncodedRecording
from diffmusic.tasks.segments import Segment, check, excerpt, mask
from diffmusic.testing.oracle import GaussianPrior


@dataclasses.dataclass(frozen=True, eq=False)
class Identity(GaussianPrior):
    """A backbone whose latents are its audio."""

    def latent_shape(self, samples: int) -> tuple[int, ...]:
        return self.channels, samples

    def decode(self, z: Tensor, samples: int) -> Tensor:
        return z[..., :samples]


def identity(channels: int, seconds: float = 1.0) -> Identity:
    return Identity(torch.zeros(1), torch.eye(1), channels=channels, excerpt_seconds=seconds)


def noise(channels: int, samples: int) -> np.ndarray:
    return 0.3 * np.random.default_rng(0).standard_normal((channels, samples))


@pytest.mark.parametrize(("backbone", "recording"), [(1, 1), (1, 2), (2, 1), (2, 2)])
def test_channels_and_level_come_back(backbone: int, recording: int) -> None:
    x = noise(recording, 5000)
    passage = EncodedRecording.of(x, 16000, identity(backbone), costs := Costs())
    assert passage.z.shape[:2] == ((recording, 1) if backbone == 1 else (1, 2))
    assert float(passage.audio.square().mean().sqrt()) == pytest.approx(0.1, rel=1e-5)
    assert np.allclose(passage.round_trip(), x, atol=1e-6)
    assert costs.encoder_forward == costs.decoder_forward == len(passage.z)


def test_other_rates_come_back_as_long() -> None:
    x = noise(2, 44101)
    passage = EncodedRecording.of(x, 44100, identity(1), Costs())
    assert passage.audio.shape == (2, 1, 16000)
    assert passage.round_trip().shape == x.shape


def test_long_recordings_are_encoded_and_decoded_in_windows_without_seams() -> None:
    x = noise(1, 5 * 16000 + 123)
    assert np.allclose(EncodedRecording.of(x, 16000, identity(1), costs := Costs()).round_trip(), x, atol=1e-6)
    assert costs.encoder_forward == costs.decoder_forward == 7


def test_silence_stays_silent() -> None:
    assert not EncodedRecording.of(np.zeros((2, 4000)), 16000, identity(1), Costs()).round_trip().any()


def test_segments_are_read_and_refused() -> None:
    assert Segment.parse("3.0:5.5") == Segment(3.0, 5.5)
    assert Segment.parse("3:5.5=a banjo: solo@home=1") == Segment(3.0, 5.5, "a banjo: solo@home=1")
    assert Segment.parse("0:2@1.5") == Segment(0.0, 2.0, None, 1.5)
    assert Segment.parse("0:2@1.5=") == Segment(0.0, 2.0, "", 1.5)
    for text in ("", "3", "5:3", "a:b", "1:2:3", "1:2@x", "1:2@nan", "1:2@-1", "-1:2", "1:inf"):
        with pytest.raises(InputError):
            Segment.parse(text)
    with pytest.raises(InputError, match="overlap"):
        check([Segment(0, 2), Segment(1, 3)], 10)


def test_windows_of_segments_are_soft_inside_and_nothing_outside() -> None:
    times = np.linspace(0, 4, 4001)
    heard = mask([Segment(1, 2), Segment(3, 3.1)], times, 0.1)
    assert not heard[(times < 1) | ((times > 2) & (times < 3)) | (times > 3.1)].any()
    assert (heard[(times > 1.11) & (times < 1.89)] == 1).all()
    assert heard[1050] == pytest.approx(0.5)
    assert heard[3050] == pytest.approx(1)  # too short for both fades: they meet
    assert (mask([], times, 0.1) == 1).all()
    assert excerpt([Segment(5, 6), Segment(9, 10)], 60, 2.5) == (2.5, 12.5)
