"""Dressed people: what an assets folder offers, garments fitted to a body shape, and the posed, textured mesh.

The assets folder holds MakeHuman's files: base.obj, skins/*_diffuse.png, hair/NAME/NAME.mhclo, clothes/NAME/NAME.mhclo
(whole outfits and, by the name shoes*, shoes). Fitting is linear in the base mesh, so a garment is fitted once in the
identity pose, with its own shape directions, and then skinned with the weights of the base vertices it hangs on.

Dimension letters: G garment vertices, K shape coefficients, F triangles, P vertices of the whole person.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from biopose_live.errors import EXIT_MODEL, UserError
from biopose_live.training.synthetic.base_mesh import DECIMETRE, BaseMesh, BodyArrays, extend, joint_motions, skin
from biopose_live.training.synthetic.makehuman_files import (
    TEXTURE_SIZE,
    Fitting,
    read_mhclo,
    read_mhmat,
    read_obj,
    read_texture,
)
from biopose_live.training.synthetic.raster import Mesh, vertex_normals

_read_texture = lru_cache(maxsize=64)(read_texture)


@dataclass(frozen=True)
class Outfit:
    """Names of files in the assets folder, and colour factors (RGB) for clothes and hair."""

    skin: str
    clothes: tuple[str, ...]
    hair: str | None = None
    clothes_tint: tuple[float, float, float] = (1.0, 1.0, 1.0)
    hair_tint: tuple[float, float, float] = (1.0, 1.0, 1.0)
    eye_colour: tuple[float, float, float] = (0.25, 0.16, 0.09)


@dataclass(frozen=True)
class Garment:
    """A garment hung on the live body, before shape and pose."""

    template: np.ndarray  # [G, 3] m, identity pose, mean shape
    directions: np.ndarray  # [G, 3, K]
    weights: np.ndarray  # [G, 24]
    faces: np.ndarray  # [F, 3]
    uv: np.ndarray  # [F, 3, 2]
    texture_file: Path
    two_sided: bool
    transparent: bool
    hidden: np.ndarray  # base vertices under it


@dataclass
class Person:
    """A shaped, dressed body in the identity pose; `posed` gives what the rasteriser draws."""

    rest: np.ndarray  # [P, 3] m
    weights: np.ndarray  # [P, 24]
    joints: np.ndarray  # [24, 3] m
    faces: np.ndarray  # [F, 3]
    uv: np.ndarray  # [F, 3, 2]
    texture: np.ndarray  # [F]
    two_sided: np.ndarray  # [F] bool
    textures: np.ndarray  # [number, S, S, 4]

    def posed(self, theta: np.ndarray, transl: np.ndarray) -> tuple[Mesh, np.ndarray]:
        """The mesh and the joints [24, 3] m for theta [24, 3] axis-angle and transl [3] m, in the frame of these."""
        motions, joints = joint_motions(self.joints, theta, transl)
        vertices = skin(self.rest, self.weights, motions)
        normals = vertex_normals(vertices, self.faces)
        mesh = Mesh(vertices, normals, self.faces, self.uv, self.texture, self.two_sided, self.textures)
        return mesh, joints


class Wardrobe:
    """The garments of an assets folder hung on one body. Each file is read once."""

    def __init__(self, assets: Path, body: BodyArrays) -> None:
        """Raises UserError when the folder lacks base.obj."""
        self.assets = assets
        if not (assets / "base.obj").is_file():
            raise UserError(
                f"The assets folder {assets} holds no base.obj; give a folder of MakeHuman's CC0 files.", EXIT_MODEL
            )
        self.base: BaseMesh = extend(body, assets / "base.obj")
        self._garments: dict[str, Garment] = {}

    def names(self, kind: str) -> list[str]:
        """Sorted names of what there is of a kind: skins, hair, shoes, or clothes (outfits without shoes)."""
        folder = self.assets / ("clothes" if kind == "shoes" else kind)
        if kind == "skins":
            return sorted(p.stem for p in folder.glob("*.png"))
        found = sorted(p.name for p in folder.glob("*") if p.is_dir())
        if kind in ("clothes", "shoes"):
            return [n for n in found if n.startswith("shoes") == (kind == "shoes")]
        return found

    def garment(self, name: str) -> Garment:
        """A fitted garment by its folder's name, under clothes/ or hair/. Raises UserError when it is not there."""
        if name not in self._garments:
            for kind in ("clothes", "hair"):
                path = self.assets / kind / name / f"{name}.mhclo"
                if path.is_file():
                    self._garments[name] = hang(read_mhclo(path), self.base)
                    break
            else:
                raise UserError(f"The assets folder {self.assets} has no garment {name}; check its name.", EXIT_MODEL)
        return self._garments[name]

    def dress(self, outfit: Outfit, betas: np.ndarray) -> Person:
        """A person of shape betas [K] in an outfit. Raises UserError for a file that is missing or malformed."""
        garments = [self.garment(name) for name in (*outfit.clothes, *([outfit.hair] if outfit.hair else []))]
        base, mesh = self.base, self.base.mesh
        covered = np.zeros(len(base.template), bool)
        for garment in garments:
            covered[garment.hidden] = True
        skin_faces = mesh.groups["body"]
        skin_faces = skin_faces[~covered[mesh.faces[skin_faces]].all(axis=1)]
        eye_faces = np.concatenate([mesh.groups["helper-l-eye"], mesh.groups["helper-r-eye"]])
        shown = np.concatenate([skin_faces, eye_faces])
        used, local = np.unique(mesh.faces[shown], return_inverse=True)

        rest = [(base.template + base.directions @ betas)[used]]
        weights = [base.weights[used]]
        faces = [local.reshape(-1, 3)]
        uv = [np.concatenate([mesh.uv[skin_faces], eye_uv(base, eye_faces)])]
        index = [np.r_[np.zeros(len(skin_faces), int), np.ones(len(eye_faces), int)]]
        two_sided = [np.zeros(len(shown), bool)]
        textures = [_read_texture(self.assets / "skins" / f"{outfit.skin}.png"), eye_texture(outfit.eye_colour)]
        textures[0] = _opaque(textures[0])
        start = len(used)
        for i, garment in enumerate(garments):
            rest.append(garment.template + garment.directions @ betas)
            weights.append(garment.weights)
            faces.append(garment.faces + start)
            uv.append(garment.uv)
            index.append(np.full(len(garment.faces), len(textures)))
            two_sided.append(np.full(len(garment.faces), True))
            picture = _read_texture(garment.texture_file)
            is_hair = outfit.hair is not None and i == len(garments) - 1
            tint = outfit.hair_tint if is_hair else outfit.clothes_tint
            picture = picture * np.array([*tint, 1.0], np.float32)
            textures.append(picture if garment.transparent else _opaque(picture))
            start += len(garment.template)
        return Person(
            rest=np.concatenate(rest),
            weights=np.concatenate(weights),
            joints=base.joints(betas),
            faces=np.concatenate(faces).astype(np.int32),
            uv=np.concatenate(uv).astype(np.float32),
            texture=np.concatenate(index).astype(np.int32),
            two_sided=np.concatenate(two_sided),
            textures=np.ascontiguousarray(np.clip(np.stack(textures), 0.0, 1.0).astype(np.float32)),
        )


def hang(fitting: Fitting, base: BaseMesh) -> Garment:
    """Hang a garment on the base mesh. Raises UserError when its files disagree or refer past the base mesh."""
    mesh = read_obj(fitting.obj_file)
    if fitting.material_file is None:
        raise UserError(f"The garment {fitting.name} names no material; add one to its .mhclo file.", EXIT_MODEL)
    material = read_mhmat(fitting.material_file)
    if len(fitting.references) != len(mesh.vertices):
        raise UserError(
            f"The garment {fitting.name} fits {len(fitting.references)} vertices but its mesh has "
            f"{len(mesh.vertices)}; use matching .mhclo and .obj files.",
            EXIT_MODEL,
        )
    ends = [v for pair in fitting.scales.values() for v in pair[:2]]
    named = [fitting.references.ravel(), fitting.hidden, np.array(ends, np.int64)]
    highest = max(int(part.max()) for part in named if part.size)
    if highest >= len(base.template):
        raise UserError(
            f"The garment {fitting.name} refers to vertex {highest}, but the base mesh has {len(base.template)}; use a "
            "garment made for MakeHuman's base mesh hm08.",
            EXIT_MODEL,
        )
    refs, bary = fitting.references, fitting.barycentric
    scale = np.full(3, DECIMETRE)
    for axis, (first, second, length) in fitting.scales.items():
        on_base = abs(base.original[first, axis] - base.original[second, axis]) / length
        # Distances, not extents along the axis: the identity pose may have turned the segment the two vertices are on.
        grown = np.linalg.norm(base.template[first] - base.template[second])
        scale[axis] = on_base * grown / np.linalg.norm(base.original[first] - base.original[second])
    turn = np.einsum("gr,grcd->gcd", bary, base.to_rest[refs])
    weights = np.clip(np.einsum("gr,grj->gj", bary, base.weights[refs]), 0.0, None)
    return Garment(
        template=np.einsum("gr,grc->gc", bary, base.template[refs])
        + np.einsum("gcd,gd->gc", turn, fitting.offsets * scale),
        directions=np.einsum("gr,grck->gck", bary, base.directions[refs]),
        weights=weights / weights.sum(axis=1, keepdims=True),
        faces=mesh.faces,
        uv=mesh.uv,
        texture_file=material.texture_file,
        two_sided=material.two_sided,
        transparent=material.transparent,
        hidden=fitting.hidden,
    )


def _opaque(texture: np.ndarray) -> np.ndarray:
    out = texture.copy()
    out[:, :, 3] = 1.0
    return out


def eye_uv(base: BaseMesh, faces: np.ndarray) -> np.ndarray:
    """[F, 3, 2] texture coordinates that look at each eyeball from the front: the pupil at (0.5, 0.5)."""
    half = len(faces) // 2
    out = np.empty((len(faces), 3, 2))
    for part in (slice(0, half), slice(half, None)):
        corners = base.original[base.mesh.faces[faces[part]]]
        low, high = corners.reshape(-1, 3).min(axis=0), corners.reshape(-1, 3).max(axis=0)
        out[part] = ((corners - low) / (high - low))[:, :, :2]
        behind = corners[:, :, 2] < (low[2] + high[2]) / 2
        out[part][behind] = 0.02  # the white
    return out


def eye_texture(colour: tuple[float, float, float]) -> np.ndarray:
    """An iris of the given colour with a dark rim and pupil on a white ground."""
    axis = (np.arange(TEXTURE_SIZE) + 0.5) / TEXTURE_SIZE - 0.5
    radius = np.hypot(*np.meshgrid(axis, axis))[:, :, None]
    white, iris = np.array([0.82, 0.79, 0.76]), np.array(colour)
    picture = np.where(radius < 0.235, iris * (0.6 + 1.8 * radius), white)
    picture = np.where((radius > 0.21) & (radius < 0.245), iris * 0.35, picture)
    picture = np.where(radius < 0.09, 0.02, picture)
    return np.dstack([picture, np.ones_like(radius)]).astype(np.float32)
