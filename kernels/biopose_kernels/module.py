"""`MSDeformAttn`, the attention layer of Deformable DETR (Zhu et al. 2021, section 4.1) over `biopose::msda`.

Arguments, parameter names, shapes and initial values are the original layer's, so that its checkpoints load. What is
new is the order of the value projection W. Sampling is linear in the map, so W F(r + dr) is the same as (W F)(r + dr):

    project first:  S tokens through W, then H heads sample D channels each.  Good if the map is read often.
    sample first:   H heads sample all C channels, then Q results go through W. Good if few queries read a large map.

`W F` includes the bias, and outside of a level there is no bias either: sampling first therefore adds the bias times
the attention that fell inside. Both orders are equal but for rounding.

Dimension letters: B images (people), S tokens of all levels together, C = H * D model channels, H heads, D channels of
a head, Q queries, L levels, P points of a level, N = L * P.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from biopose_kernels.op import Gradients, msda
from biopose_kernels.pyramid import Shapes, level_shapes

Order = Literal["auto", "project_first", "sample_first"]

# What a multiplication costs in a gather from the map, in multiples of one in a matrix product. Measured on one CPU
# core with AVX-512, float32, 4,080 tokens of 256 channels: 8 against 45 thousand million a second.
GATHER_COST = 6.0


class MSDeformAttn(nn.Module):
    """Multi-scale deformable attention with the original layer's parameters: see the module's docstring.

    Parameters: `sampling_offsets`, `attention_weights`, `value_proj`, `output_proj`, all `nn.Linear`.
    """

    def __init__(self, d_model: int = 256, n_levels: int = 4, n_heads: int = 8, n_points: int = 4) -> None:
        """Raises ValueError if n_heads does not divide d_model."""
        super().__init__()
        if d_model % n_heads:
            raise ValueError(f"n_heads must divide d_model; found d_model {d_model} and n_heads {n_heads}.")
        self.d_model, self.n_levels, self.n_heads, self.n_points = d_model, n_levels, n_heads, n_points
        self.sampling_offsets = nn.Linear(d_model, n_heads * n_levels * n_points * 2)
        self.attention_weights = nn.Linear(d_model, n_heads * n_levels * n_points)
        self.value_proj = nn.Linear(d_model, d_model)
        self.output_proj = nn.Linear(d_model, d_model)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Head h looks in direction 2 pi h / H, its point p at p + 1 pixels (the larger of x, y); equal weights."""
        angle = torch.arange(self.n_heads, dtype=torch.float32) * (2 * math.pi / self.n_heads)
        direction = torch.stack((angle.cos(), angle.sin()), -1)
        direction = direction / direction.abs().amax(-1, keepdim=True)  # [H, 2], on the unit square
        distance = torch.arange(1, self.n_points + 1, dtype=torch.float32)
        start = direction[:, None, None] * distance[:, None]  # [H, 1, P, 2]
        self.sampling_offsets.weight.zero_()
        self.sampling_offsets.bias.copy_(start.expand(-1, self.n_levels, -1, -1).reshape(-1))
        self.attention_weights.weight.zero_()
        self.attention_weights.bias.zero_()
        for projection in (self.value_proj, self.output_proj):
            nn.init.xavier_uniform_(projection.weight)
            projection.bias.zero_()

    def forward(
        self,
        query: Tensor,
        reference_points: Tensor,
        input_flatten: Tensor,
        input_spatial_shapes: Tensor | Sequence[Sequence[int]],
        input_level_start_index: Tensor | None = None,
        input_padding_mask: Tensor | None = None,
        *,
        order: Order = "auto",
        gradients: Gradients = "full",
    ) -> Tensor:
        """Attend from query [B, Q, C] to the map input_flatten [B, S, C]; returns [B, Q, C].

        reference_points [B, Q, L, 2]: (x, y) in 0..1; or [B, Q, L, 4]: boxes (x, y, width, height) in 0..1, in which
        case offsets count in half boxes over P.
        input_spatial_shapes: (height, width) of each level, pairs or an integer tensor [L, 2].
        input_level_start_index: taken for compatibility and not read, because it follows from the shapes.
        input_padding_mask [B, S]: True where a token is padding and counts as zero.
        order: "auto" takes the cheaper one by shape (and projects first if the map's gradient is needed, which
        sampling first would spread over H heads).
        gradients: "full"; "frozen_values": map and `value_proj` are constants; "none": the attended values are
        constants, so that `output_proj` alone learns.
        Raises ValueError where shapes do not fit.
        """
        shapes = level_shapes(input_spatial_shapes)
        if order == "auto":
            order = self._cheaper_order(query.shape[1], input_flatten, gradients)
        if order == "project_first":
            value = self.project_value(input_flatten, input_padding_mask)
            return self.attend(query, reference_points, value, shapes, gradients)
        if order == "sample_first":
            return self._sample_first(query, reference_points, input_flatten, shapes, input_padding_mask, gradients)
        raise ValueError(f"order must be auto, project_first or sample_first; found {order!r}.")

    def project_value(self, input_flatten: Tensor, input_padding_mask: Tensor | None = None) -> Tensor:
        """The projected map [B, S, H, D] of input_flatten [B, S, C], for `attend`: once for all iterations."""
        value = self.value_proj(input_flatten)
        if input_padding_mask is not None:
            value = value.masked_fill(input_padding_mask[..., None], 0.0)
        return value.unflatten(-1, (self.n_heads, self.d_model // self.n_heads))

    def attend(
        self,
        query: Tensor,
        reference_points: Tensor,
        value: Tensor,
        input_spatial_shapes: Tensor | Sequence[Sequence[int]],
        gradients: Gradients = "full",
    ) -> Tensor:
        """Attend from query [B, Q, C] to a map [B, S, H, D] of `project_value`; otherwise as `forward`."""
        shapes = level_shapes(input_spatial_shapes)
        centres, offsets, logits = self._locations(query, reference_points, shapes)
        return self._projected(msda(value, shapes, centres, offsets, logits, gradients))

    def _locations(self, query: Tensor, reference_points: Tensor, shapes: Shapes) -> tuple[Tensor, Tensor, Tensor]:
        """Reference points [B, Q, L, 2], offsets in pixels [B, Q, H, L, P, 2] and logits [B, Q, H, N]."""
        heads, levels, points = self.n_heads, self.n_levels, self.n_points
        offsets = self.sampling_offsets(query).unflatten(-1, (heads, levels, points, 2))
        logits = self.attention_weights(query).unflatten(-1, (heads, levels * points))
        if reference_points.shape[-1] == 4:
            size = torch.tensor([(w, h) for h, w in shapes], dtype=offsets.dtype, device=offsets.device)
            half_box = reference_points[..., 2:] * size * 0.5  # [B, Q, L, 2] in pixels
            offsets = offsets * (half_box / points)[:, :, None, :, None, :]
        elif reference_points.shape[-1] != 2:
            raise ValueError(
                f"reference_points must end with 2 (points) or 4 (boxes) numbers; found {reference_points.shape[-1]}."
            )
        return reference_points[..., :2], offsets, logits

    def _sample_first(
        self,
        query: Tensor,
        reference_points: Tensor,
        features: Tensor,
        shapes: Shapes,
        padding: Tensor | None,
        gradients: Gradients,
    ) -> Tensor:
        heads, depth = self.n_heads, self.d_model // self.n_heads
        centres, offsets, logits = self._locations(query, reference_points, shapes)
        weight: Tensor = self.value_proj.weight
        bias: Tensor = self.value_proj.bias
        if gradients != "full":
            weight, bias = weight.detach(), bias.detach()
        present = features.new_ones(1)[None, None].expand(*features.shape[:2], 1)
        if padding is not None:
            features = features.masked_fill(padding[..., None], 0.0)
            present = (~padding)[..., None].to(features.dtype)
        # Every head reads the same channels: an expanded axis, not a copy.
        sampled = msda(_shared(features, heads), shapes, centres, offsets, logits, gradients)
        covered = msda(_shared(present, heads), shapes, centres, offsets, logits, gradients)  # [B, Q, H]
        projected = torch.einsum("bqhc,hdc->bqhd", sampled.unflatten(-1, (heads, -1)), weight.view(heads, depth, -1))
        projected = projected + covered[..., None] * bias.view(heads, depth)
        return self._projected(projected.flatten(2))

    def _projected(self, attended: Tensor) -> Tensor:
        # A map, and with it `value_proj`, may be in half precision where the layer itself is not.
        projected: Tensor = self.output_proj(attended.to(self.output_proj.weight.dtype))
        return projected

    def _cheaper_order(self, queries: int, features: Tensor, gradients: Gradients) -> Order:
        learns = features.requires_grad or self.value_proj.weight.requires_grad
        if gradients == "full" and torch.is_grad_enabled() and learns:
            return "project_first"
        gathered = queries * self.n_levels * self.n_points * 4  # pixels that are read, for each head
        project_first = features.shape[1] * self.d_model + gathered * GATHER_COST
        sample_first = queries * self.d_model + gathered * self.n_heads * GATHER_COST
        return "sample_first" if sample_first < project_first else "project_first"


def _shared(features: Tensor, heads: int) -> Tensor:
    return features.unsqueeze(2).expand(-1, -1, heads, -1)
