"""The names of the points in `Person.joints` on the wire, shared by whoever fills them and whoever describes them.

First the 24 bodies of the skeleton: the origin of each is the joint centre that it turns about (`femur_r` the hip,
`tibia_r` the knee, `humerus_r` the shoulder).  Then twelve limb points that carry the names of keypoints, because they
are what a keypoint detector means by them: MediaPipe's landmarks on the posed body, up to 3 cm from the joint centres
(its shoulder sits above the joint, its ankle above and in front).  They are the ones to draw on the picture and to
compare with keypoint data.
"""

from __future__ import annotations

from biopose_live.skeleton.model import SkeletonModel

LIMBS = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
LIMB_NAMES = tuple(f"{limb}_{side}" for side in ("l", "r") for limb in LIMBS)
_FIRST = {"shoulder": 11, "elbow": 13, "wrist": 15, "hip": 23, "knee": 25, "ankle": 27}
# The landmark of each limb point, in MediaPipe's order (left landmarks are odd, their right partners follow).
LIMB_LANDMARKS = tuple(_FIRST[limb] + (side == "r") for side in ("l", "r") for limb in LIMBS)


def joint_names(model: SkeletonModel) -> list[str]:
    """-> the model's bodies in its order, then `LIMB_NAMES`."""
    return [*model.body_names, *LIMB_NAMES]
