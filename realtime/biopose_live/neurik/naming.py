"""The names of the joint centres on the wire, shared by whoever fills `Person.joints` and whoever describes it."""

from __future__ import annotations

from biopose_live.skeleton.model import SkeletonModel

# The joints that every consumer may rely on, whatever the skeleton calls its own.
LIMB_NAMES = tuple(
    f"{joint}_{side}" for side in ("l", "r") for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
)


def joint_names(model: SkeletonModel) -> list[str]:
    """-> the model's joints in file order, then those of `LIMB_NAMES` that are not among them."""
    own = [joint.name for joint in model.joints]
    return own + [name for name in LIMB_NAMES if name not in own]
