"""Kullback-Leibler divergence of a classifier's outputs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch

from diffmusic.errors import InputError
from diffmusic.metrics.embeddings import module_folder
from diffmusic.metrics.windows import windows
from diffmusic.models.folder import load_module, weights_hash
from diffmusic.models.load import SAFE, Access
from diffmusic.parameters import Doc

SECONDS = 10.0


@dataclass(frozen=True)
class KL:
    """Kullback-Leibler divergence of class probabilities, nats, lower is better: ``sum_c p_c (log p_c - log q_c)``.

    It is 0 where the classifier's outputs are equal. p, q: probabilities of the classes for reference and estimate, the
    mean of ``softmax(logits)`` over windows of 10 s, half overlapping (shorter audio is one window, as it is). Values
    of different classifiers do not compare.

    Source: the paired KL of F. Kreuk et al., "AudioGen", arXiv:2209.15352, whose classifier is PaSST.
    """

    classifier: Annotated[
        str,
        Doc("folder or hub id of an audio classifier of transformers, such as MIT/ast-finetuned-audioset-10-10-0.4593"),
    ]
    access: Access = SAFE

    def __call__(self, reference: np.ndarray, estimate: np.ndarray, sample_rate: int, /) -> float:
        """Compute the divergence of reference and estimate, (channels, time)."""
        p, q = (_classifier(self.classifier, self.access).classes(x, sample_rate) for x in (reference, estimate))
        return max(0.0, float((p * (np.log(p) - np.log(q))).sum()))

    def describe(self) -> dict[str, Any]:
        """Describe the metric: name and hash of the classifier, its rate and its windows."""
        return _classifier(self.classifier, self.access).describe()


@dataclass(frozen=True, eq=False)
class Classifier:
    """Audio classification model of transformers with its feature extractor."""

    model: Any
    extractor: Any
    name: str
    folder: Path

    @torch.no_grad()
    def classes(self, x: np.ndarray, sample_rate: int) -> np.ndarray:
        """Return probabilities, (classes,), float64, none of them 0, of audio (channels, time)."""
        rate = self.extractor.sampling_rate
        rows = []
        for part in windows(x, sample_rate, rate, round(SECONDS * rate)):
            features = self.extractor(part, sampling_rate=rate, return_tensors="pt")
            rows.append(self.model(**features).logits[0].double().softmax(-1).numpy())
        mean = np.maximum(np.mean(rows, axis=0), 1e-12)
        return np.asarray(mean / mean.sum())

    def describe(self) -> dict[str, Any]:
        sha256 = weights_hash(self.folder, "")
        rate = self.extractor.sampling_rate
        return {"classifier": self.name, "sha256": sha256, "sample_rate": rate, "window_seconds": SECONDS}


@cache
def _classifier(name: str, access: Access) -> Classifier:
    from transformers import AutoFeatureExtractor, AutoModelForAudioClassification

    folder = module_folder(name, access)
    model = load_module(AutoModelForAudioClassification, folder, allow_pickle=access.allow_pickle)
    try:
        extractor = AutoFeatureExtractor.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # absent files show as all kinds of errors
        raise InputError(f"{folder} lacks its feature extractor: {' '.join(str(error).split())[:200]}") from None
    return Classifier(model, extractor, name, folder)
