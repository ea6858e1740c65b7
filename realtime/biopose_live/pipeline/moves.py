"""What a person does before the camera to be measured."""

from __future__ import annotations

from typing import NamedTuple


class Move(NamedTuple):
    """An instruction, to be followed for so many seconds of good frames."""

    instruction: str
    seconds: float


MOVES = (
    Move("Stand still, arms hanging, from head to feet in the picture", 3.0),
    Move("Walk on the spot, knees high", 6.0),
    Move("Turn a quarter to each side and back", 5.0),
    Move("Raise both arms forwards, then sideways, over the head", 6.0),
    Move("Squat slowly, two or three times", 6.0),
)
