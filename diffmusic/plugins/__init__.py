"""Discovery: which operators, solvers, backbones, metrics, embeddings and datasets are installed, and by whom.

A distribution joins by one entry point in the group ``diffmusic`` that names a module with hook
implementations. This package imports neither torch nor any component, so listing stays fast.
"""

from diffmusic.plugins.components import OURS, Plugin, Registry
from diffmusic.plugins.discovery import FILES, add_file, registry
from diffmusic.plugins.foreign import Broken
from diffmusic.plugins.hooks import GROUP, KINDS, Hooks, hookimpl, hookspec
from diffmusic.plugins.spec import Checkpoint, Spec

__all__ = [
    "FILES", "GROUP", "KINDS", "OURS", "Broken", "Checkpoint", "Hooks", "Plugin", "Registry", "Spec", "add_file",
    "hookimpl", "hookspec", "registry",
]  # fmt: skip
