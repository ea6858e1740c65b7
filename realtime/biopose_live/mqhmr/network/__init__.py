"""MQ-HMR's image network in PyTorch (paper section 3.2) and the refinement of its query tokens (section 3.4).

Image or ready-made feature maps -> feature pyramid -> query tokens -> rotations, shape, camera, anatomical markers.
"""
