"""Whether torchaudio will load beside this torch, told from its files: importing either takes seconds.

A torchaudio whose library does not load takes others down with it, because transformers imports it where it is
installed. So the question has to be answered without asking torchaudio.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

WHEELS = "https://download.pytorch.org/whl"


def mismatch() -> str | None:
    """Why torchaudio cannot be used here and what to do about it, in one line; None if it can."""
    torch, torchaudio = _folder("torch"), _folder("torchaudio")
    if torch is None:
        return "torch is not installed: pip install torch"
    cuda = _cuda(torch)
    wheels = f"--index-url {WHEELS}/{'cu' + cuda.replace('.', '') if cuda else 'cpu'}"
    if torchaudio is None:
        return f"torchaudio is not installed: pip install torchaudio {wheels}"
    theirs = _cuda(torchaudio)
    if theirs and theirs != cuda and list((torchaudio / "lib").glob("*.so")):
        have = f"CUDA {cuda}" if cuda else "no CUDA"
        return (
            f"torchaudio is built for CUDA {theirs} but torch for {have}, and it breaks transformers too: "
            f"pip uninstall torchaudio, then pip install torchaudio {wheels}"
        )
    return None


def _folder(package: str) -> Path | None:
    spec = find_spec(package)
    return Path(spec.origin).parent if spec and spec.origin else None


def _cuda(package: Path) -> str | None:
    """The CUDA version a package was built for, such as ``13.0``, from its version.py; None for a CPU build."""
    text = (package / "version.py").read_text()
    if found := re.search(r"^cuda\b.*= *'([\d.]+)'", text, flags=re.MULTILINE):
        return found[1]
    found = re.search(r"^__version__ *= *'[^']*\+cu(\d+)(\d)'", text, flags=re.MULTILINE)
    return f"{found[1]}.{found[2]}" if found else None
