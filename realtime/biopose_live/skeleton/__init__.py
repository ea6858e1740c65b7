"""The skeleton: OpenSim-format models, forward and inverse kinematics, bone scaling, OpenSim's motion files.

A plain NumPy/numba library. It knows nothing of cameras, networks or bodies' meshes and imports nothing of
``biopose_live`` except ``biopose_live.errors``.
"""
