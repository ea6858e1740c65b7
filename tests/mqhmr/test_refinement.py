"""The fixed-budget refinement: derivatives against torch's autograd, its optimum against SciPy, and its promises."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from biopose_live.body.model import BodyModel
from biopose_live.mqhmr.landmarks import body_points
from biopose_live.mqhmr.refinement import ROBUST_SIGMAS, ROOT, BodyPoints, Priors, place, refine

FOCAL, CENTRE = 900.0, (640.0, 360.0)
JOINTS, S = 24, 10
POSE = ROOT + 3 * (JOINTS - 1)


@pytest.fixture(scope="module")
def points(body: BodyModel) -> BodyPoints:
    return body_points(body)


@dataclass
class Problem:
    """One frame: the truth, what was seen of it, a start beside it, and priors around that start."""

    body: BodyPoints
    true_rotations: np.ndarray
    true_translation: np.ndarray
    true_betas: np.ndarray
    rotations: np.ndarray
    translation: np.ndarray
    betas: np.ndarray
    observed: np.ndarray
    precision: np.ndarray
    priors: Priors

    def run(self, iterations: int, free_shape: bool = True, damping: float = 1e-3) -> tuple:
        return refine(
            self.body, self.rotations, self.translation, self.betas, self.observed, self.precision, FOCAL, *CENTRE,
            self.priors, free_shape, iterations, damping,
        )  # fmt: skip

    def cost(self, free_shape: bool = True) -> float:
        return self.run(0, free_shape)[4]


def image(points: np.ndarray) -> np.ndarray:
    return FOCAL * points[:, :2] / points[:, 2:] + np.array(CENTRE)


def leaning(rng: np.random.Generator) -> np.ndarray:
    """(33, 3) inverse covariances of about 2 px, longer one way than the other, every way round."""
    lower = np.linalg.cholesky(np.array([[0.3, 0.1], [0.1, 0.2]]))
    turn = Rotation.from_rotvec(rng.uniform(0, np.pi, (33, 1)) * [0, 0, 1]).as_matrix()[:, :2, :2]
    matrices = turn @ lower @ lower.T @ turn.transpose(0, 2, 1)
    return np.stack([matrices[:, 0, 0], matrices[:, 0, 1], matrices[:, 1, 1]], 1)


def make(
    body: BodyPoints,
    seed: int,
    start_off: float = 0.15,
    noise: float = 1.0,
    prior: float = 0.5,
    feet: tuple[float, float] = (40.0, 25.0),
) -> Problem:
    """prior: one-sigma (rad) of both rotation priors; feet: 1 / rad^2 of the pull of both soles to level."""
    rng = np.random.default_rng(seed)

    def turned(rotations: np.ndarray, sigma: float) -> np.ndarray:
        return rotations @ Rotation.from_rotvec(rng.normal(0, sigma, (JOINTS, 3))).as_matrix()

    facing = np.tile(np.eye(3), (JOINTS, 1, 1))
    facing[0] = np.diag([1.0, -1.0, -1.0])
    truth = turned(facing, 0.35)
    translation, betas = np.array([0.2, 0.1, 3.5]) + rng.normal(0, 0.2, 3), rng.normal(0, 0.8, S)
    seen, _, _ = place(body, truth, translation, betas)
    start = turned(truth, start_off)
    return Problem(
        body,
        truth,
        translation,
        betas,
        start,
        translation + rng.normal(0, 0.1, 3),
        np.zeros(S),
        image(seen) + noise * rng.normal(size=(33, 2)),
        leaning(rng),
        Priors(
            rotations=turned(truth, start_off),
            rotation_precision=np.full((JOINTS, 3), 1 / prior**2),
            predicted=turned(truth, start_off),
            predicted_precision=np.full((JOINTS, 3), 1 / prior**2),
            translation=translation + rng.normal(0, 0.1, 3),
            translation_precision=np.full(3, 1 / 0.3**2),
            betas=np.zeros(S),
            betas_precision=np.eye(S),
            up=np.array([0.06, -0.98, 0.19]) / np.linalg.norm([0.06, -0.98, 0.19]),
            foot_precision=np.array(feet),
        ),
    )


def moved(problem: Problem, move: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The state (rotations, translation, betas) after `move` in the tangent space that the Hessian's rows name."""
    turn = torch.cat([move[:3], move[ROOT:POSE]]).view(JOINTS, 3)
    zero = torch.zeros(JOINTS, dtype=torch.float64)
    x, y, z = turn.unbind(-1)
    skew = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).view(JOINTS, 3, 3)
    rotations = torch.from_numpy(problem.rotations) @ torch.linalg.matrix_exp(skew)
    return rotations, torch.from_numpy(problem.translation) + move[3:6], torch.from_numpy(problem.betas) + move[POSE:]


def torch_image(problem: Problem, move: torch.Tensor) -> torch.Tensor:
    """(33, 2) px: the body's equations written once more, in torch."""
    b = problem.body
    rotations, translation, betas = moved(problem, move)
    rest = torch.from_numpy(b.joint_template) + torch.from_numpy(b.joint_dirs) @ betas
    turn, at = [rotations[0]], [rest[0] + translation]
    for j in range(1, JOINTS):
        p = int(b.parents[j])
        at.append(at[p] + turn[p] @ (rest[j] - rest[p]))
        turn.append(turn[p] @ rotations[j])
    local = torch.from_numpy(b.keypoint_template) + torch.from_numpy(b.keypoint_dirs) @ betas
    seen = torch.stack([at[j] + turn[j] @ (local[n] - rest[j]) for n, j in enumerate(b.keypoint_joint.tolist())])
    return FOCAL * seen[:, :2] / seen[:, 2:] + torch.tensor(CENTRE, dtype=torch.float64)


def torch_log(matrices: torch.Tensor) -> torch.Tensor:
    skew = 0.5 * torch.stack(
        [
            matrices[:, 2, 1] - matrices[:, 1, 2],
            matrices[:, 0, 2] - matrices[:, 2, 0],
            matrices[:, 1, 0] - matrices[:, 0, 1],
        ],
        -1,
    )
    cosine = 0.5 * (matrices.diagonal(dim1=1, dim2=2).sum(-1) - 1)
    sine = skew.norm(dim=-1)
    return skew * (torch.atan2(sine, cosine) / sine)[:, None]


def torch_cost(problem: Problem, move: torch.Tensor, free_shape: bool = True) -> torch.Tensor:
    """The cost of the module's docstring."""
    rotations, translation, betas = moved(problem, move)
    precision = torch.from_numpy(problem.precision)
    matrix = precision[:, [0, 1, 1, 2]].view(-1, 2, 2)
    off_px = torch_image(problem, move) - torch.from_numpy(problem.observed)
    square = torch.einsum("ka,kab,kb->k", off_px, matrix, off_px)
    cost = (square / (1 + square / ROBUST_SIGMAS**2)).sum()
    p = problem.priors
    for mean, weight in ((p.rotations, p.rotation_precision), (p.predicted, p.predicted_precision)):
        error = torch_log(torch.from_numpy(mean).transpose(1, 2) @ rotations)
        cost = cost + 9 * torch.log1p(error.square() * torch.from_numpy(weight) / 9).sum()
    off = translation - torch.from_numpy(p.translation)
    cost = cost + (off.square() * torch.from_numpy(p.translation_precision)).sum()
    up = torch.from_numpy(p.up)
    for foot, weight in zip((7, 8), p.foot_precision, strict=True):
        chain, j = torch.eye(3, dtype=torch.float64), foot
        while j >= 0:
            chain, j = rotations[j] @ chain, int(problem.body.parents[j])
        sideways = (chain.T @ up)[[0, 2]]  # sin of how far the foot's upright axis leans
        cost = cost + 9 * torch.log1p(sideways.square().sum() * weight / 9)
    if free_shape:
        off = betas - torch.from_numpy(p.betas)
        cost = cost + off @ torch.from_numpy(p.betas_precision) @ off
    return cost


def test_the_body_is_the_bodys_torch_twin(body: BodyModel, points: BodyPoints) -> None:
    problem = make(points, 0)
    _, joints, turns = place(points, problem.true_rotations, problem.true_translation, problem.true_betas)
    twin = body.torch(torch.float64)
    expected, _ = twin(
        *(torch.from_numpy(a)[None] for a in (problem.true_rotations, problem.true_betas, problem.true_translation))
    )
    np.testing.assert_allclose(joints, expected[0].numpy(), atol=1e-9)
    np.testing.assert_allclose(turns @ np.swapaxes(turns, 1, 2), np.tile(np.eye(3), (JOINTS, 1, 1)), atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("free_shape", [True, False])
def test_the_cost_is_what_is_written(points: BodyPoints, seed: int, free_shape: bool) -> None:
    problem = make(points, seed, start_off=0.3)
    expected = torch_cost(problem, torch.zeros(POSE + S, dtype=torch.float64), free_shape)
    assert problem.cost(free_shape) == pytest.approx(expected.item(), rel=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_the_hessian_is_gauss_newtons_with_autograds_jacobian(points: BodyPoints, seed: int) -> None:
    problem = make(points, seed, start_off=0.05)
    zero = torch.zeros(POSE + S, dtype=torch.float64)
    jacobian = torch.func.jacfwd(lambda m: torch_image(problem, m))(zero).numpy()
    residual = torch_image(problem, zero).numpy() - problem.observed
    matrices = problem.precision[:, [0, 1, 1, 2]].reshape(-1, 2, 2)
    square = np.einsum("na,nab,nb->n", residual, matrices, residual)
    weight = matrices / (1 + square / ROBUST_SIGMAS**2)[:, None, None] ** 2
    expected = np.einsum("nab,nai,nbj->ij", weight, jacobian, jacobian)
    nothing = replace(
        problem,
        priors=problem.priors._replace(
            rotation_precision=np.zeros((JOINTS, 3)),
            predicted_precision=np.zeros((JOINTS, 3)),
            translation_precision=np.zeros(3),
            betas_precision=np.zeros((S, S)),
            foot_precision=np.zeros(2),
        ),
    )
    information = nothing.run(0)[3]
    np.testing.assert_allclose(information, expected, rtol=1e-8, atol=1e-6 * np.abs(expected).max())
    held = nothing.run(0, free_shape=False)[3]
    np.testing.assert_allclose(held[:POSE, :POSE], information[:POSE, :POSE], rtol=1e-12)
    np.testing.assert_array_equal(held[POSE:], np.eye(POSE + S)[POSE:])
    np.testing.assert_allclose(problem.run(0)[5], np.sqrt(square), rtol=1e-8)


@pytest.mark.parametrize("free_shape", [True, False])
def test_the_first_step_follows_autograds_gradient(points: BodyPoints, free_shape: bool) -> None:
    """With a huge damping a step is the gradient over the diagonal, up to one factor, so it shows the gradient."""
    problem, damping = make(points, 4, start_off=0.1), 1e5
    zero = torch.zeros(POSE + S, dtype=torch.float64, requires_grad=True)
    torch_cost(problem, zero, free_shape).backward()
    information = problem.run(0, free_shape)[3]
    rotations, translation, betas, _, _, _ = problem.run(1, free_shape, damping)
    turn = Rotation.from_matrix(np.swapaxes(problem.rotations, 1, 2) @ rotations).as_rotvec()
    step = np.concatenate([turn[0], translation - problem.translation, turn[1:].ravel(), betas - problem.betas])
    gradient, expected = -step * np.diag(information), 0.5 * zero.grad.numpy()
    if not free_shape:
        expected[POSE:] = 0.0
    gradient *= expected @ expected / (gradient @ expected)
    # The error's own turn (SO(3)'s left Jacobian) is left out of the priors' derivative: a few parts in a hundred.
    scale = np.abs(expected).max()
    np.testing.assert_allclose(gradient, expected, rtol=0.02, atol=0.002 * scale)


def test_scipys_optimum_is_reached(points: BodyPoints) -> None:
    """On a cost whose robust weights do not bite, many steps end where SciPy's trust region does."""
    problem = make(points, 6, start_off=0.03, noise=0.05, prior=2.0, feet=(0.0, 0.0))
    problem.precision[:] = [1e-2, 0.0, 1e-2]  # residuals far below a sigma: square / (1 + square / r) = square
    p = problem.priors

    def residuals(move: torch.Tensor) -> torch.Tensor:
        rotations, translation, betas = moved(problem, move)
        parts = [((torch_image(problem, move) - torch.from_numpy(problem.observed)) * 0.1).flatten()]
        for mean in (p.rotations, p.predicted):
            parts.append(torch_log(torch.from_numpy(mean).transpose(1, 2) @ rotations).flatten() / 2.0)
        parts.append((translation - torch.from_numpy(p.translation)) / 0.3)
        return torch.cat([*parts, betas])

    jacobian = torch.func.jacfwd(residuals)
    found = least_squares(
        lambda m: residuals(torch.from_numpy(m)).numpy(),
        np.zeros(POSE + S),
        jac=lambda m: jacobian(torch.from_numpy(m)).numpy(),
        method="lm",
        max_nfev=10,
    )
    rotations, translation, betas, _, cost, _ = problem.run(12)
    expected_rotations, expected_translation, expected_betas = (
        a.numpy() for a in moved(problem, torch.from_numpy(found.x))
    )
    away = Rotation.from_matrix(np.swapaxes(expected_rotations, 1, 2) @ rotations).magnitude()
    assert np.degrees(away).max() < 0.2
    np.testing.assert_allclose(translation, expected_translation, atol=2e-3)
    np.testing.assert_allclose(betas, expected_betas, atol=0.02)
    assert cost <= 2 * found.cost * 1.001


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("start_off", [0.1, 0.6])
def test_more_steps_never_cost_more_and_two_do_most_of_it(points: BodyPoints, seed: int, start_off: float) -> None:
    problem = make(points, seed, start_off=start_off, feet=(0.0, 0.0))
    costs = [problem.run(k)[4] for k in range(8)]
    assert all(b <= a for a, b in pairwise(costs))
    assert costs[0] == pytest.approx(problem.cost())
    if start_off < 0.2:
        assert costs[2] - costs[7] < 0.2 * (costs[0] - costs[7])


@pytest.mark.parametrize("seed", range(4))
def test_the_keypoints_are_met(points: BodyPoints, seed: int) -> None:
    problem = make(points, seed)
    rotations, translation, betas, _, _, residuals = problem.run(6)
    seen, _, _ = place(points, rotations, translation, betas)
    assert np.median(np.linalg.norm(image(seen) - problem.observed, axis=1)) < 4.0
    off = image(seen) - problem.observed
    away = np.einsum("na,nab,nb->n", off, problem.precision[:, [0, 1, 1, 2]].reshape(-1, 2, 2), off)
    np.testing.assert_allclose(residuals, np.sqrt(away), rtol=1e-9)


def test_no_steps_give_the_start_back(points: BodyPoints) -> None:
    problem = make(points, 9)
    rotations, translation, betas, *_ = problem.run(0)
    np.testing.assert_array_equal(rotations, problem.rotations)
    np.testing.assert_array_equal(translation, problem.translation)
    np.testing.assert_array_equal(betas, problem.betas)


def test_the_answer_belongs_to_the_cost(points: BodyPoints) -> None:
    """Whatever was tried last, what comes back are the best pose's own cost, Hessian and residuals."""
    for seed in range(6):
        problem = make(points, seed, start_off=0.7)
        rotations, translation, betas, information, cost, residuals = problem.run(3)
        again = replace(problem, rotations=rotations, translation=translation, betas=betas).run(0)
        assert again[4] == pytest.approx(cost, rel=1e-12)
        np.testing.assert_allclose(again[3], information, rtol=1e-10, atol=1e-9)
        np.testing.assert_allclose(again[5], residuals, rtol=1e-10)


def test_rotations_stay_rotations(points: BodyPoints) -> None:
    rotations = make(points, 10, start_off=0.5).run(30)[0]
    np.testing.assert_allclose(rotations @ np.swapaxes(rotations, 1, 2), np.tile(np.eye(3), (24, 1, 1)), atol=1e-10)


def test_the_start_is_not_written_to_and_twice_is_the_same(points: BodyPoints) -> None:
    problem = make(points, 11)
    kept = problem.rotations.copy(), problem.translation.copy(), problem.betas.copy()
    first, second = problem.run(3), problem.run(3)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(kept, (problem.rotations, problem.translation, problem.betas), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_held_shape_is_untouched(points: BodyPoints) -> None:
    problem = make(points, 12)
    problem.betas[:] = np.linspace(-1, 1, S)
    np.testing.assert_array_equal(problem.run(5, free_shape=False)[2], problem.betas)
    assert np.abs(problem.run(5, free_shape=True)[2] - problem.betas).max() > 1e-3


def test_one_wild_keypoint_hardly_matters(points: BodyPoints) -> None:
    for wild in (15, 25, 28):
        problem = make(points, 13, start_off=0.1)
        good = problem.run(5)[0]
        problem.observed[wild] += [300.0, -250.0]
        bad = problem.run(5)[0]
        blind = problem.precision.copy()
        blind[wild] = 0.0
        without = replace(problem, precision=blind).run(5)[0]
        assert np.degrees(Rotation.from_matrix(np.swapaxes(without, 1, 2) @ bad).magnitude()).max() < 1.5
        assert np.degrees(Rotation.from_matrix(np.swapaxes(good, 1, 2) @ bad).magnitude()).max() < 25


def test_a_keypoint_that_was_not_seen_says_nothing(points: BodyPoints) -> None:
    problem = make(points, 14)
    problem.precision[[3, 20]] = 0.0
    first = problem.run(3)
    problem.observed[[3, 20]] = 1e5
    for a, b in zip(first, problem.run(3), strict=True):
        np.testing.assert_array_equal(a, b)
    assert (first[5][[3, 20]] == 0).all()


def test_nothing_seen_leaves_the_priors_optimum(points: BodyPoints) -> None:
    problem = make(points, 15, start_off=0.1, feet=(0.0, 0.0))
    problem.precision[:] = 0.0
    problem = replace(problem, priors=problem.priors._replace(predicted=problem.priors.rotations))
    rotations, translation, _, _, cost, _ = problem.run(12)
    away = Rotation.from_matrix(np.swapaxes(problem.priors.rotations, 1, 2) @ rotations).magnitude()
    assert away.max() < 1e-4
    np.testing.assert_allclose(translation, problem.priors.translation, atol=1e-4)
    assert cost < 1e-6


@pytest.mark.parametrize("case", ["behind", "nothing known", "far away", "not a number"])
def test_hopeless_input_gives_finite_answers(points: BodyPoints, case: str) -> None:
    problem = make(points, 16)
    if case == "behind":
        problem.translation[2] = -2.0
    elif case == "nothing known":
        zero = np.zeros((JOINTS, 3))
        problem.precision[:] = 0.0
        problem = replace(
            problem,
            priors=problem.priors._replace(
                rotation_precision=zero, predicted_precision=zero, translation_precision=np.zeros(3)
            ),
        )
    elif case == "far away":
        problem.observed += 1e9
    else:
        problem.observed[4] = np.nan
    rotations, translation, betas, information, _, _ = problem.run(4)
    for array in (rotations, translation, betas, information):
        assert np.isfinite(array).all()


def test_a_standing_foot_is_laid_flat(points: BodyPoints) -> None:
    def lean(feet: tuple[float, float]) -> float:
        problem = make(points, 15, feet=feet)
        problem.precision[:] = 0.0
        rotations, translation, betas, *_ = problem.run(10)
        turn = place(points, rotations, translation, betas)[2][7]
        return float(np.degrees(np.arccos(turn[:, 1] @ problem.priors.up)))

    free, standing = lean((0.0, 0.0)), lean((1e4, 0.0))
    assert free > 8
    assert standing < 0.3 * free
