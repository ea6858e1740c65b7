"""From the network's answer about a crop to evidence in the frame, and what the refinement makes of it."""

from __future__ import annotations

import numpy as np
import pytest

from biopose_live.body.model import BodyModel
from biopose_live.mqhmr.gravity import Gravity
from biopose_live.mqhmr.landmarks import Landmarks
from biopose_live.mqhmr.lifter import Lifter
from biopose_live.mqhmr.lite.evidence import MARGIN, PLACE_TRUST, SMALLEST_SIGMA_PX, Evidence, in_frame
from biopose_live.mqhmr.lite.network import Answer
from biopose_live.mqhmr.lite.observation import Estimate
from biopose_live.mqhmr.lite.points import POINTS
from biopose_live.mqhmr.person import PersonTrack
from biopose_live.mqhmr.person_crop import SIDE, Crop
from biopose_live.mqhmr.shape import ShapeEstimate
from lite_made_up import CAMERA, Person


def answer_at(places: np.ndarray, covariance: np.ndarray) -> Answer:
    return Answer(
        places.astype(np.float32),
        np.broadcast_to(covariance, (len(places), 2, 2)).astype(np.float32),
        np.ones(len(places), np.float32),
        np.zeros((24, 3), np.float32),
        np.full((24, 3), 0.1, np.float32),
    )


def test_places_and_covariances_are_carried_into_the_frame(body: BodyModel) -> None:
    """Against a cloud of points that is drawn in the crop and carried over one by one."""
    rng = np.random.default_rng(0)
    person = Person(body)
    crop = Crop(np.array([500.0, 300.0]), 420.0, 0.6)
    covariance = np.array([[4e-4, 1.5e-4], [1.5e-4, 1e-4]])
    places = rng.uniform(0.2, 0.8, (POINTS, 2))
    evidence = in_frame(answer_at(places, covariance), crop, person.estimate)
    np.testing.assert_allclose(evidence.places, crop.out_of(SIDE * places), atol=1e-3)
    grown = covariance + (SMALLEST_SIGMA_PX / SIDE) ** 2 * np.eye(2)
    cloud = crop.out_of(SIDE * rng.multivariate_normal(places[0], grown, 200_000))
    expected = PLACE_TRUST * np.linalg.inv(np.cov(cloud.T))
    found = evidence.precision[0][[0, 1, 1, 2]].reshape(2, 2)
    np.testing.assert_allclose(found, expected, rtol=0.03, atol=0.01 * np.abs(expected).max())


def test_points_far_outside_are_not_believed(body: BodyModel) -> None:
    places = np.full((POINTS, 2), 0.5)
    places[3] = [1.0 + 2 * MARGIN, 0.5]
    places[4] = [0.5, -0.9 * MARGIN]
    evidence = in_frame(
        answer_at(places, 1e-4 * np.eye(2)), Crop(np.array([5.0, 5.0]), 300.0, 0.0), Person(body).estimate
    )
    assert (evidence.precision[3] == 0).all()
    assert (evidence.precision[4] != 0).any()


def true_evidence(person: Person) -> Evidence:
    """What a perfect network would say."""
    answer = answer_at(person.places(), 1e-5 * np.eye(2))
    exact = Estimate(person.rotations, person.estimate.sigma, person.translation, person.betas)
    return in_frame(answer, person.crop, exact)


def track(body: BodyModel, betas: np.ndarray) -> PersonTrack:
    return PersonTrack(Lifter.load(), Landmarks(body), ShapeEstimate(10, *body.stature_near_mean(), None, betas))


@pytest.mark.parametrize("seed", range(3))
def test_good_evidence_brings_the_pose_nearer(body: BodyModel, seed: int) -> None:
    person = Person(body, seed)
    gravity = Gravity(0.0)
    looked_at = []

    def eyes(keypoints, scores, world):  # type: ignore[no-untyped-def]
        def look(estimate: Estimate) -> Evidence:
            looked_at.append(estimate)
            return true_evidence(person)

        return look

    args = (0.0, person.keypoints, person.scores, CAMERA, gravity, 4, person.world)
    blind, seeing = track(body, person.betas).update(*args), track(body, person.betas).update(*args, eyes)
    assert len(looked_at) == 1
    truth = person.points()

    def error(pose) -> float:  # type: ignore[no-untyped-def]
        got = person.points(Estimate(pose.rotations, pose.sigma, pose.translation, pose.betas))
        return float(np.linalg.norm(got - got.mean(0) - truth + truth.mean(0), axis=1).mean())

    assert error(seeing) < 0.02
    assert error(seeing) < 0.7 * error(blind)


def test_no_steps_leave_what_the_estimate_was(body: BodyModel) -> None:
    """K = 0: the network's corrected pose or the first guess, whichever explains the evidence, but no step."""
    person = Person(body)
    evidence = true_evidence(person)
    pose = track(body, person.betas).update(
        0.0, person.keypoints, person.scores, CAMERA, Gravity(0.0), 0, person.world, lambda *_: lambda _: evidence
    )
    np.testing.assert_allclose(pose.rotations, evidence.rotations)
