"""The pyramid and the decoder: shapes, starts, and a layer against the published steps with torch's grid_sample."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from biopose_live.mqhmr.network.decoder import Memory, spread
from biopose_live.mqhmr.network.pyramid import MapsPyramid, UpsampledPyramid


def sampled(attention, query, reference, tokens, shapes):
    """The paper's DAM (section 3.2), head by head and level by level, with grid_sample."""
    heads, points = attention.n_heads, attention.n_points
    batch, queries, channels = query.shape
    value = attention.value_proj(tokens).view(batch, -1, heads, channels // heads)
    offsets = attention.sampling_offsets(query).view(batch, queries, heads, len(shapes), points, 2)
    weights = attention.attention_weights(query).view(batch, queries, heads, -1).softmax(-1)
    weights = weights.view(batch, queries, heads, len(shapes), points)
    total = torch.zeros(batch, queries, heads, channels // heads)
    first = 0
    for level, (height, width) in enumerate(shapes):
        flat = value[:, first : first + height * width]
        first += height * width
        for head in range(heads):
            image = flat[:, :, head].transpose(1, 2).reshape(batch, -1, height, width)
            place = reference[:, :, None] + offsets[:, :, head, level] / torch.tensor([width, height])
            found = F.grid_sample(image, 2 * place - 1, align_corners=False)  # [B, D, Q, P]
            total[:, :, head] += (found * weights[:, None, :, head, level]).sum(-1).transpose(1, 2)
    return attention.output_proj(total.flatten(2))


def plain_decoder(decoder, start, pyramid):
    tokens, anchors = start.tokens, start.anchors
    for layer in decoder.layers:
        query = tokens + start.position
        tokens = layer.norms[0](tokens + layer.self_attention(query, query, tokens)[0])
        cross = sampled(layer.cross_attention, tokens + start.position, anchors, pyramid.tokens, pyramid.shapes)
        tokens = layer.norms[1](tokens + cross)
        tokens = layer.norms[2](tokens + layer.feed(tokens))
        anchors = (torch.log(anchors / (1 - anchors)) + layer.move(tokens)).sigmoid()
    return tokens, anchors


@pytest.mark.parametrize("once", [False, True])
def test_decoder_equals_grid_sample(network, camera, once):
    pyramid = network.encode(torch.randn(2, 3, 64, 48))
    start = network.start(camera)
    with torch.no_grad():
        memory = network.decoder.remember(pyramid) if once else Memory(pyramid)
        found = network.decoder(start, memory)
        expected = plain_decoder(network.decoder, start, pyramid)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, atol=2e-5, rtol=1e-4)


def test_pyramid_has_the_papers_resolutions():
    for scales, tokens in (((1, 4, 8, 16), 64704), ((1,), 192), ((4, 32), 3072 + 196608)):
        pyramid = UpsampledPyramid(6, 4, scales)(torch.randn(1, 6, 16, 12))
        assert pyramid.shapes == tuple((16 * s, 12 * s) for s in scales)
        assert pyramid.tokens.shape == (1, tokens, 4)


def test_each_token_comes_from_its_own_place():
    """A change in one cell of the encoder's map changes that cell's tokens and no others, at every level."""
    torch.manual_seed(0)
    pyramid = UpsampledPyramid(3, 8, (1, 2, 4))
    feature_map = torch.randn(1, 3, 4, 3)
    changed = feature_map.clone()
    changed[:, :, 2, 1] += 1
    before, after = pyramid(feature_map), pyramid(changed)
    first = 0
    for height, width in before.shapes:
        part = slice(first, first + height * width)
        first += height * width
        moved = (before.tokens[0, part] - after.tokens[0, part]).abs().sum(-1).view(height, width) > 1e-6
        scale = height // 4
        expected = torch.zeros(4, 3, dtype=torch.bool)
        expected[2, 1] = True
        assert torch.equal(moved, expected.repeat_interleave(scale, 0).repeat_interleave(scale, 1))


def test_ready_made_maps():
    pyramid = MapsPyramid((48, 48, 288), 16)
    found = pyramid([torch.randn(2, 48, 16, 16), torch.randn(2, 48, 8, 8), torch.randn(2, 288, 4, 4)])
    assert found.shapes == ((16, 16), (8, 8), (4, 4))
    assert found.tokens.shape == (2, 336, 16)
    with pytest.raises(ValueError, match="3 feature maps"):
        pyramid([torch.randn(2, 48, 16, 16)])


def test_the_papers_start_is_zero_and_anchors_spread_over_the_crop(network, camera):
    start = network.start(camera)
    assert not start.tokens.any()
    places = spread(96)
    assert places.min() >= 0.1
    assert places.max() <= 0.9
    apart = torch.cdist(places, places) + torch.eye(96)
    assert apart.min() > 0.03


def test_keypoints_give_anchors_where_they_are_seen(network, camera):
    keypoints = torch.rand(2, 33, 3)
    keypoints[..., 2] = 0
    keypoints[:, 4, 2] = 1
    keypoints[:, 5] = torch.tensor([1.2, 0.5, 1.0])  # outside of the crop
    start, plain = network.start(camera, keypoints), network.start(camera)
    torch.testing.assert_close(start.anchors[:, 4], keypoints[:, 4, :2])
    rest = [i for i in range(10) if i != 4]
    torch.testing.assert_close(start.anchors[:, rest], plain.anchors[:, rest])
    unseen = keypoints.clone()
    unseen[:, 7, :2] += 0.1  # a keypoint without score says nothing
    torch.testing.assert_close(network.start(camera, unseen).tokens, start.tokens)
    assert start.tokens.abs().max() > 0


def test_untrained_keypoints_change_no_token(tiny, body, camera):
    from biopose_live.mqhmr.network.model import MQHMR

    assert not MQHMR(tiny, body).start(camera, torch.rand(2, 33, 3)).tokens.any()
