"""Dressed people in parts that are kept: each garment's arrays once, in single precision, ready for compiled skinning.

`wardrobe.Wardrobe.dress` builds one person with care for size; here the same garments serve ten thousands of pictures.
A person's mesh starts with the whole skin and both eyes, so that the naked body's depth can be drawn from it too.

Dimension letters: P vertices of a part, F triangles, K shape coefficients, N = 6 bones per vertex, M materials.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from biopose_live.errors import EXIT_MODEL, UserError
from biopose_live.training.synthetic.base_mesh import BodyArrays
from biopose_live.training.synthetic.cloth_folds import Looseness, draw_looseness, loosen
from biopose_live.training.synthetic.crop_raster import add_normals, pose_part
from biopose_live.training.synthetic.texture_atlas import TextureAtlas, eyes, generated
from biopose_live.training.synthetic.wardrobe import Wardrobe, eye_uv

N_BONES = 6
# texture, tint [3], pattern, pattern_scale, shine, two_sided, cut_by: one material, see `crop_raster.shade` and `draw`.
MaterialRow = tuple[int, np.ndarray, int, float, float, bool, int]


@dataclass(frozen=True)
class Part:
    """A skin or a garment. template [P, 3] m, directions [P, 3, K], bones [P, N], weights [P, N] (largest first)."""

    template: np.ndarray
    directions: np.ndarray
    bones: np.ndarray
    weights: np.ndarray
    faces: np.ndarray  # [F, 3] int32
    uv: np.ndarray  # [F, 3, 2] float32
    texture: int
    cut_out: bool
    hidden: np.ndarray  # base vertices under it


@dataclass(frozen=True)
class Materials:
    """texture [M], tint [M, 3], pattern [M] (-1: none), pattern_scale [M], shine [M], two_sided [M], cut_by [M] (-1:
    opaque); see `crop_raster`."""

    texture: np.ndarray
    tint: np.ndarray
    pattern: np.ndarray
    pattern_scale: np.ndarray
    shine: np.ndarray
    two_sided: np.ndarray
    cut_by: np.ndarray

    @staticmethod
    def of(rows: list[MaterialRow]) -> Materials:
        """From one row per material, in the order of the fields."""
        texture, tint, pattern, scale, shine, two_sided, cut_by = zip(*rows, strict=True)
        return Materials(
            np.array(texture, np.int32), np.array(tint, np.float32), np.array(pattern, np.int32),
            np.array(scale, np.float32), np.array(shine, np.float32), np.array(two_sided, np.bool_),
            np.array(cut_by, np.int32),
        )  # fmt: skip


@dataclass
class Solid:
    """Posed triangles. vertices [P, 3] m, normals [P, 3], faces [F, 3] int32, uv [F, 3, 2], material [F] int32 (row of
    `rows`, the arguments of `Materials.of`)."""

    vertices: np.ndarray
    normals: np.ndarray
    faces: np.ndarray
    uv: np.ndarray
    material: np.ndarray
    rows: list[MaterialRow]


@dataclass(frozen=True)
class Look:
    """What a person wears: parts and, for each, its material row (skin and eyes first) and how it hangs."""

    garments: tuple[str, ...]
    hang: tuple[Looseness | None, ...]
    rows: list[MaterialRow]


class DressedParts:
    """The parts of an assets folder hung on one body, and people made of them."""

    def __init__(self, assets: Path, body: BodyArrays, atlas: TextureAtlas) -> None:
        """Adds its textures to the atlas. Raises UserError when the folder lacks base.obj, skins, clothes, shoes or
        hair."""
        wardrobe = Wardrobe(assets, body)
        base = wardrobe.base
        self.clothes, self.shoes, self.hair = (wardrobe.names(kind) for kind in ("clothes", "shoes", "hair"))
        skins = [n for n in wardrobe.names("skins") if "special" not in n]
        if not (skins and self.clothes and self.shoes and self.hair):
            raise UserError(
                f"The assets folder {assets} needs skins, clothes, shoes and hair; give a complete one.", EXIT_MODEL
            )
        self.skins = {n: atlas.add_file(assets / "skins" / f"{n}.png") for n in skins}
        self.patterns = [atlas.add_file(p) for p in sorted((assets / "fabric").glob("*.png"))]
        self.tiles = generated(atlas)
        self.photos = [atlas.add_file(p) for p in sorted((assets / "backgrounds").glob("*.jpg"))]
        self.eye_textures = eyes(atlas)

        mesh = base.mesh
        skin_faces = mesh.groups["body"]
        eye_faces = np.concatenate([mesh.groups["helper-l-eye"], mesh.groups["helper-r-eye"]])
        shown = np.concatenate([skin_faces, eye_faces])
        self.used, local = np.unique(mesh.faces[shown], return_inverse=True)
        self.n_skin_faces = len(skin_faces)
        bones, weights = _sparse(base.weights[self.used])
        self.skin = Part(
            base.template[self.used].astype(np.float32),
            np.ascontiguousarray(base.directions[self.used], np.float32),
            bones,
            weights,
            np.ascontiguousarray(local.reshape(-1, 3), np.int32),
            np.concatenate([mesh.uv[skin_faces], eye_uv(base, eye_faces)]).astype(np.float32),
            0,
            False,
            np.zeros(0, int),
        )
        self._skin_corners = mesh.faces[skin_faces]
        self._n_base = len(base.template)
        self.garments: dict[str, Part] = {}
        for name in (*self.clothes, *self.shoes, *self.hair):
            g = wardrobe.garment(name)
            bones, weights = _sparse(g.weights)
            self.garments[name] = Part(
                g.template.astype(np.float32), np.ascontiguousarray(g.directions, np.float32), bones, weights,
                np.ascontiguousarray(g.faces, np.int32), g.uv.astype(np.float32), atlas.add_file(g.texture_file),
                g.transparent, g.hidden,
            )  # fmt: skip
        self._shown = lru_cache(maxsize=2048)(self._shown_skin)
        self.body_vertices = np.searchsorted(self.used, base.body_vertices)  # [V] row of each live body vertex
        # Live body vertices outside of the shown groups (the tongue's) have no row.
        self.body_vertices[~np.isin(base.body_vertices, self.used)] = 0

    def _shown_skin(self, garments: tuple[str, ...]) -> np.ndarray:
        """Ids of the skin's and eyes' triangles that no garment hides."""
        covered = np.zeros(self._n_base, bool)
        for name in garments:
            covered[self.garments[name].hidden] = True
        skin = np.flatnonzero(~covered[self._skin_corners].all(axis=1))
        return np.concatenate([skin, np.arange(self.n_skin_faces, len(self.skin.faces))])

    def look(self, rng: np.random.Generator) -> Look:
        """A random outfit; clothes and skin of one sex, hair of any kind, tints and cloth patterns of any kind."""
        sex = ("_male", "_female")[int(rng.integers(2))]
        # Names begin with or contain the sex; an underscore in front keeps "male" from matching "female".
        skins = [n for n in self.skins if sex in f"_{n}"] or list(self.skins)
        clothes = [n for n in self.clothes if sex in f"_{n}"] or self.clothes
        skin = self.skins[skins[int(rng.integers(len(skins)))]]
        complexion = rng.uniform(0.65, 1.2) * rng.uniform(0.93, 1.07, 3)
        rows: list[MaterialRow] = [
            (skin, complexion, -1, 1.0, float(rng.uniform(0.0, 0.12)), False, -1),
            (self.eye_textures[int(rng.integers(len(self.eye_textures)))], np.ones(3), -1, 1.0, 0.2, False, -1),
        ]
        names = [clothes[int(rng.integers(len(clothes)))]]
        names += [self.shoes[int(rng.integers(len(self.shoes)))]] if rng.random() < 0.94 else []
        names += [self.hair[int(rng.integers(len(self.hair)))]] if rng.random() < 0.93 else []
        for name in names:
            part = self.garments[name]
            if name in self.hair:
                tint = rng.uniform(0.25, 1.7) * np.array([1.0, rng.uniform(0.8, 1.0), rng.uniform(0.6, 1.0)])
            else:
                tint = cloth_tint(rng)
            pattern, scale = -1, 1.0
            if name not in self.hair and rng.random() < (0.45 if name in self.clothes else 0.1):
                choice = rng.random()
                kinds = self.patterns if choice < 0.4 and self.patterns else self.tiles
                kinds = self.photos if choice > 0.85 and self.photos else kinds
                pattern, scale = kinds[int(rng.integers(len(kinds)))], float(2.0 ** rng.integers(0, 4))
            shine = float(rng.uniform(0.0, 0.05)) if rng.random() < 0.8 else float(rng.uniform(0.05, 0.3))
            rows.append((part.texture, tint, pattern, scale, shine, True, part.texture if part.cut_out else -1))
        hang = tuple(draw_looseness(rng) if name in self.clothes else None for name in names)
        return Look(tuple(names), hang, rows)

    def person(self, look: Look, betas: np.ndarray, motions: np.ndarray) -> tuple[Solid, np.ndarray]:
        """The dressed person of shape betas [K] under joint motions [24, 3, 4] m, and the naked body's normals [P, 3]
        (area-weighted, outward). The first rows of vertices are the skin's."""
        parts = [self.skin, *(self.garments[name] for name in look.garments)]
        moves = np.ascontiguousarray(motions.reshape(24, 12), np.float32)
        shape = betas.astype(np.float32)
        sizes = np.cumsum([0, *(len(part.template) for part in parts)])
        vertices, normals = np.empty((sizes[-1], 3), np.float32), np.zeros((sizes[-1], 3), np.float32)
        shown = self._shown(look.garments)
        faces = [self.skin.faces[shown]]
        uv = [self.skin.uv[shown]]
        material = [(shown >= self.n_skin_faces).astype(np.int32)]
        for i, part in enumerate(parts):
            own = slice(int(sizes[i]), int(sizes[i + 1]))
            pose_part(part.template, part.directions, shape, part.bones, part.weights, moves, vertices[own])
            add_normals(vertices[own], part.faces, normals[own])
            hang = look.hang[i - 1] if i else None
            if hang is not None:
                loosen(part.template, normals[own], hang.distance, hang.fold, hang.waves, vertices[own])
                normals[own] = 0.0
                add_normals(vertices[own], part.faces, normals[own])
            if i:
                faces.append(part.faces + np.int32(sizes[i]))
                uv.append(part.uv)
                material.append(np.full(len(part.faces), i + 1, np.int32))
        solid = Solid(
            vertices, normals, np.concatenate(faces), np.concatenate(uv), np.concatenate(material), list(look.rows)
        )
        return solid, normals[: sizes[1]]


def cloth_tint(rng: np.random.Generator) -> np.ndarray:
    """[3] a factor for cloth: none, greys, or any colour; brighter than white where textures are dark."""
    kind = rng.random()
    if kind < 0.25:
        return np.ones(3)
    if kind < 0.5:
        return np.full(3, rng.uniform(0.15, 1.8))
    return np.asarray(rng.uniform(0.1, 1.7, 3) * rng.uniform(0.5, 1.3))


def _sparse(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The N_BONES largest of weights [P, 24] -> bones [P, N] int32, weights [P, N] float32 that sum to one."""
    bones = np.argsort(-weights, axis=1)[:, :N_BONES]
    kept = np.take_along_axis(weights, bones, axis=1)
    kept = kept / kept.sum(axis=1, keepdims=True)
    return np.ascontiguousarray(bones, np.int32), np.ascontiguousarray(kept, np.float32)
