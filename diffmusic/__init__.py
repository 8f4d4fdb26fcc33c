"""Zero-shot restoration and editing of music with pretrained latent-diffusion priors."""

from importlib.metadata import version as _version

from diffmusic.errors import DiffmusicError, Diverged, InputError
from diffmusic.plugins import Spec, hookimpl

__version__ = _version("diffmusic")
__all__ = ["DiffmusicError", "Diverged", "InputError", "Spec", "__version__", "hookimpl"]
