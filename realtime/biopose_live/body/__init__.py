"""The parametric body: shape and pose to joints, virtual markers, image key points and surface, in SMPL's equations."""
