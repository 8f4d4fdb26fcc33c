"""Where the averaged eigenvalues of a model are kept."""

from __future__ import annotations

import os
from pathlib import Path


def kept(sha256: str) -> Path:
    """Return the file that ``diffmusic explore --average`` keeps for a model.

    It is in ``diffmusic/averages`` of ``XDG_CACHE_HOME``, which is ``~/.cache`` by default.

    Args:
        sha256: Hash of the model's weights.
    """
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "diffmusic" / "averages"
    return folder / f"{sha256}.safetensors"
