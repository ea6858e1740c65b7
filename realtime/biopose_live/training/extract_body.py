"""Build the embedded body file from Anny: a parametric adult body in SMPL's own file layout.

Anny (Bregier et al. 2025, Apache-2.0 code over MakeHuman's CC0 targets) is a large rigged model; the live program only
needs a linear one. This script draws random adults, poses each with identity rotations, and keeps the mean mesh, its
principal shape directions, skin weights summed into 24 joints, and a sparse joint regressor, i.e. the arrays of
SMPL (Loper et al. 2015, section 3). The result is written once and shipped; only rebuilding it needs `anny`.

    python -m biopose_live.training.extract_body --out realtime/biopose_live/assets/body/anny_body.npz

Frames: Anny has x left, y backward, z up; the file has SMPL's x left, y up, z forward, in metres, pelvis at the origin.

Dimension letters: N bodies, V vertices, J = 24 joints, A Anny bones, K shape coefficients, F faces.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from biopose_live.body.joints import JOINT_NAMES, PARENTS
from biopose_live.body.marker_table import MARKERS
from biopose_live.errors import UserError

# Anny bone whose head is each SMPL joint. The lowest trunk joint is spine03, not spine05 or spine04: those two lie
# inside the pelvis (spine05's head is the root's) and carry the skin over both iliac spines, which must move with the
# pelvis. The fore-foot joints are the second metatarsophalangeal joints and the hand joints the third knuckles, the
# nearest bones to where SMPL puts them.
JOINT_BONES = (
    "root", "upperleg01.L", "upperleg01.R", "spine03", "lowerleg01.L", "lowerleg01.R", "spine02", "foot.L", "foot.R",
    "spine01", "toe2-1.L", "toe2-1.R", "neck01", "clavicle.L", "clavicle.R", "head", "upperarm01.L", "upperarm01.R",
    "lowerarm01.L", "lowerarm01.R", "wrist.L", "wrist.R", "finger3-1.L", "finger3-1.R",
)  # fmt: skip

# Independent changes of single segments and the standard deviation drawn for each, so that limb proportions vary by
# about 10 to 15 mm at fixed stature (the residual spread of segment lengths in ANSUR II, Gordon et al. 2014).
LOCAL_CHANGES = {
    "measure-upperleg-height-incr": 0.15,
    "measure-lowerleg-height-incr": 0.17,
    "measure-upperarm-length-incr": 0.17,
    "measure-lowerarm-length-incr": 0.17,
    "measure-shoulder-dist-incr": 0.40,
    "measure-napetowaist-dist-incr": 0.18,
    "measure-waisttohip-dist-incr": 0.15,
    "measure-neck-height-incr": 0.25,
    "hip-scale-horiz-incr": 0.20,
    "l-foot-scale-incr": 0.15,
    "r-foot-scale-incr": 0.15,
    "l-hand-scale-incr": 0.15,
    "r-hand-scale-incr": 0.15,
}
# MakeHuman's mean adult has short thighs and arms; these shifts bring the joints towards the heights and lengths that
# Winter (2009, after Drillis and Contini) gives as fractions of stature: knee 0.285, hip 0.530, elbow to wrist 0.146.
LOCAL_MEANS = {
    "measure-upperleg-height-incr": 0.40,
    "measure-lowerleg-height-incr": -0.25,
    "measure-upperarm-length-incr": 0.30,
    "measure-lowerarm-length-incr": 0.15,
}
SAME_DRAW = {"r-foot-scale-incr": "l-foot-scale-incr", "r-hand-scale-incr": "l-hand-scale-incr"}

# Adult stature (m): mean and standard deviation of women and men. Mean 1.70 over both; the spread is a little wider
# than one population's so that 1.45 m and 2.0 m bodies lie within three standard deviations.
STATURE = {"female": (1.635, 0.075), "male": (1.765, 0.080)}
STATURE_RANGE = (1.45, 2.00)

ANNY_TO_SMPL = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
N_SHAPE = 10
INSIDE_MOUTH_COMPONENT = 1  # Anny's second connected component: tongue, gums and teeth, never visible or skinned apart


@dataclass
class Samples:
    """Identity-posed bodies. vertices [N, V, 3] float32, joints [N, 24, 3] float32, metres, SMPL axes, pelvis at 0."""

    vertices: np.ndarray
    joints: np.ndarray


def load_anny() -> Any:
    """Anny with the local changes this script draws. Raises UserError when the package is not installed."""
    try:
        import anny
    except ImportError as missing:
        raise UserError(
            "Extracting the body needs the package 'anny', which is not installed; install the extra [train]."
        ) from missing
    import torch

    model = anny.Anny(
        local_changes=list(LOCAL_CHANGES), phenotype_blendshapes="original", skinning_method="lbs"
    )  # compacting the blendshapes would take minutes and is not needed for one pass
    return model.to(torch.float32)


def stature_grid(model: Any, phenotypes: np.ndarray, local: np.ndarray, heights: np.ndarray) -> np.ndarray:
    """Vertical extent [N, H] (m) of each body at each value of the height phenotype, from crown and sole only."""
    import torch

    template = model.template_vertices.numpy()[:, 2]
    ends = np.where((template > template.max() - 0.03) | (template < template.min() + 0.03))[0]
    base, directions = model.template_vertices.numpy()[ends, 2], model.blendshapes.numpy()[:, ends, 2]
    extents = []
    for height in heights:
        moved = phenotypes.copy()
        moved[:, model.phenotype_labels.index("height")] = height
        coefficients = model._get_phenotype_blendshape_coefficients(
            torch.tensor(moved, dtype=torch.float32),
            torch.tensor(local, dtype=torch.float32),
            torch.zeros(len(moved), 0),
        ).numpy()
        extents.append(np.ptp(base + coefficients @ directions, axis=1))
    return np.stack(extents, axis=1)


def draw_adults(model: Any, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Phenotypes [N, 6] and local changes [N, 13] of random adults whose statures follow STATURE."""
    gender = rng.beta(0.5, 0.5, n)  # 0 male, 1 female in Anny
    drawn = {
        "gender": gender,
        "age": rng.uniform(0.62, 0.9, n),
        "muscle": rng.beta(2.5, 2.5, n),
        "weight": rng.beta(2.5, 2.5, n),
        "proportions": rng.beta(2.5, 2.5, n),
        "height": np.full(n, 0.5),
    }
    phenotypes = np.stack([drawn[label] for label in model.phenotype_labels], axis=1)
    columns = {
        label: np.clip(rng.normal(LOCAL_MEANS.get(label, 0.0), LOCAL_CHANGES[label], n), -1.0, 1.0)
        for label in model.local_change_labels
    }
    local = np.stack([columns[SAME_DRAW.get(label, label)] for label in model.local_change_labels], axis=1)

    male, female = np.array(STATURE["male"]), np.array(STATURE["female"])
    mean, deviation = (male[:, None] + (female - male)[:, None] * gender).tolist()
    target = np.clip(rng.normal(mean, deviation), *STATURE_RANGE)
    # Stature is piecewise linear in the height phenotype with knots at 0, 0.5 and 1, so interpolation is exact.
    knots = np.array([0.0, 0.5, 1.0])
    extents = stature_grid(model, phenotypes, local, knots)
    phenotypes[:, model.phenotype_labels.index("height")] = [
        np.interp(t, row, knots) for t, row in zip(target, extents, strict=True)
    ]
    return phenotypes, local


def pose_identity(model: Any, phenotypes: np.ndarray, local: np.ndarray, kept: np.ndarray, batch: int = 50) -> Samples:
    """Identity-posed meshes and joints. Anny's `rest_vertices` are not these: its identity pose re-orients bones."""
    import torch

    bones = [list(model.bone_labels).index(b) for b in JOINT_BONES]
    vertices, joints = [], []
    with torch.no_grad():
        for start in range(0, len(phenotypes), batch):
            chosen = slice(start, start + batch)
            out = model(
                phenotype_kwargs=torch.tensor(phenotypes[chosen], dtype=torch.float32),
                local_changes_kwargs=torch.tensor(local[chosen], dtype=torch.float32),
            )
            heads = out["bone_poses"][:, bones, :3, 3].numpy()
            origin = heads[:, :1]
            vertices.append(((out["vertices"].numpy()[:, kept] - origin) @ ANNY_TO_SMPL.T).astype(np.float32))
            joints.append(((heads - origin) @ ANNY_TO_SMPL.T).astype(np.float32))
    return Samples(np.concatenate(vertices), np.concatenate(joints))


def hip_centres(markers: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Left and right hip joint centres [N, 3] m from the iliac spines [N, 3] m: the regression of Harrington et al.
    2007 on pelvic width and depth.

    Anny's own rig turns the thigh about a point 4 cm further back and 2 cm further out, which would bend the angle of a
    flexed hip by several degrees.
    """
    front, back = (markers["LASI"] + markers["RASI"]) / 2, (markers["LPSI"] + markers["RPSI"]) / 2
    across, along = markers["LASI"] - markers["RASI"], front - back
    width, depth = np.linalg.norm(across, axis=1, keepdims=True), np.linalg.norm(along, axis=1, keepdims=True)
    left = across / width
    forward = along - (along * left).sum(1, keepdims=True) * left
    forward /= np.linalg.norm(forward, axis=1, keepdims=True)
    up = np.cross(forward, left)
    middle = front + forward * (-0.24 * depth - 0.0099) + up * (-0.30 * width - 0.0109)
    aside = left * (0.33 * width + 0.0073)
    return middle + aside, middle - aside


def kept_vertices(faces: np.ndarray, n_vertices: int) -> np.ndarray:
    """Ids of the vertices to keep: all but the inside of the mouth."""
    edges = (np.ones(faces.size), (faces.ravel(), np.roll(faces, 1, axis=1).ravel()))
    _, component = connected_components(coo_matrix(edges, shape=(n_vertices, n_vertices)), directed=False)
    return np.where(component != INSIDE_MOUTH_COMPONENT)[0]


def joint_of_bone(model: Any) -> np.ndarray:
    """[A] SMPL joint each Anny bone rides on: itself, else its nearest ancestor that is a joint; all toes ride on the
    fore-foot joint and the four fingers on the hand joint."""
    labels, parents = list(model.bone_labels), list(model.bone_parents)
    joint = np.zeros(len(labels), int)
    for i, label in enumerate(labels):
        side = label[-1]
        if label == "root":
            joint[i] = 0
        elif label.startswith("toe"):
            joint[i] = JOINT_BONES.index(f"toe2-1.{side}")
        elif label.startswith(("finger2", "finger3", "finger4", "finger5")):
            joint[i] = JOINT_BONES.index(f"finger3-1.{side}")
        elif label in JOINT_BONES:
            joint[i] = JOINT_BONES.index(label)
        else:
            joint[i] = joint[parents[i]]
    return joint


def skin_weights(model: Any, kept: np.ndarray) -> np.ndarray:
    """[V, 24] Anny's weights summed per joint, the four largest kept and normalised to one."""
    bone_weights, bones = model.vertex_bone_weights.numpy()[kept], model.vertex_bone_indices.numpy()[kept]
    joint = joint_of_bone(model)
    weights = np.zeros((len(kept), len(JOINT_BONES)))
    rows = np.repeat(np.arange(len(kept)), bones.shape[1])
    np.add.at(weights, (rows, joint[bones].ravel()), bone_weights.ravel())
    fourth = np.sort(weights, axis=1)[:, -4][:, None]
    weights[weights < fourth] = 0.0
    return weights / weights.sum(axis=1, keepdims=True)


def shape_space(samples: Samples, joint_emphasis: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Mean mesh [V, 3], K shape directions [V, 3, K], mean joints [24, 3] and joint directions [24, 3, K].

    The coefficients have unit variance over the samples. The principal axes are those of vertices and joints together,
    with the joints' total variance multiplied by `joint_emphasis` squared: bone lengths matter more to joint angles
    than girth does.
    """
    n, v = samples.vertices.shape[:2]
    mean, joint_mean = samples.vertices.mean(axis=0, dtype=np.float64), samples.joints.mean(axis=0, dtype=np.float64)
    x = (samples.vertices - mean.astype(np.float32)).reshape(n, -1)
    j = (samples.joints - joint_mean).reshape(n, -1)
    gram = (x @ x.T).astype(np.float64) / v + joint_emphasis**2 * (j @ j.T) / samples.joints.shape[1]
    values, scores = np.linalg.eigh(gram)
    scores = scores[:, np.argsort(values)[::-1][:N_SHAPE]] * np.sqrt(n)  # unit variance over the samples
    directions = (x.T @ scores.astype(np.float32)).astype(np.float64).reshape(v, 3, N_SHAPE) / n
    joint_directions = (j.T @ scores).reshape(-1, 3, N_SHAPE) / n
    # Positive means taller, so that the signs do not depend on the eigenvalue solver.
    sign = np.where(directions[mean[:, 1].argmax(), 1] < directions[mean[:, 1].argmin(), 1], -1.0, 1.0)
    return mean, directions * sign, joint_mean, joint_directions * sign


def spread_vertices(template: np.ndarray, centre: np.ndarray, n: int) -> np.ndarray:
    """Ids of at most n vertices spread evenly (farthest point first) over the surface that surrounds a joint."""
    distance = np.linalg.norm(template - centre, axis=1)
    reach = max(2.2 * distance.min() + 0.05, np.partition(distance, n - 1)[n - 1])
    around = np.where(distance <= reach)[0]
    chosen = [int(distance[around].argmin())]
    gap = np.linalg.norm(template[around] - template[around[chosen[0]]], axis=1)
    while len(chosen) < min(n, len(around)):
        chosen.append(int(gap.argmax()))
        gap = np.minimum(gap, np.linalg.norm(template[around] - template[around[chosen[-1]]], axis=1))
    return around[chosen]


def joint_regressor(
    template: np.ndarray,
    directions: np.ndarray,
    joint_mean: np.ndarray,
    joint_directions: np.ndarray,
    n_near: int = 120,
    damping: float = 1e-7,
) -> np.ndarray:
    """[24, V] sparse rows that sum to one and regress the joints of the whole shape space from surrounding vertices.

    Each row solves the 3 (1 + K) equations of its joint's mean and directions with least-norm weights; non-negative
    rows alone cannot follow the spine and the knee to better than 9 mm. Left rows are mirrored to the right and middle
    rows averaged with their mirror image, so that a symmetric mesh has a symmetric skeleton.
    """
    # The mirror image is the mesh's own, so ids pair up; a near-miss at the lips is far from every joint.
    mirror = cKDTree(template).query(template * [-1.0, 1.0, 1.0])[1]
    regressor = np.zeros((len(JOINT_BONES), len(template)))
    for j, bone in enumerate(JOINT_BONES):
        if bone.endswith(".R"):
            continue
        near = spread_vertices(template, joint_mean[j], n_near)
        if not bone.endswith(".L"):
            near = np.unique(np.r_[near, mirror[near]])
        n = len(near)
        a = np.vstack([(template[near] - joint_mean[j]).T, directions[near].transpose(1, 2, 0).reshape(-1, n)])
        b = np.r_[np.zeros(3), joint_directions[j].ravel()]
        # Rows that sum to one: the uniform row plus any combination of columns of `basis`, which sum to zero.
        uniform = np.full(n, 1.0 / n)
        basis = np.linalg.qr(np.column_stack([np.ones(n), np.eye(n)[:, 1:]]))[0][:, 1:]
        a_free = a @ basis
        free = a_free.T @ np.linalg.solve(a_free @ a_free.T + damping * np.eye(len(b)), b - a @ uniform)
        row = uniform + basis @ free
        regressor[j, near] = row
        if bone.endswith(".L"):
            np.add.at(regressor[JOINT_BONES.index(bone[:-1] + "R")], mirror[near], row)
        else:
            np.add.at(regressor[j], mirror[near], row)
            regressor[j] /= 2.0
    return regressor


def report(body: dict[str, Any], held_out: Samples) -> dict[str, float]:
    """Errors (mm) on bodies that were not used: regressor alone, and skeleton and surface through K coefficients."""
    template, directions = body["v_template"].astype(np.float64), body["shapedirs"].astype(np.float64)
    regressor = body["J_regressor"].astype(np.float64)
    v = held_out.vertices.astype(np.float64)
    regressed = np.einsum("jv,nvc->njc", regressor, v)
    j_template, j_directions = regressor @ template, np.einsum("jv,vck->jck", regressor, directions)
    emphasis = np.sqrt(body["joint_emphasis"] ** 2 * len(template) / len(regressor))
    a = np.vstack([directions.reshape(-1, N_SHAPE), emphasis * j_directions.reshape(-1, N_SHAPE)])
    n = len(v)
    b = np.vstack([(v - template).reshape(n, -1).T, emphasis * (held_out.joints - j_template).reshape(n, -1).T])
    betas = np.linalg.lstsq(a, b, rcond=None)[0].T
    joints = j_template + np.einsum("jck,nk->njc", j_directions, betas)
    error = np.linalg.norm(joints - held_out.joints, axis=2)

    def lengths(x: np.ndarray) -> np.ndarray:
        return np.linalg.norm(x[:, 1:] - x[:, list(PARENTS[1:])], axis=2)

    surface = np.linalg.norm(template + np.einsum("vck,nk->nvc", directions, betas) - v, axis=2)
    return {
        "regressor_largest_l1_norm": float(np.abs(regressor).sum(axis=1).max()),
        "regressor_mean_mm": 1e3 * float(np.linalg.norm(regressed - held_out.joints, axis=2).mean()),
        "regressor_worst_joint_mm": 1e3 * float(np.linalg.norm(regressed - held_out.joints, axis=2).mean(0).max()),
        "skeleton_mean_mm": 1e3 * float(error.mean()),
        "skeleton_95th_mm": 1e3 * float(np.percentile(error, 95)),
        "bone_length_mean_mm": 1e3 * float(np.abs(lengths(joints) - lengths(held_out.joints)).mean()),
        "surface_mean_mm": 1e3 * float(surface.mean()),
        "beta_sd_min": float(betas.std(0).min()),
        "beta_sd_max": float(betas.std(0).max()),
        "stature_beta0_m": float(np.ptp(template[:, 1])),
        "stature_sd_m": float(np.ptp(v[:, :, 1], axis=1).std()),
    }


def extract(
    n_bodies: int, n_held_out: int, joint_emphasis: float, seed: int
) -> tuple[dict[str, Any], dict[str, float]]:
    """The body's arrays and the error report. About 15 s on one core once Anny has cached itself."""
    rng = np.random.default_rng(seed)
    model = load_anny()
    faces = model.faces.numpy()
    kept = kept_vertices(faces, len(model.template_vertices))
    new_id = np.full(len(model.template_vertices), -1)
    new_id[kept] = np.arange(len(kept))
    phenotypes, local = draw_adults(model, n_bodies + n_held_out, rng)
    samples = pose_identity(model, phenotypes, local, kept)
    spines = {m.name: samples.vertices[:, new_id[m.anny_vertex]] for m in MARKERS if m.name[1:] in ("ASI", "PSI")}
    for name, centre in zip(("left_hip", "right_hip"), hip_centres(spines), strict=True):
        samples.joints[:, JOINT_NAMES.index(name)] = centre
    training = Samples(samples.vertices[:n_bodies], samples.joints[:n_bodies])
    held_out = Samples(samples.vertices[n_bodies:], samples.joints[n_bodies:])

    template, directions, joint_mean, joint_directions = shape_space(training, joint_emphasis)
    regressor = joint_regressor(template, directions, joint_mean, joint_directions)
    # The pelvis joint is the origin for every shape, so that `transl` is the pelvis position whatever the betas.
    template = template - regressor[0] @ template
    directions = directions - np.einsum("v,vck->ck", regressor[0], directions)
    faces = new_id[faces]
    body: dict[str, Any] = {
        "v_template": template.astype(np.float32),
        "shapedirs": directions.astype(np.float16),
        "weights": skin_weights(model, kept).astype(np.float16),
        "J_regressor": regressor.astype(np.float32),
        "kintree_table": np.array([PARENTS, range(len(PARENTS))], dtype=np.int32),
        "f": faces[(faces >= 0).all(axis=1)].astype(np.uint16),
        "joint_names": np.array(JOINT_NAMES),
        "marker_names": np.array([m.name for m in MARKERS]),
        "marker_vertices": new_id[[m.anny_vertex for m in MARKERS]].astype(np.int32),
        "anny_vertex_ids": kept.astype(np.int32),
        "joint_emphasis": np.float32(joint_emphasis),
        "license": np.array("CC0-1.0 (MakeHuman data, adapted through Anny, whose code is Apache-2.0)"),
        "source": np.array("anny 0.6.2, identity-posed random adults, principal shape directions"),
    }
    return body, report(body, held_out)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Build the embedded body file from Anny.")
    parser.add_argument("--out", type=Path, required=True, help="the .npz file to write")
    parser.add_argument("--bodies", type=int, default=1500, help="random adults to learn from")
    parser.add_argument("--held-out", type=int, default=200, help="random adults to measure errors on")
    parser.add_argument("--joint-emphasis", type=float, default=2.0, help="weight of joints against vertices")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    try:
        body, errors = extract(options.bodies, options.held_out, options.joint_emphasis, options.seed)
    except UserError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    options.out.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(options.out, **body)
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.2f} MB, {len(body['v_template'])} vertices")
    for name, value in errors.items():
        print(f"{name} {value:.4g}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
