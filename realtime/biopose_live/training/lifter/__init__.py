"""Trains the lifter (2D keypoints -> first guess of the pose) on synthetic poses: no image is involved."""
