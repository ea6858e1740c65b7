"""The encoder against torch's own transformer layers, and checkpoints of every named layout."""

from __future__ import annotations

import os
import sys
import types
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from biopose_live.errors import EXIT_MODEL, UserError
from biopose_live.mqhmr.network.checkpoint_file import read_tensors
from biopose_live.mqhmr.network.vit import ViT, normalised
from biopose_live.mqhmr.network.vit_checkpoint import load_backbone

GRID, CHANNELS, DEPTH, HEADS = (4, 3), 32, 2, 4


class Source(nn.Module):
    """The published backbone from torch's own layers: padding of 2, a class token's position, pre-normed blocks."""

    def __init__(self, grid=GRID, class_position=True):
        super().__init__()
        self.grid = grid
        self.proj = nn.Conv2d(3, CHANNELS, 16, stride=16, padding=2)
        self.pos_embed = torch.randn(1, grid[0] * grid[1] + class_position, CHANNELS)
        self.class_position = class_position
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                CHANNELS, HEADS, 4 * CHANNELS, 0.0, "gelu", layer_norm_eps=1e-6, batch_first=True, norm_first=True
            )
            for _ in range(DEPTH)
        )
        self.last_norm = nn.LayerNorm(CHANNELS, eps=1e-6)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.2)

    @torch.no_grad()
    def forward(self, x):
        x = self.proj(x).flatten(2).transpose(1, 2)
        x = x + (self.pos_embed[:, 1:] + self.pos_embed[:, :1] if self.class_position else self.pos_embed)
        for layer in self.layers:
            x = layer(x)
        return self.last_norm(x).transpose(1, 2).unflatten(2, self.grid)

    def published_names(self):
        names = OrderedDict({"pos_embed": self.pos_embed})
        names["patch_embed.proj.weight"], names["patch_embed.proj.bias"] = self.proj.weight, self.proj.bias
        for i, layer in enumerate(self.layers):
            attention = layer.self_attn
            block = {
                "norm1.weight": layer.norm1.weight, "norm1.bias": layer.norm1.bias,
                "attn.qkv.weight": attention.in_proj_weight, "attn.qkv.bias": attention.in_proj_bias,
                "attn.proj.weight": attention.out_proj.weight, "attn.proj.bias": attention.out_proj.bias,
                "norm2.weight": layer.norm2.weight, "norm2.bias": layer.norm2.bias,
                "mlp.fc1.weight": layer.linear1.weight, "mlp.fc1.bias": layer.linear1.bias,
                "mlp.fc2.weight": layer.linear2.weight, "mlp.fc2.bias": layer.linear2.bias,
            }  # fmt: skip
            names.update({f"blocks.{i}.{name}": value for name, value in block.items()})
        names["last_norm.weight"], names["last_norm.bias"] = self.last_norm.weight, self.last_norm.bias
        return OrderedDict((name, value.detach().clone()) for name, value in names.items())


@pytest.fixture
def source():
    torch.manual_seed(1)
    return Source().eval()


@pytest.fixture
def settings_class(monkeypatch):
    """A class of a package that is not there when the file is read, as yacs' CfgNode is not here."""
    package = types.ModuleType("someones_settings")
    kind = type("CfgNode", (dict,), {"__module__": "someones_settings"})
    package.CfgNode = kind
    monkeypatch.setitem(sys.modules, "someones_settings", package)
    return kind


def layout_of(source, layout, settings_class):
    weights = source.published_names()
    prefixed = OrderedDict((f"backbone.{k}", v) for k, v in weights.items())
    some = torch.zeros(3, 4)
    if layout == "backbone alone":
        return {"state_dict": weights}
    if layout == "ViTPose":
        return {"meta": {"epoch": 210}, "state_dict": {**prefixed, "keypoint_head.final_layer.weight": some}}
    heads = {"smpl_head.transformer.to_token_embedding.weight": some, "smpl_head.decpose.weight": some}
    if layout == "TokenHMR":
        heads = {"smpl_head.decpose_grot.weight": some, "smpl_head.decpose.class_pred_layer.weight": some}
    settings = settings_class({"MODEL": settings_class({"IMAGE_SIZE": 256})})
    settings.frozen = True
    return {
        "epoch": 1, "state_dict": {**prefixed, **heads, "initialized": torch.tensor(True)},
        "hyper_parameters": {"cfg": settings}, "callbacks": {"ModelCheckpoint": {"best": some}},
    }  # fmt: skip


@pytest.mark.parametrize("layout", ["ViTPose", "HMR2.0", "TokenHMR", "backbone alone"])
def test_every_layout_gives_the_source_networks_output(source, layout, settings_class, tmp_path, monkeypatch):
    path = tmp_path / "some.ckpt"
    torch.save(layout_of(source, layout, settings_class), path)
    monkeypatch.delitem(sys.modules, "someones_settings")
    vit = ViT(64, 48, CHANNELS, DEPTH, HEADS).eval()
    loaded = load_backbone(vit, path)
    assert (loaded.layout, loaded.grid) == (layout, GRID)
    pictures = torch.randn(2, 3, 64, 48)
    with torch.no_grad():
        torch.testing.assert_close(vit(pictures), source(pictures), atol=2e-5, rtol=1e-5)


def test_positions_without_a_class_token_and_safetensors(tmp_path):
    source = Source(class_position=False).eval()
    save_file(source.published_names(), tmp_path / "some.safetensors")
    vit = ViT(64, 48, CHANNELS, DEPTH, HEADS).eval()
    load_backbone(vit, tmp_path / "some.safetensors")
    pictures = torch.randn(1, 3, 64, 48)
    with torch.no_grad():
        torch.testing.assert_close(vit(pictures), source(pictures), atol=2e-5, rtol=1e-5)


def test_another_grid_is_resized(tmp_path):
    source = Source(grid=(8, 6)).eval()
    ramp = torch.arange(8.0)[:, None].expand(8, 6).reshape(1, 48, 1).expand(1, 48, CHANNELS)
    source.pos_embed = torch.cat([torch.zeros(1, 1, CHANNELS), ramp], 1)
    torch.save({"state_dict": source.published_names()}, tmp_path / "large.pth")
    vit = ViT(64, 48, CHANNELS, DEPTH, HEADS)
    assert load_backbone(vit, tmp_path / "large.pth").grid == (8, 6)
    rows = vit.pos_embed.detach().view(4, 3, CHANNELS)
    torch.testing.assert_close(rows[1:3, 0, 0], torch.tensor([2.5, 4.5]), atol=0.05, rtol=0)
    torch.testing.assert_close(rows[:, :1].expand(4, 3, CHANNELS), rows)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda w: {"cls_token": torch.zeros(1, 1, 32), **w}, "a classifier with a class token"),
        (lambda w: {"layer1.0.conv1.weight": torch.zeros(1)}, "a ResNet"),
        (lambda w: {"encoder.weight": torch.zeros(1)}, "encoder.weight"),
        (lambda w: {k: v for k, v in w.items() if k != "blocks.1.mlp.fc2.bias"}, "it lacks blocks.1.mlp.fc2.bias"),
        (lambda w: {k: v for k, v in w.items() if not k.startswith("blocks.1.")}, "it has 1 layers, the network 2"),
        (lambda w: {**w, "blocks.0.norm1.bias": torch.zeros(16)}, r"blocks.0.norm1.bias is \(16,\)"),
        (lambda w: {**w, "pos_embed": torch.zeros(1, 11, 32)}, "11 positions"),
        (lambda w: {**w, "blocks.0.attn.lora.weight": torch.zeros(1)}, "blocks.0.attn.lora.weight"),
        (lambda w: {k: v for k, v in w.items() if not k.startswith("last_norm")}, "without ViTPose's last_norm"),
    ],
)
def test_others_are_refused_in_one_sentence(source, tmp_path, change, told):
    torch.save({"state_dict": change(source.published_names())}, tmp_path / "other.pth")
    vit = ViT(64, 48, CHANNELS, DEPTH, HEADS)
    before = {name: value.clone() for name, value in vit.state_dict().items()}
    with pytest.raises(UserError, match=told) as caught:
        load_backbone(vit, tmp_path / "other.pth")
    assert caught.value.exit_code == EXIT_MODEL
    assert str(caught.value).count("\n") == 0
    assert all(torch.equal(before[name], value) for name, value in vit.state_dict().items())


class Runs:
    """Would run a command if it were unpickled."""

    def __init__(self, kind, arguments):
        self.kind, self.arguments = kind, arguments

    def __reduce__(self):
        return self.kind, self.arguments


@pytest.mark.parametrize("call", ["system", "eval", "mkdir"])
def test_no_code_in_a_checkpoint_runs(tmp_path, call):
    mark = tmp_path / "ran"
    kind, arguments = {
        "system": (os.system, (f"touch {mark}",)),
        "eval": (eval, (f"open({str(mark)!r}, 'w')",)),
        "mkdir": (Path.mkdir, (mark,)),
    }[call]
    path = tmp_path / "bad.ckpt"
    torch.save({"state_dict": {"a": torch.zeros(1)}, "hyper_parameters": Runs(kind, arguments)}, path)
    if call != "eval":
        with pytest.raises(UserError, match="cannot be read as a checkpoint"):
            read_tensors(path)
    else:
        assert list(read_tensors(path)) == ["a"]
    assert not mark.exists()


def test_damaged_files_are_refused(tmp_path, source):
    path = tmp_path / "some.pth"
    torch.save({"state_dict": source.published_names()}, path)
    whole = path.read_bytes()
    for content in (b"", b"no checkpoint", whole[: len(whole) // 2], b"\x80\x02}."):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"some\.pth"):
            read_tensors(path)
    with pytest.raises(UserError, match="There is no checkpoint"):
        read_tensors(tmp_path / "none.pth")
    torch.save([1, 2], path)
    with pytest.raises(UserError, match="holds no weights by name"):
        read_tensors(path)


def test_pictures_are_normalised_as_imagenets():
    picture = torch.randint(0, 256, (1, 4, 5, 3), dtype=torch.uint8)
    found = normalised(picture)
    assert found.shape == (1, 3, 4, 5)
    expected = (picture[0, 2, 3].double() / 255 - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor(
        [0.229, 0.224, 0.225]
    )
    torch.testing.assert_close(found[0, :, 2, 3].double(), expected, atol=1e-6, rtol=0)
