"""Which tokens of a target prompt stand for which of the source's, for cross-attention maps.

With ``A`` the source's maps and ``B`` the target's, (..., queries, tokens), Prompt-to-Prompt has

    A M + B diag(new)

Words that both have keep their maps. Where ``n`` words of the source became ``m`` of the target, each of the ``m`` gets
``1 / m`` of the sum of the ``n`` maps ("replacement"; a single word for a single word gets its map). Words that only
the target has keep their own ("refinement").

Source: A. Hertz et al., "Prompt-to-Prompt image editing with cross attention control", arXiv:2208.01626, section 3.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher

import torch
from torch import Tensor


def aligned(source: Sequence[int], target: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Align two prompts by their tokens.

    Args:
        source: Tokens of the source.
        target: Tokens of the target.

    Returns:
        ``M``, (source tokens, target tokens), and ``new``, (target tokens,), 1 where the target's own map stays.
    """
    matrix, new = torch.zeros(len(source), len(target)), torch.zeros(len(target))
    for kind, a, b, c, d in SequenceMatcher(None, list(source), list(target), autojunk=False).get_opcodes():
        if kind == "insert":
            new[c:d] = 1
        elif kind == "equal" or b - a == d - c:
            matrix[range(a, b), range(c, d)] = 1
        elif kind == "replace":
            matrix[a:b, c:d] = 1 / (d - c)
    return matrix, new
