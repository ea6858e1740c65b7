"""Multi-scale deformable attention: the reference, and the kernels that are held against it."""
