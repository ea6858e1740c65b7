"""The 89 virtual markers: name, skeleton segment, whether it is a bony landmark, anatomical definition, Anny vertex.

A marker is one skin vertex of Anny's mesh (13,718 vertices), chosen by geometry on the mean adult (lines through joint
centres along anatomical axes) and checked by eye. Names follow gait-laboratory usage with a side letter first; bony
landmarks follow the definitions of the ISB recommendations (Wu et al. 2002, 2005). Segments are the bodies of the
24-segment skeleton. The vertex ids are part of the definition: changing one moves the zero of the joint angles that it
anchors.
"""

from __future__ import annotations

from typing import NamedTuple

from biopose_live.body.joints import JOINT_INDEX


class Marker(NamedTuple):
    """One virtual marker. `bony` tells a palpable landmark from a soft-tissue point; `anny_vertex` is an Anny id."""

    name: str
    segment: str
    bony: bool
    definition: str
    anny_vertex: int


MARKERS = (
    Marker("RASI", "pelvis", True, "right anterior superior iliac spine", 4302),
    Marker("RPSI", "pelvis", True, "right posterior superior iliac spine, at the skin dimple", 4376),
    Marker("RILC", "pelvis", True, "right most lateral point of the iliac crest", 4148),
    Marker("RGTR", "femur_r", True, "right greater trochanter, lateral, at the height of the hip centre", 4271),
    Marker("RLFC", "femur_r", True, "right lateral femoral epicondyle", 4595),
    Marker("RMFC", "femur_r", True, "right medial femoral epicondyle", 6388),
    Marker("RTH1", "femur_r", False, "right thigh cluster: front, mid length", 4463),
    Marker("RTH2", "femur_r", False, "right thigh cluster: outer side, at 60 % of the length", 4478),
    Marker("RTH3", "femur_r", False, "right thigh cluster: front and outer side, at 75 % of the length", 4522),
    Marker("RTTB", "tibia_r", True, "right tibial tuberosity", 4627),
    Marker("RFIB", "tibia_r", True, "right head of the fibula", 4630),
    Marker("RTB1", "tibia_r", False, "right shank cluster: shin, at 35 % of the length", 4710),
    Marker("RTB2", "tibia_r", False, "right shank cluster: outer side, mid length", 4746),
    Marker("RTB3", "tibia_r", False, "right shank cluster: shin, at 68 % of the length", 4760),
    Marker("RLMAL", "tibia_r", True, "right tip of the lateral malleolus", 6223),
    Marker("RMMAL", "tibia_r", True, "right tip of the medial malleolus", 6327),
    Marker("RCAL", "calcn_r", True, "right back of the heel, 3 cm above the sole", 5840),
    Marker("RMT1", "calcn_r", True, "right head of the first metatarsal, inner side", 5776),
    Marker("RMT5", "calcn_r", True, "right head of the fifth metatarsal, outer side", 6139),
    Marker("RMT2", "calcn_r", True, "right head of the second metatarsal, top of the foot", 6508),
    Marker("RTOE", "toes_r", False, "right tip of the big toe", 4917),
    Marker("RACR", "scapula_r", True, "right acromion, upper surface above the shoulder centre", 1546),
    Marker("RSCA", "scapula_r", True, "right inferior angle of the scapula", 1569),
    Marker("RUA1", "humerus_r", False, "right upper-arm cluster: outer side, at 45 % of the length", 1704),
    Marker("RUA2", "humerus_r", False, "right upper-arm cluster: front, at 60 % of the length", 1713),
    Marker("RUA3", "humerus_r", False, "right upper-arm cluster: back, at 60 % of the length", 1722),
    Marker("RLEL", "humerus_r", True, "right lateral epicondyle of the humerus", 3372),
    Marker("RMEL", "humerus_r", True, "right medial epicondyle of the humerus", 3395),
    Marker("ROLE", "ulna_r", True, "right tip of the olecranon", 3375),
    Marker("RULN", "ulna_r", True, "right ulnar styloid", 3874),
    Marker("RRAD", "radius_r", True, "right radial styloid", 3884),
    Marker("RFA1", "radius_r", False, "right forearm cluster: back (extensor side), at 40 % of the length", 3441),
    Marker("RFA2", "radius_r", False, "right forearm cluster: thumb side, at 60 % of the length", 3450),
    Marker("RFA3", "ulna_r", False, "right forearm cluster: little-finger side, at 60 % of the length", 3460),
    Marker("RH2", "hand_r", True, "right knuckle of the index finger, back of the hand", 3119),
    Marker("RH5", "hand_r", True, "right knuckle of the little finger, back of the hand", 3108),
    Marker("RHTH", "hand_r", False, "right knuckle of the thumb", 3623),
    Marker("RRIB", "thorax", False, "right front of the rib cage, below the breast", 4070),
    Marker("RFHD", "head", False, "right forehead, above the outer half of the brow", 715),
    Marker("RBHD", "head", False, "right back of the head, at the height of the forehead marker", 959),
    Marker("REAR", "head", False, "right most lateral point of the ear", 5423),
    Marker("LASI", "pelvis", True, "left anterior superior iliac spine", 10915),
    Marker("LPSI", "pelvis", True, "left posterior superior iliac spine, at the skin dimple", 10978),
    Marker("LILC", "pelvis", True, "left most lateral point of the iliac crest", 10773),
    Marker("LGTR", "femur_l", True, "left greater trochanter, lateral, at the height of the hip centre", 10885),
    Marker("LLFC", "femur_l", True, "left lateral femoral epicondyle", 11197),
    Marker("LMFC", "femur_l", True, "left medial femoral epicondyle", 12969),
    Marker("LTH1", "femur_l", False, "left thigh cluster: front, mid length", 11065),
    Marker("LTH2", "femur_l", False, "left thigh cluster: outer side, at 60 % of the length", 11080),
    Marker("LTH3", "femur_l", False, "left thigh cluster: front and outer side, at 75 % of the length", 11124),
    Marker("LTTB", "tibia_l", True, "left tibial tuberosity", 11229),
    Marker("LFIB", "tibia_l", True, "left head of the fibula", 11232),
    Marker("LTB1", "tibia_l", False, "left shank cluster: shin, at 35 % of the length", 11312),
    Marker("LTB2", "tibia_l", False, "left shank cluster: outer side, mid length", 11348),
    Marker("LTB3", "tibia_l", False, "left shank cluster: shin, at 68 % of the length", 11362),
    Marker("LLMAL", "tibia_l", True, "left tip of the lateral malleolus", 12804),
    Marker("LMMAL", "tibia_l", True, "left tip of the medial malleolus", 12908),
    Marker("LCAL", "calcn_l", True, "left back of the heel, 3 cm above the sole", 12421),
    Marker("LMT1", "calcn_l", True, "left head of the first metatarsal, inner side", 12357),
    Marker("LMT5", "calcn_l", True, "left head of the fifth metatarsal, outer side", 12720),
    Marker("LMT2", "calcn_l", True, "left head of the second metatarsal, top of the foot", 13088),
    Marker("LTOE", "toes_l", False, "left tip of the big toe", 11519),
    Marker("LACR", "scapula_l", True, "left acromion, upper surface above the shoulder centre", 8209),
    Marker("LSCA", "scapula_l", True, "left inferior angle of the scapula", 8231),
    Marker("LUA1", "humerus_l", False, "left upper-arm cluster: outer side, at 45 % of the length", 8360),
    Marker("LUA2", "humerus_l", False, "left upper-arm cluster: front, at 60 % of the length", 8369),
    Marker("LUA3", "humerus_l", False, "left upper-arm cluster: back, at 60 % of the length", 8378),
    Marker("LLEL", "humerus_l", True, "left lateral epicondyle of the humerus", 10024),
    Marker("LMEL", "humerus_l", True, "left medial epicondyle of the humerus", 10047),
    Marker("LOLE", "ulna_l", True, "left tip of the olecranon", 10027),
    Marker("LULN", "ulna_l", True, "left ulnar styloid", 10523),
    Marker("LRAD", "radius_l", True, "left radial styloid", 10533),
    Marker("LFA1", "radius_l", False, "left forearm cluster: back (extensor side), at 40 % of the length", 10093),
    Marker("LFA2", "radius_l", False, "left forearm cluster: thumb side, at 60 % of the length", 10102),
    Marker("LFA3", "ulna_l", False, "left forearm cluster: little-finger side, at 60 % of the length", 10112),
    Marker("LH2", "hand_l", True, "left knuckle of the index finger, back of the hand", 9771),
    Marker("LH5", "hand_l", True, "left knuckle of the little finger, back of the hand", 9760),
    Marker("LHTH", "hand_l", False, "left knuckle of the thumb", 10275),
    Marker("LRIB", "thorax", False, "left front of the rib cage, below the breast", 10706),
    Marker("LFHD", "head", False, "left forehead, above the outer half of the brow", 7422),
    Marker("LBHD", "head", False, "left back of the head, at the height of the forehead marker", 7641),
    Marker("LEAR", "head", False, "left most lateral point of the ear", 12006),
    Marker("C7", "thorax", True, "spinous process of the seventh cervical vertebra", 858),
    Marker("T10", "thorax", True, "spinous process of the tenth thoracic vertebra", 3944),
    Marker("L3", "lumbar", True, "spinous process of the third lumbar vertebra", 4132),
    Marker("SACR", "pelvis", True, "sacrum, between the posterior superior iliac spines", 4371),
    Marker("CLAV", "thorax", True, "jugular notch of the sternum, between the collar bones", 1528),
    Marker("STRN", "thorax", True, "sternum, lower third", 1876),
    Marker("THD", "head", False, "crown of the head", 881),
)

MARKER_INDEX = {marker.name: i for i, marker in enumerate(MARKERS)}

# SMPL joint that carries each segment. The scapulae ride on the collars; talus and calcaneus are one joint in SMPL, and
# so are ulna and radius, and the whole rib cage rides on the joint from which the collars start.
SEGMENT_JOINT = {
    "pelvis": JOINT_INDEX["pelvis"],
    "lumbar": JOINT_INDEX["spine1"],
    "thorax": JOINT_INDEX["spine3"],
    "head": JOINT_INDEX["head"],
    **{
        f"{segment}_{side[0]}": JOINT_INDEX[f"{side}_{joint}"]
        for side in ("left", "right")
        for segment, joint in (
            ("femur", "hip"),
            ("tibia", "knee"),
            ("talus", "ankle"),
            ("calcn", "ankle"),
            ("toes", "foot"),
            ("scapula", "collar"),
            ("humerus", "shoulder"),
            ("ulna", "elbow"),
            ("radius", "elbow"),
            ("hand", "wrist"),
        )
    },
}
