"""From 2D keypoints to the body: the network's first guess and the 2D-informed refinement (paper sections 3.2, 3.4)."""
