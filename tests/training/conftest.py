"""A made-up assets folder: the embedded body itself in the places of MakeHuman's base mesh, and plain garments."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from biopose_live.training.synthetic.base_mesh import LEFT_OUT
from biopose_live.training.synthetic.demo_clip import EMBEDDED_BODY


def _garment(folder: Path, name: str, ids: np.ndarray, faces: np.ndarray, colour: tuple[int, int, int]) -> None:
    place = folder / name
    place.mkdir(parents=True)
    new = {int(v): i for i, v in enumerate(ids)}
    inside = [f for f in faces if all(int(v) in new for v in f)]
    lines = ["v 0 0 0"] * len(ids) + ["f " + " ".join(str(new[int(v)] + 1) for v in f) for f in inside]
    (place / f"{name}.obj").write_text("\n".join(lines))
    (place / f"{name}.mhmat").write_text(f"diffuseTexture {name}.png\n")
    cv2.imwrite(str(place / f"{name}.png"), np.full((8, 8, 3), colour, np.uint8))
    header = f"name {name}\nobj_file {name}.obj\nmaterial {name}.mhmat\nverts 0\n"
    hidden = "delete_verts\n" + " ".join(str(v) for v in ids)
    (place / f"{name}.mhclo").write_text(header + "\n".join(str(v) for v in ids) + "\n" + hidden + "\n")


@pytest.fixture(scope="session")
def made_up_assets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("assets")
    with np.load(EMBEDDED_BODY) as body:
        template, faces = body["v_template"].astype(float), body["f"].astype(int)
        source = body["anny_vertex_ids"].astype(int)
    n = 13718 + len(LEFT_OUT)
    ids = np.setdiff1d(np.arange(n), LEFT_OUT)[source]
    points = np.zeros((n, 3))
    points[ids] = template / 0.1  # decimetres
    unused = np.setdiff1d(np.arange(n), ids)
    lines = [f"v {p[0]:.5f} {p[1]:.5f} {p[2]:.5f}" for p in points]
    lines += ["g body", *("f " + " ".join(str(v + 1) for v in f) for f in ids[faces])]
    lines += ["g helper-l-eye", "f 1 2 3", "g helper-r-eye", "f 1 2 3", "g helper-tongue"]
    lines += [f"f {v + 1} {v + 1} {v + 1}" for v in unused]
    (folder / "base.obj").write_text("\n".join(lines))
    (folder / "skins").mkdir()
    cv2.imwrite(str(folder / "skins" / "plain_male_diffuse.png"), np.full((8, 8, 3), (120, 150, 190), np.uint8))
    height, across = template[:, 1], np.abs(template[:, 0])
    _garment(
        folder / "clothes",
        "male_vest",
        ids[(height > 0.0) & (height < 0.4) & (across < 0.2)],
        ids[faces],
        (150, 60, 40),
    )
    _garment(folder / "clothes", "shoes01", ids[height < height.min() + 0.08], ids[faces], (30, 30, 30))
    _garment(folder / "hair", "cap", ids[height > height.max() - 0.08], ids[faces], (20, 40, 60))
    return folder
