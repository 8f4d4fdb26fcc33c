"""Attention processor of diffusers through which a layer is tapped (``diffmusic.editor.attention``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from diffmusic.editor.attention import Taps


class TappedAttention:
    """Processor of one layer that records its queries, keys and maps, and replaces them; idle it is the plain one."""

    def __init__(self, taps: Taps, name: str, plain: Any) -> None:
        self.taps, self.name, self.plain = taps, name, plain

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        *rest: Any,
        **more: Any,
    ) -> Tensor:
        def plain() -> Tensor:
            out: Tensor = self.plain(attn, hidden_states, encoder_hidden_states, attention_mask, *rest, **more)
            return out

        if self.taps.idle:
            return plain()
        text, rows = encoder_hidden_states, len(hidden_states)
        queries, keys = attn.to_q(hidden_states), attn.to_k(hidden_states if text is None else text)
        if text is None:
            theirs = self.taps.own_queries(self.name, queries, keys)
            if theirs is None:
                return plain()
            q, k, v = (_headed(each, attn.heads) for each in (*theirs, attn.to_v(hidden_states)))
            out = torch.nn.functional.scaled_dot_product_attention(q, k, v)
            out = out.transpose(1, 2).reshape(rows, -1, q.shape[1] * v.shape[-1])
        else:
            mask = attn.prepare_attention_mask(attention_mask, text.shape[1], rows)
            maps = attn.get_attention_scores(*map(attn.head_to_batch_dim, (queries, keys)), mask)
            replaced = self.taps.cross_map(self.name, text, maps)
            if replaced is None:
                return plain()
            out = attn.batch_to_head_dim(replaced @ attn.head_to_batch_dim(attn.to_v(text)))
        joined: Tensor = attn.to_out[1](attn.to_out[0](out)) / attn.rescale_output_factor
        return joined


def _headed(x: Tensor, heads: int) -> Tensor:
    """(rows, tokens, heads * dim) to (rows, heads, tokens, dim)."""
    headed: Tensor = x.unflatten(2, (heads, -1)).transpose(1, 2)
    return headed
