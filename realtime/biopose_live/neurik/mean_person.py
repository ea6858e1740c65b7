"""What holds for people on the whole: where the mean person's markers are in the skeleton's zero pose, and where each
virtual marker sits on its bone.

Letters: M virtual markers.  World: OpenSim's axes (x forward, y up, z right), m.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from biopose_live.body.model import BodyModel
from biopose_live.neurik.calibration import BODY_TO_GROUND, Calibrator
from biopose_live.neurik.observation import Observer
from biopose_live.skeleton.model import SkeletonModel


def standing_observer(body: BodyModel, model: SkeletonModel) -> Observer:
    """-> an observer that tells turns from the mean person's zero pose."""
    mean = np.zeros(body.n_shape)
    _, markers, _ = body.pose_markers(Calibrator(body, model).standing_pose(mean), mean, np.zeros(3))
    return Observer(body.marker_names, markers @ BODY_TO_GROUND.T)


def marker_places(
    body: BodyModel, model: SkeletonModel, people: int = 60
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """-> bodies (M,) and mean locations (M, 3) m in the unscaled bodies, over random shapes."""
    calibrator = Calibrator(body, model)
    rng = np.random.default_rng(0)
    places, bodies = [], np.zeros(0, np.int64)
    for _ in range(people):
        calibration = calibrator(rng.normal(size=(body.n_shape,)))
        bodies = calibration.marker_bodies
        places.append(calibration.marker_locations / calibration.scales[bodies])
    return bodies, np.mean(places, 0)
