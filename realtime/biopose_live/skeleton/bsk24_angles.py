"""What the angles of ``bsk24`` mean, as facts that can be checked, and the document that says so (``docs/angles.md``).

Signs, axes and orders are read from the table in `bsk24_table`; the words, and how each joint relates to the
International Society of Biomechanics' recommendations (wu2002, wu2005), stand here. Every direction names a marker and
where it goes when the coordinate grows from zero; every singular pose names the coordinate and its value.
"""

from __future__ import annotations

from dataclasses import dataclass

from .bsk24_table import JOINTS, SOURCES, JointRow, Rotation


@dataclass(frozen=True)
class Direction:
    """A coordinate's positive sense in words, and how to see it: ``marker`` moves ``towards`` when the angle grows.

    Rows that name a side are for the right one: outwards is to the right.
    """

    words: str
    marker: str
    towards: str


@dataclass(frozen=True)
class Relation:
    """How a joint's angles relate to the ISB's: one word for the table, then the explanation."""

    verdict: str
    words: str


# Where "towards" points, in ground at the zero pose: x forward, y up, z to the subject's right.
TOWARDS: dict[str, tuple[int, int]] = {
    "forward": (0, 1),
    "backward": (0, -1),
    "up": (1, 1),
    "down": (1, -1),
    "outwards": (2, 1),
    "inwards": (2, -1),
    "right": (2, 1),
}

DIRECTIONS: dict[str, Direction] = {
    "pelvis_rotation": Direction("the right side comes forward: a turn to the left", "RASI", "forward"),
    "pelvis_list": Direction("the left side rises", "LASI", "up"),
    "pelvis_tilt": Direction("the pelvis tips backward (posterior tilt): its back sinks", "RPSI", "down"),
    "lumbar_extension": Direction("the trunk leans backward", "C7", "backward"),
    "lumbar_bending": Direction("the trunk bends to the right", "C7", "right"),
    "lumbar_rotation": Direction("the right shoulder comes forward: a turn to the left", "RACR", "forward"),
    "thorax_extension": Direction("the chest leans backward", "C7", "backward"),
    "thorax_bending": Direction("the chest bends to the right", "C7", "right"),
    "thorax_rotation": Direction("the right shoulder comes forward: a turn to the left", "RACR", "forward"),
    "head_extension": Direction("the head tips backward", "THD", "backward"),
    "head_bending": Direction("the head bends to the right", "THD", "right"),
    "head_rotation": Direction("the face turns to the left", "RFHD", "forward"),
    "hip_flexion": Direction("the thigh swings forward", "RLFC", "forward"),
    "hip_adduction": Direction("the thigh swings inwards", "RLFC", "inwards"),
    "hip_rotation": Direction("the thigh turns inwards (internal rotation): the toes come in", "RTOE", "inwards"),
    "knee_angle": Direction("the knee bends: the heel swings back", "RCAL", "backward"),
    "ankle_angle": Direction("dorsiflexion: the toes rise", "RTOE", "up"),
    "subtalar_angle": Direction("inversion: the sole turns inwards", "RMT5", "inwards"),
    "mtp_angle": Direction("the toes bend down", "RTOE", "down"),
    "scapula_abduction": Direction("the shoulder comes forward (protraction)", "RACR", "forward"),
    "scapula_elevation": Direction("the shoulder rises", "RACR", "up"),
    "scapula_upward_rot": Direction(
        "the girdle rolls backward about the line from the breastbone to the shoulder, as when the arm is raised: the"
        " lower tip of the shoulder blade swings forward round the ribs",
        "RSCA",
        "forward",
    ),
    "arm_flex": Direction("the arm swings forward", "RLEL", "forward"),
    "arm_add": Direction("the arm swings inwards", "RLEL", "inwards"),
    "arm_rot": Direction("internal rotation: the outer side of the elbow turns forward", "RLEL", "forward"),
    "elbow_flex": Direction("the elbow bends: the forearm comes forward", "RRAD", "forward"),
    "pro_sup": Direction("pronation: from palm forward (zero) the thumb's side turns forward", "RRAD", "forward"),
    "wrist_flex": Direction("the hand bends towards the palm", "RH2", "forward"),
    "wrist_dev": Direction("the hand bends towards the little finger (ulnar deviation)", "RH2", "inwards"),
}

# Middle rotation of three, degrees at which the outer two turn about one line, and what that looks like. A joint of one
# or two rotations about different lines has no such pose.
SINGULAR: dict[str, tuple[str, float, str]] = {
    "ground_pelvis": ("pelvis_list", 90.0, "lying on a side"),
    "lumbar": ("lumbar_bending", 90.0, "the trunk bent sideways to the horizontal, out of range"),
    "thorax": ("thorax_bending", 90.0, "the chest bent sideways to the horizontal, out of range"),
    "neck": ("head_bending", 90.0, "the ear beyond the shoulder, out of range"),
    "hip": ("hip_adduction", -90.0, "the thigh straight out to the side, out of range"),
    "sternoclavicular": ("scapula_elevation", 90.0, "the shoulder above the breastbone, out of range"),
    "shoulder": ("arm_add", -90.0, "the arm straight out to the side: the T-pose"),
}

RELATIONS: dict[str, Relation] = {
    "ground_pelvis": Relation(
        "no ISB order",
        "wu2002 defines the pelvis' frame but no order of turns in the room. Rotation, then list, then tilt (baker2001)"
        " keeps list and tilt about the pelvis' own axes at every heading. The frame is that of the usual OpenSim"
        " models, not wu2002's: the plane through ASIS and PSIS slopes forward by 5.9° at zero tilt, so wu2002's"
        " anterior tilt is 5.9° − `pelvis_tilt`.",
    ),
    "lumbar": Relation(
        "same order and signs",
        "wu2002's spine system: z of the lower segment, then the floating axis, then y of the upper one; extension,"
        " bending to the right and turning to the left are positive. It describes one pair of vertebrae; here all of"
        " L1 to L5 moves as one segment upon the pelvis.",
    ),
    "thorax": Relation(
        "same order and signs",
        "As for `lumbar`; the ribcage moves as one segment upon L1. wu2005's thorax angles are relative to the room or"
        " the pelvis: the sum over both joints, not this one alone.",
    ),
    "neck": Relation(
        "same order and signs",
        "As for `lumbar`, with the whole neck as one joint at C7/T1.",
    ),
    "hip": Relation(
        "same, with an offset",
        "wu2002's hip: z of the pelvis, floating axis, y of the femur; flexion, adduction and internal rotation are"
        " positive. The femur's frame is wu2002's. Because of the pelvis' frame, wu2002's flexion is"
        " `hip_flexion` + 5.9°.",
    ),
    "knee": Relation(
        "flexion only",
        "Grood and Suntay's flexion, positive as clinicians count it. Their adduction, axial rotation and translations"
        " are held at zero: walker1988 finds that they follow flexion by up to 5° and 20°, which markers on the skin"
        " cannot see.",
    ),
    "ankle": Relation(
        "other axes",
        "wu2002 describes the foot against the shank by three angles about orthogonal axes. Here the foot turns about"
        " the two oblique lines of the bones (delp1990), so `ankle_angle` and `subtalar_angle` are not wu2002's"
        " dorsiflexion and inversion; signs agree and, near zero, dorsiflexion agrees to the cosine of 12°.",
    ),
    "subtalar": Relation("other axes", "See `ankle_angle`."),
    "mtp": Relation("not covered", "The ISB recommends nothing for the toes. One oblique hinge (delp1990)."),
    "sternoclavicular": Relation(
        "same order, elevation reversed",
        "wu2005 turns the clavicle about y, x, z with protraction, depression and backward rotation positive; here"
        " elevation is positive. wu2005's third axis lies along the clavicle, here it is parallel to the thorax' z at"
        " zero. The whole girdle turns as one piece: wu2005's scapula angles (y, x, z at the acromioclavicular joint)"
        " have no counterpart.",
    ),
    "shoulder": Relation(
        "other order",
        "wu2005 turns the humerus about y, x, y (plane of elevation, elevation, axial rotation), which is singular with"
        " the arm hanging, where people are most of the time, and which OpenSim refuses as three rotations of one joint"
        " because two of its axes coincide at zero. The usual OpenSim models turn about z, x, y, and so does this one:"
        " orientations agree, the three numbers do not. The humerus' frame is wu2005's.",
    ),
    "elbow": Relation(
        "same signs",
        "wu2005's elbow: flexion and pronation positive, zero with the forearm in line and the palm forward. Its two"
        " lines are the bones' own, slightly oblique (holzbaur2005), so the carrying angle is built in and not a"
        " coordinate.",
    ),
    "radioulnar": Relation("same signs", "See `elbow_flex`."),
    "wrist": Relation(
        "same order and signs",
        "wu2005's wrist: flexion, then ulnar deviation positive. Its third angle, the hand's rotation about its length,"
        " is held at zero.",
    ),
}

_HEAD = """# What the angles mean

Written by `python -m biopose_live.skeleton.bsk24 --angles docs/angles.md` from the tables of the skeleton; edit those,
not this file. A test keeps it up to date and tries every direction and every singular pose below on the model.

`bsk24` has {count} rotations and the three translations of the pelvis. Frames are OpenSim's: x forward, y up, z to the
subject's right. With every coordinate at zero the subject stands upright, feet forward, arms hanging, palms forward,
and every segment's frame is aligned with the ground's; the PSIS are then 5.9° above the ASIS. Angles are radians on the
wire and degrees in OpenSim's files. The table is for the right side; on the left equal numbers are the mirrored pose,
as the ISB recommends.

A joint of several coordinates turns by the first about its axis in the parent segment, then by the second about its own
axis as turned, then by the third. `axis` is that of the right side, in the parent segment's frame at zero.

## Singular poses

Three angles in a row have a pose where the first and the third turn about the same line: only their sum (or difference)
is defined there, each alone is not, and both can jump from one frame to the next although the body hardly moves. It is
where the middle angle is ±90°. For most joints that lies out of range; two matter in practice:

- **The shoulder in a T-pose** (`arm_add` = −90°, the arm held straight out to the side): `arm_flex` and `arm_rot` are
  then one and the same motion. Compare shoulders by the geodesic angle between orientations there; the one-sigma of
  both coordinates grows by itself.
- **The pelvis of somebody who lies on a side** (`pelvis_list` = ±90°): `pelvis_rotation` and `pelvis_tilt`.

## Every coordinate

ISB: the relation to the International Society of Biomechanics' recommendations in a word; the next section explains.
Range: the limits of inverse kinematics and of the network; published: the active range in the source named. Degrees.

| coordinate | joint | positive when | axis | ISB | range | published | singular pose | sources |
|---|---|---|---|---|---|---|---|---|
"""

_TAIL = """| `pelvis_tx`, `pelvis_ty`, `pelvis_tz` | ground_pelvis \
| mid-ASIS forward, up, right of the origin (m) | x, y, z \
| – | free | – | none | – |

## Relation to the ISB's recommendations

"""


def angles_document() -> str:
    """The text of ``docs/angles.md``."""
    rotations = sum(len(row.rotations) * (2 if row.paired else 1) for row in JOINTS)
    rows = [_row(joint, rotation) for joint in JOINTS for rotation in joint.rotations]
    relations = [
        f"- **{_joint_name(joint)}** ({RELATIONS[joint.name].verdict}). {RELATIONS[joint.name].words}"
        for joint in JOINTS
    ]
    used = {key for joint in JOINTS for key in (joint.source, *(rotation.source for rotation in joint.rotations))}
    prose = "\n".join([_HEAD, *relations])
    cited = [f"- `{key}`: {text}" for key, text in SOURCES.items() if key in used or key in prose]
    return (
        _HEAD.format(count=rotations)
        + "\n".join(rows)
        + "\n"
        + _TAIL
        + "\n".join(relations)
        + "\n\n## Sources\n\n"
        + "\n".join(cited)
        + "\n"
    )


def _row(joint: JointRow, rotation: Rotation) -> str:
    first = rotation is joint.rotations[0]
    name = f"`{rotation.coordinate}_r`, `_l`" if joint.paired else f"`{rotation.coordinate}`"
    low, high = rotation.limits
    reach = f"{low:g} … {high:g}" if rotation.clamped else "free"
    published = "–" if rotation.published is None else f"{rotation.published[0]:g} … {rotation.published[1]:g}"
    sources = dict.fromkeys([joint.source, *([rotation.source] if rotation.published is not None else [])])
    cells = [
        name,
        f"{joint.name} ({joint.parent} → {joint.child})" if first else joint.name,
        DIRECTIONS[rotation.coordinate].words,
        f"{1 + joint.rotations.index(rotation)}: {_axis(rotation.axis)}"
        if len(joint.rotations) > 1
        else _axis(rotation.axis),
        RELATIONS[joint.name].verdict,
        reach,
        published,
        _singular(joint),
        ", ".join(sources),
    ]
    return "| " + " | ".join(cells) + " |"


def _joint_name(joint: JointRow) -> str:
    return ", ".join(f"`{rotation.coordinate}`" for rotation in joint.rotations)


def _axis(axis: tuple[float, float, float]) -> str:
    for sign, mark in ((1.0, ""), (-1.0, "−")):
        for number, letter in enumerate("xyz"):
            if axis == tuple(sign * float(number == place) for place in range(3)):
                return mark + letter
    return "({:.3f}, {:.3f}, {:.3f})".format(*axis)


def _singular(joint: JointRow) -> str:
    if joint.name not in SINGULAR:
        return "none"
    coordinate, degrees, words = SINGULAR[joint.name]
    value = "±90°" if joint.name == "ground_pelvis" else f"{degrees:g}°".replace("-", "−")
    return f"`{coordinate}` = {value}: {words}"
