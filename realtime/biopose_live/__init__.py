"""biopose-live: one ordinary camera in, joint angles of an OpenSim-type skeleton out, in real time."""

__version__ = "0.1.0"
