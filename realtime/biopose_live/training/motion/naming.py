"""Which joint of a capture skeleton moves which segment of the body: the common joint namings, matched by name.

Namings known here: Character Creator ("CC_Base_L_Thigh"), the CMU laboratory's BVH conversion and its relatives
("LeftUpLeg", also with a "mixamorig:" style prefix), and MakeHuman's default skeleton ("upperleg01.L").
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

# Body joint -> candidates, best first.  {S}: Left/Right, {s}: L/R.
_CENTRE = {
    "pelvis": ("CC_Base_Pelvis", "Hips", "root"),
    "spine3": ("CC_Base_Spine02", "Spine2", "Spine1", "spine01"),
    "neck": ("CC_Base_NeckTwist01", "Neck", "neck01"),
    "head": ("CC_Base_Head", "Head", "head"),
}
_SIDED = {
    "hip": ("CC_Base_{s}_Thigh", "{S}UpLeg", "upperleg01.{s}"),
    "knee": ("CC_Base_{s}_Calf", "{S}Leg", "lowerleg01.{s}"),
    "ankle": ("CC_Base_{s}_Foot", "{S}Foot", "foot.{s}"),
    "foot": ("CC_Base_{s}_ToeBase", "{S}ToeBase", "toe2-1.{s}"),
    "collar": ("CC_Base_{s}_Clavicle", "{S}Shoulder", "clavicle.{s}"),
    "shoulder": ("CC_Base_{s}_Upperarm", "{S}Arm", "upperarm01.{s}"),
    "elbow": ("CC_Base_{s}_Forearm", "{S}ForeArm", "lowerarm01.{s}"),
    # CMU's conversion splits the wrist: pronation in LeftHand, flexion in LeftFingerBase at the same place.
    "wrist": ("CC_Base_{s}_Hand", "{S}FingerBase", "{S}Hand", "wrist.{s}"),
    "hand": ("CC_Base_{s}_Mid1", "{S}HandMiddle1", "{S}HandIndex1", "finger3-1.{s}"),
}


def match(names: Sequence[str]) -> dict[str, str]:
    """Body joint -> the entry of `names` that plays its part; joints without one are left out."""
    bare = {name.rsplit(":", 1)[-1].casefold(): name for name in reversed(names)}

    def first(candidates: Iterable[str]) -> str | None:
        return next((bare[c.casefold()] for c in candidates if c.casefold() in bare), None)

    found = {joint: first(candidates) for joint, candidates in _CENTRE.items()}
    for side in ("Left", "Right"):
        for part, candidates in _SIDED.items():
            found[f"{side.lower()}_{part}"] = first(c.format(S=side, s=side[0]) for c in candidates)
    return {joint: name for joint, name in found.items() if name is not None}
