"""The published facts that the 24-body skeleton ``bsk24`` is made of, each with its source.

Generic subject: 1.70 m, 75 kg. Frames are OpenSim's: x forward, y up, z to the right; lengths in metres, angles in
degrees. Rows that name a side are for the right side; `bsk24.py` mirrors them. A source key refers to `SOURCES`;
``choice`` marks a value that is ours (how a published whole is split, a limit that leaves room for athletes).
"""

from __future__ import annotations

from dataclasses import dataclass

HEIGHT = 1.70
MASS = 75.0

SOURCES: dict[str, str] = {
    "wu2002": "Wu et al. 2002, ISB recommendation part I: ankle, hip and spine, J Biomech 35:543-548",
    "wu2005": "Wu et al. 2005, ISB recommendation part II: shoulder, elbow, wrist and hand, J Biomech 38:981-992",
    "harrington2007": "Harrington et al. 2007, Prediction of the hip joint centre, J Biomech 40:595-602",
    "walker1988": "Walker et al. 1988, Knee brace hinge design and placement, J Biomech 21:965-974",
    "baker2001": "Baker 2001, Pelvic angles: a mathematically rigorous definition, Gait Posture 13:1-6",
    "delp1990": "Delp et al. 1990, An interactive graphics-based model of the lower extremity, IEEE TBME 37:757-767",
    "holzbaur2005": "Holzbaur et al. 2005, A model of the upper extremity, Ann Biomed Eng 33:829-840",
    "rajagopal2016": "Rajagopal et al. 2016, Full-body musculoskeletal model, IEEE TBME 63:2068-2079",
    "deleva1996": "de Leva 1996, Adjustments to Zatsiorsky-Seluyanov's inertia parameters, J Biomech 29:1223-1230",
    "ansur2": "Gordon et al. 2014, 2012 Anthropometric Survey of U.S. Army Personnel (ANSUR II), NATICK/TR-15/007",
    "aaos1965": "American Academy of Orthopaedic Surgeons 1965, Joint Motion: Method of Measuring and Recording",
    "youdas1992": "Youdas et al. 1992, Normal range of motion of the cervical spine, Phys Ther 72:770-780",
    "ludewig2004": "Ludewig et al. 2004, Three-dimensional clavicular motion during arm elevation, JOSPT 34:140-149",
    "braman2009": "Braman et al. 2009, In vivo assessment of scapulohumeral rhythm, J Shoulder Elbow Surg 18:960-967",
    "choice": "our choice, explained where it is used",
}

# Which of those numbers were held against a second, independent transcription, and what came of it. A source that is
# not named here has not been checked so.
CHECKED: dict[str, str] = {
    "deleva1996": "every length, mass, mass centre and radius against a public transcription of table 4: equal",
    "harrington2007": "the six coefficients against four public implementations: equal. They hold in the plane through"
    " ASIS and PSIS, which slopes by 5.9 degrees in this pelvis' frame; read in that plane the hip centre would lie 8"
    " mm further back and 6 mm higher, 11 mm from rajagopal2016's instead of 3. Kept for that agreement",
    "delp1990": "ankle, subtalar and MTP axes and offsets against Rajagopal2015.osim and LaiUhlrich2022.osim: equal as"
    " rounded here",
    "holzbaur2005": "elbow and radioulnar axes and offsets against the same two files: equal as rounded here",
    "rajagopal2016": "Rajagopal2015.osim: L5/S1 within 2 mm, hip centre within 4 mm; masses of the arms' bodies equal"
    " to 0.0001 of the whole, those of pelvis and legs not (up to 0.045), as that model takes them from another table",
    "aaos1965": "shoulder, elbow, forearm and wrist against a textbook's table of normal values: equal",
    "ludewig2004": "against the abstract: elevation 11 to 15, retraction 15 to 29, backward rotation 15 to 31 degrees",
}

# --- lengths ------------------------------------------------------------------------------------------------------
# de Leva 1996, table 4, men: joint centre to joint centre, for the stature of the sample that he adjusted.
DELEVA_STATURE = 1.741
DELEVA_LENGTHS = {
    "thigh": 0.4222,  # hip to knee centre
    "shank": 0.4340,  # knee centre to lateral malleolus
    "upper_arm": 0.2817,  # shoulder to elbow centre
    "forearm": 0.2689,  # elbow to wrist centre
    "hand": 0.0862,  # wrist centre to third metacarpal head
    "foot": 0.2581,  # heel to tip of the longest toe
    "head": 0.2033,  # vertex to the gonion level
    "upper_trunk": 0.1707,  # suprasternale to xiphion
    "middle_trunk": 0.2155,  # xiphion to omphalion
    "lower_trunk": 0.1457,  # omphalion to mid-hip
}

# Pelvis of the generic subject: distance between the ASIS, and from mid-ASIS to mid-PSIS, on bone. Chosen so that
# Harrington's regression puts the hips where the widely used OpenSim models have them (rajagopal2016).
PELVIS_WIDTH = 0.220
PELVIS_DEPTH = 0.190


def hip_centre(width: float = PELVIS_WIDTH, depth: float = PELVIS_DEPTH) -> tuple[float, float, float]:
    """Right hip centre (m) from the mid-ASIS point: harrington2007, equations for x, y and z from width and depth."""
    return -0.24 * depth - 0.0099, -0.30 * width - 0.0109, 0.33 * width + 0.0073


# --- joints -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rotation:
    """One coordinate: its axis in the joint frame (right side), model limits and published active range (degrees).

    ``source`` is that of the published range.
    """

    coordinate: str
    axis: tuple[float, float, float]
    limits: tuple[float, float]
    published: tuple[float, float] | None
    source: str
    clamped: bool = True


@dataclass(frozen=True)
class JointRow:
    """One joint: child body, parent body, centre in the parent frame (m; right side), rotations in order.

    ``source`` is that of the centre, and of the axes where a comment names no other.
    """

    name: str
    child: str
    parent: str
    centre: tuple[float, float, float]
    source: str
    rotations: tuple[Rotation, ...]
    paired: bool = False


_X, _Y, _Z = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
_THIGH = DELEVA_LENGTHS["thigh"] / DELEVA_STATURE * HEIGHT
_SHANK = DELEVA_LENGTHS["shank"] / DELEVA_STATURE * HEIGHT
_UPPER_ARM = DELEVA_LENGTHS["upper_arm"] / DELEVA_STATURE * HEIGHT
_FOREARM = DELEVA_LENGTHS["forearm"] / DELEVA_STATURE * HEIGHT
ANKLE_HEIGHT = 0.0420  # delp1990: talus origin above the calcaneus origin, which lies at sole level behind the heel

JOINTS: tuple[JointRow, ...] = (
    # Order rotation-list-tilt (baker2001) keeps tilt and list about the pelvis' own axes at every heading.
    JointRow(
        "ground_pelvis",
        "pelvis",
        "ground",
        (0.0, 0.0, 0.0),
        "baker2001",
        (
            Rotation("pelvis_rotation", _Y, (-180, 180), None, "choice", clamped=False),
            Rotation("pelvis_list", _X, (-90, 90), None, "choice"),
            Rotation("pelvis_tilt", _Z, (-180, 180), None, "choice", clamped=False),
        ),
    ),
    # Lumbosacral and thoracolumbar joints share the published range of the thoracolumbar spine (aaos1965: flexion 80,
    # extension 25, bending 35, rotation 45); rotation belongs mostly to the upper one.
    JointRow(
        "lumbar",
        "lumbar",
        "pelvis",
        (-0.1000, 0.0800, 0.0),
        "rajagopal2016",
        (
            Rotation("lumbar_extension", _Z, (-55, 30), (-80, 25), "aaos1965"),
            Rotation("lumbar_bending", _X, (-30, 30), (-35, 35), "aaos1965"),
            Rotation("lumbar_rotation", _Y, (-20, 20), (-45, 45), "aaos1965"),
        ),
    ),
    JointRow(
        "thorax",
        "thorax",
        "lumbar",
        (-0.0050, 0.1350, 0.0),
        "choice",
        (
            Rotation("thorax_extension", _Z, (-45, 30), (-80, 25), "aaos1965"),
            Rotation("thorax_bending", _X, (-30, 30), (-35, 35), "aaos1965"),
            Rotation("thorax_rotation", _Y, (-40, 40), (-45, 45), "aaos1965"),
        ),
    ),
    JointRow(
        "neck",
        "head",
        "thorax",
        (0.0050, 0.2720, 0.0),
        "ansur2",  # cervicale height about 0.86 of stature; the joint lies in front of and just below it
        (
            Rotation("head_extension", _Z, (-70, 80), (-60, 75), "youdas1992"),
            Rotation("head_bending", _X, (-50, 50), (-45, 45), "youdas1992"),
            Rotation("head_rotation", _Y, (-85, 85), (-80, 80), "youdas1992"),
        ),
    ),
    JointRow(
        "hip",
        "femur",
        "pelvis",
        hip_centre(),
        "harrington2007",
        (
            Rotation("hip_flexion", _Z, (-40, 140), (-30, 120), "aaos1965"),
            Rotation("hip_adduction", _X, (-70, 45), (-45, 30), "aaos1965"),
            Rotation("hip_rotation", _Y, (-60, 60), (-45, 45), "aaos1965"),
        ),
        paired=True,
    ),
    # One hinge: walker1988 finds that internal rotation and adduction follow flexion passively by up to about 20 and 5
    # degrees; surface markers do not see that coupling, so it is left out.
    JointRow(
        "knee",
        "tibia",
        "femur",
        (0.0, -_THIGH, 0.0),
        "deleva1996",
        (Rotation("knee_angle", (0.0, 0.0, -1.0), (-10, 155), (0, 135), "aaos1965"),),
        paired=True,
    ),
    # Axis: delp1990.
    JointRow(
        "ankle",
        "talus",
        "tibia",
        (-0.0100, -_SHANK, 0.0),
        "deleva1996",
        (Rotation("ankle_angle", (-0.105014, -0.174022, 0.979126), (-60, 45), (-50, 20), "aaos1965"),),
        paired=True,
    ),
    JointRow(
        "subtalar",
        "calcn",
        "talus",
        (-0.0488, -ANKLE_HEIGHT, 0.0079),
        "delp1990",
        (Rotation("subtalar_angle", (0.787180, 0.604747, -0.120949), (-30, 40), (-15, 35), "aaos1965"),),
        paired=True,
    ),
    JointRow(
        "mtp",
        "toes",
        "calcn",
        (0.1788, -0.0020, 0.0011),
        "delp1990",
        (Rotation("mtp_angle", (0.580954, 0.0, -0.813936), (-70, 45), (-70, 45), "aaos1965"),),
        paired=True,
    ),
    # The girdle turns as one piece about the sternoclavicular joint (wu2005: protraction, elevation, axial rotation of
    # the clavicle). Published: the largest mean motion in raising the arm (ludewig2004); limits leave room for
    # shrugging and reaching forward, which that study does not cover.
    JointRow(
        "sternoclavicular",
        "scapula",
        "thorax",
        (0.0350, 0.2120, 0.0220),
        "ansur2",  # suprasternale height about 0.817 of stature
        (
            Rotation("scapula_abduction", _Y, (-30, 30), (-29, 0), "ludewig2004"),
            Rotation("scapula_elevation", (-1.0, 0.0, 0.0), (-15, 40), (0, 15), "ludewig2004"),
            Rotation("scapula_upward_rot", _Z, (-20, 40), (0, 31), "ludewig2004"),
        ),
        paired=True,
    ),
    JointRow(
        "shoulder",
        "humerus",
        "scapula",
        (-0.0300, -0.0200, 0.1460),
        "ansur2",  # acromial height 0.82, biacromial breadth 0.236 of stature; joint about 35 mm below the acromion
        (
            Rotation("arm_flex", _Z, (-100, 200), (-60, 180), "aaos1965"),
            Rotation("arm_add", _X, (-190, 80), (-180, 75), "aaos1965"),
            Rotation("arm_rot", _Y, (-150, 150), (-90, 70), "aaos1965"),
        ),
        paired=True,
    ),
    JointRow(
        "elbow",
        "ulna",
        "humerus",
        (0.0130, -_UPPER_ARM, -0.0096),
        "holzbaur2005",
        (Rotation("elbow_flex", (0.226047, 0.022269, 0.973862), (-10, 160), (0, 150), "aaos1965"),),
        paired=True,
    ),
    JointRow(
        "radioulnar",
        "radius",
        "ulna",
        (-0.0067, -0.0130, 0.0261),
        "holzbaur2005",
        (Rotation("pro_sup", (0.056398, 0.998406, 0.001952), (-20, 170), (0, 160), "aaos1965"),),
        paired=True,
    ),
    JointRow(
        "wrist",
        "hand",
        "radius",
        (-0.0088, -(_FOREARM - 0.0130), 0.0136),
        "holzbaur2005",
        (
            Rotation("wrist_flex", _Z, (-85, 90), (-70, 80), "aaos1965"),
            Rotation("wrist_dev", _X, (-30, 45), (-20, 30), "aaos1965"),
        ),
        paired=True,
    ),
)

# --- masses -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MassRow:
    """Mass as a fraction of the body's, mass centre in the body frame (m), radii of gyration about x, y, z (m)."""

    body: str
    fraction: float
    centre: tuple[float, float, float]
    radii: tuple[float, float, float]
    source: str
    paired: bool = False


def _radii(length: str, sagittal: float, transverse: float, longitudinal: float) -> tuple[float, float, float]:
    """deleva1996 gives radii as fractions of a length about the sagittal (x), transverse (z), longitudinal (y) axes."""
    metres = DELEVA_LENGTHS[length] / DELEVA_STATURE * HEIGHT
    return sagittal * metres, longitudinal * metres, transverse * metres


# Fractions, centres and radii: deleva1996, table 4, men. Splits (choice): the scapulae take 1 % of body mass each out
# of the upper trunk; the forearm is halved between ulna and radius; the foot is shared 0.10 : 0.75 : 0.15.
MASSES: tuple[MassRow, ...] = (
    MassRow("pelvis", 0.1117, (-0.0650, -0.0216, 0.0), _radii("lower_trunk", 0.615, 0.551, 0.587), "deleva1996"),
    MassRow("lumbar", 0.1633, (0.0300, 0.1010, 0.0), _radii("middle_trunk", 0.482, 0.383, 0.468), "deleva1996"),
    MassRow("thorax", 0.1396, (0.0100, 0.1775, 0.0), _radii("upper_trunk", 0.716, 0.454, 0.659), "deleva1996"),
    MassRow("head", 0.0694, (0.0150, 0.1400, 0.0), _radii("head", 0.362, 0.376, 0.312), "deleva1996"),
    MassRow("femur", 0.1416, (0.0, -0.4095 * _THIGH, 0.0), _radii("thigh", 0.329, 0.329, 0.149), "deleva1996", True),
    MassRow("tibia", 0.0433, (0.0, -0.4459 * _SHANK, 0.0), _radii("shank", 0.255, 0.249, 0.103), "deleva1996", True),
    MassRow("talus", 0.00137, (0.0, 0.0, 0.0), (0.0200, 0.0200, 0.0200), "choice", True),
    MassRow("calcn", 0.010275, (0.0950, 0.0250, 0.0), (0.0300, 0.0600, 0.0600), "choice", True),
    MassRow("toes", 0.002055, (0.0300, 0.0050, -0.0100), (0.0250, 0.0300, 0.0200), "choice", True),
    MassRow("scapula", 0.0100, (-0.0800, -0.0300, 0.1000), (0.0600, 0.0600, 0.0600), "choice", True),
    MassRow(
        "humerus",
        0.0271,
        (0.0, -0.5772 * _UPPER_ARM, 0.0),
        _radii("upper_arm", 0.285, 0.269, 0.158),
        "deleva1996",
        True,
    ),
    MassRow(
        "ulna", 0.0081, (0.0, -0.4574 * _FOREARM, 0.0100), _radii("forearm", 0.276, 0.265, 0.121), "deleva1996", True
    ),
    MassRow(
        "radius", 0.0081, (0.0, -0.4080 * _FOREARM, 0.0), _radii("forearm", 0.276, 0.265, 0.121), "deleva1996", True
    ),
    MassRow("hand", 0.0061, (0.0, -0.0665, 0.0), _radii("hand", 0.628, 0.513, 0.401), "deleva1996", True),
)

# --- bony landmarks -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LandmarkRow:
    """A palpable point on the skin over a bone: location in the body frame (m; right side)."""

    name: str
    body: str
    location: tuple[float, float, float]
    meaning: str
    paired: bool = True


# Named and defined after wu2002 and wu2005; widths from ansur2, the rest placed on the skeleton above (choice).
LANDMARKS: tuple[LandmarkRow, ...] = (
    LandmarkRow("ASI", "pelvis", (0.0, 0.0, PELVIS_WIDTH / 2), "anterior superior iliac spine"),
    # 5.9 degrees above the ASIS: the inclination that Rajagopal2015's pelvis frame has between its RASI and RPSI
    # markers, so that zero pelvis tilt means here what it means there.
    LandmarkRow("PSI", "pelvis", (-PELVIS_DEPTH, 0.0197, 0.0480), "posterior superior iliac spine"),
    LandmarkRow("ILC", "pelvis", (-0.0600, 0.0550, 0.1450), "top of the iliac crest"),
    LandmarkRow("GTR", "femur", (-0.0050, -0.0050, 0.0850), "greater trochanter"),
    LandmarkRow("LFC", "femur", (0.0, -_THIGH, 0.0520), "lateral femoral epicondyle"),
    LandmarkRow("MFC", "femur", (0.0, -_THIGH, -0.0520), "medial femoral epicondyle"),
    LandmarkRow("LMAL", "tibia", (-0.0150, -_SHANK - 0.0080, 0.0400), "lateral malleolus"),
    LandmarkRow("MMAL", "tibia", (-0.0050, -_SHANK + 0.0080, -0.0360), "medial malleolus"),
    LandmarkRow("CAL", "calcn", (-0.0150, 0.0250, 0.0), "back of the heel"),
    LandmarkRow("MT1", "calcn", (0.1820, 0.0150, -0.0400), "first metatarsal head"),
    LandmarkRow("MT5", "calcn", (0.1350, 0.0080, 0.0550), "fifth metatarsal head"),
    LandmarkRow("TOE", "toes", (0.0600, 0.0080, -0.0150), "tip of the longest toe"),
    LandmarkRow("ACR", "scapula", (-0.0350, 0.0180, 0.1600), "acromion"),
    LandmarkRow("SCA", "scapula", (-0.1450, -0.1350, 0.0850), "inferior angle of the scapula"),
    LandmarkRow("LEL", "humerus", (0.0050, -_UPPER_ARM, 0.0290), "lateral epicondyle of the humerus"),
    LandmarkRow("MEL", "humerus", (0.0150, -_UPPER_ARM, -0.0400), "medial epicondyle of the humerus"),
    LandmarkRow("OLE", "ulna", (-0.0280, 0.0050, 0.0), "olecranon"),
    LandmarkRow("RAD", "radius", (-0.0080, -(_FOREARM - 0.0180), 0.0400), "radial styloid"),
    LandmarkRow("ULN", "radius", (-0.0120, -(_FOREARM - 0.0200), -0.0170), "ulnar styloid, with the radius"),
    LandmarkRow("H2", "hand", (-0.0100, -0.0850, 0.0270), "second metacarpal head"),
    LandmarkRow("H5", "hand", (-0.0080, -0.0750, -0.0330), "fifth metacarpal head"),
    LandmarkRow("FHD", "head", (0.1000, 0.2000, 0.0550), "side of the forehead"),
    LandmarkRow("BHD", "head", (-0.0700, 0.1950, 0.0550), "side of the back of the head"),
    LandmarkRow("EAR", "head", (0.0150, 0.1350, 0.0720), "tragus"),
    LandmarkRow("C7", "thorax", (-0.0550, 0.2850, 0.0), "spinous process of the 7th cervical vertebra", False),
    LandmarkRow("T10", "thorax", (-0.0750, 0.0500, 0.0), "spinous process of the 10th thoracic vertebra", False),
    LandmarkRow("CLAV", "thorax", (0.0500, 0.2150, 0.0), "deepest point of the incisura jugularis", False),
    LandmarkRow("STRN", "thorax", (0.1050, 0.0700, 0.0), "xiphoid process", False),
    LandmarkRow("L3", "lumbar", (-0.0700, 0.0700, 0.0), "spinous process of the 3rd lumbar vertebra", False),
    LandmarkRow("THD", "head", (0.0150, 0.2600, 0.0), "top of the head", False),
)
