"""Turns a recording (`--record`) into files of other programs: .mot, .trc, .osim, .c3d and .bvh, one set per person."""
