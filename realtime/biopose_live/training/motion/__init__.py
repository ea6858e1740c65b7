"""Motion capture in, poses of the body out: one reader per file format, retargeting, and the pose data set.

`python -m biopose_live.training.motion --source DIR --out poses.npz` makes the data set.
"""
