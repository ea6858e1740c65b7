"""Colours of the drawings, RGB 0..255: left and right can be told apart with any colour vision (Okabe and Ito 2008)."""

from __future__ import annotations

Colour = tuple[int, int, int]

BACKGROUND: Colour = (18, 22, 28)
GRID: Colour = (52, 60, 72)
DIM: Colour = (140, 150, 164)
WHITE: Colour = (240, 243, 247)
LEFT: Colour = (86, 180, 233)
RIGHT: Colour = (240, 160, 30)
CENTRE: Colour = (225, 230, 236)
