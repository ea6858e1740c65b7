"""Reads biopose-live's public ZeroMQ stream.  Needs pyzmq and msgspec only.

    from biopose_client import connect

    for frame in connect("tcp://127.0.0.1:5556"):
        for person in frame.people:
            print(frame.seq, person.id, person.angle("knee_angle_r"))

`python -m biopose_client` shows the stream as a live table.
"""

from .frame import Frame, TrackedPerson
from .schema import Health, Meta, Pose, SchemaError
from .stream import DEFAULT_ADDRESS, NothingReceived, Stream, connect

__all__ = [
    "DEFAULT_ADDRESS",
    "Frame",
    "Health",
    "Meta",
    "NothingReceived",
    "Pose",
    "SchemaError",
    "Stream",
    "TrackedPerson",
    "connect",
]
