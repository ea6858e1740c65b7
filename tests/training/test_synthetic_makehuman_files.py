"""Readers of MakeHuman's files on small hand-made ones, and on files that are wrong."""

from __future__ import annotations

import contextlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from biopose_live.errors import UserError
from biopose_live.training.synthetic.makehuman_files import TEXTURE_SIZE, read_mhclo, read_mhmat, read_obj, read_texture

OBJ = """# a square and a triangle
v 0 0 0
v 1 0 0
v 1 1 0
v 0 1 0
vt 0 0
vt 1 0
vt 1 1
vt 0 1
g body
f 1/1 2/2 3/3 4/4
g helper-skirt
f 1 2 3
"""

MHCLO = """# a garment
name coat
obj_file coat.obj
material coat.mhmat
x_scale 5 7 1.5
z_scale 1 2 0.25
z_depth 50
verts 0
10 11 12 0.5 0.25 0.25 0.1 -0.2 0.3
42
delete_verts
3 - 5 9 11 - 12
"""


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_obj_splits_squares_and_keeps_groups(tmp_path):
    mesh = read_obj(write(tmp_path / "a.obj", OBJ))
    assert mesh.faces.tolist() == [[0, 1, 2], [0, 2, 3], [0, 1, 2]]
    assert mesh.groups["body"].tolist() == [0, 1]
    assert mesh.groups["helper-skirt"].tolist() == [2]
    assert mesh.uv[1].tolist() == [[0, 0], [1, 1], [0, 1]]
    assert (mesh.uv[2] == 0).all()


def test_mhclo(tmp_path):
    fitting = read_mhclo(write(tmp_path / "coat.mhclo", MHCLO))
    assert fitting.name == "coat"
    assert fitting.obj_file == tmp_path / "coat.obj"
    assert fitting.material_file == tmp_path / "coat.mhmat"
    assert fitting.references.tolist() == [[10, 11, 12], [42, 42, 42]]
    assert fitting.barycentric.tolist() == [[0.5, 0.25, 0.25], [1.0, 0.0, 0.0]]
    assert fitting.offsets.tolist() == [[0.1, -0.2, 0.3], [0.0, 0.0, 0.0]]
    assert fitting.scales == {0: (5, 7, 1.5), 2: (1, 2, 0.25)}
    assert fitting.hidden.tolist() == [3, 4, 5, 9, 11, 12]


def test_mhmat(tmp_path):
    text = "name m\ndiffuseTexture hair.png\ntransparent True\nbackfaceCull False\n"
    material = read_mhmat(write(tmp_path / "m.mhmat", text))
    assert (material.texture_file, material.transparent, material.two_sided) == (tmp_path / "hair.png", True, True)


def test_texture_is_linear_rgba(tmp_path):
    path = tmp_path / "t.png"
    cv2.imwrite(str(path), np.full((20, 30, 3), [0, 128, 255], np.uint8))  # blue, green, red
    texture = read_texture(path)
    assert texture.shape == (TEXTURE_SIZE, TEXTURE_SIZE, 4)
    np.testing.assert_allclose(texture[7, 9], [1.0, (128 / 255) ** 2.2, 0.0, 1.0], atol=1e-6)


@pytest.mark.parametrize(
    ("reader", "text", "words"),
    [
        (read_obj, "v 0 0 0\nf 1 2 3\n", "names number 3"),
        (read_obj, "v 0 0\nf 1 1 1\n", "incomplete vertices"),
        (read_obj, "v a b c\n", "line 1"),
        (read_obj, "hello\n", "no faces"),
        (read_obj, "v 0 0 0\nf 1 1\n", "line 2"),
        (read_mhclo, MHCLO.replace("0.5 0.25", "0.5 x"), "line 9"),
        (read_mhclo, MHCLO.replace("0.1 -0.2 0.3", "0.1 -0.2"), "line 9"),
        (read_mhclo, MHCLO.replace("x_scale 5 7 1.5", "x_scale 5 7"), "line 5"),
        (read_mhclo, MHCLO.replace("3 - 5", "3 - five"), "line 12"),
        (read_mhclo, MHCLO.replace("obj_file coat.obj", ""), "names no obj_file"),
        (read_mhclo, "obj_file a.obj\n", "lists no vertices"),
        (read_mhclo, MHCLO.replace("42\n", "-42\n"), "negative"),
        (read_mhclo, MHCLO.replace("5 7 1.5", "5 7 0"), "positive"),
        (read_mhclo, MHCLO.replace("0.1 -0.2 0.3", "nan 0 0"), "finite"),
        (read_obj, OBJ.replace("v 1 0 0", "v inf 0 0"), "finite"),
        (read_mhmat, "name m\n", "names no diffuseTexture"),
    ],
)
def test_a_wrong_file_gets_a_sentence(tmp_path, reader, text, words):
    with pytest.raises(UserError) as caught:
        reader(write(tmp_path / "wrong.file", text))
    assert "wrong.file" in str(caught.value)
    assert words in str(caught.value)


@pytest.mark.parametrize("reader", [read_obj, read_mhclo, read_mhmat, read_texture])
def test_a_missing_file_gets_a_sentence(tmp_path, reader):
    with pytest.raises(UserError, match="nothing"):
        reader(tmp_path / "nothing")


KEYS = ("v", "vt", "f", "g", "verts", "delete_verts", "x_scale", "name", "obj_file")
token = st.sampled_from((*KEYS, "-", "1", "2/3", "0.5", "-1", "x", "1e999", "nan"))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(token, max_size=10).map(" ".join), max_size=12).map("\n".join))
def test_no_text_breaks_the_readers(tmp_path, text):
    path = write(tmp_path / "any", text)
    for reader in (read_obj, read_mhclo):
        with contextlib.suppress(UserError):  # any other exception fails the test
            result = reader(path)
            assert np.isfinite(result.vertices if reader is read_obj else result.offsets).all()
