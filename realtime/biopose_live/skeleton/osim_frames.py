"""Finds the frames of a model file and resolves each to the body it sits on, through chains of offset frames."""

from __future__ import annotations

import numpy as np

from .model import GROUND, Frame, rotation_from_xyz
from .osim_values import Source
from .xml_tree import Element

MAX_FRAMES = 20000
MAX_CHAIN = 50
_HOLDERS = ("components", "frames", "objects")


class Frames:
    """The PhysicalOffsetFrames of a model, by their absolute paths."""

    def __init__(self, source: Source, model: Element, bodies: dict[str, int]) -> None:
        """``bodies`` gives the number of each body by name. Raises UserError."""
        self.source = source
        self.bodies = bodies
        self.offsets: dict[str, Element] = {}
        self.others: dict[str, str] = {}
        for tag, path in (("BodySet", "/bodyset"), ("JointSet", "/jointset"), ("ComponentSet", "/componentset")):
            for group in model.findall(tag):
                self._walk(group, path)
        for group in model.findall("components"):
            self._walk(group, "")
        for ground in model.findall("Ground"):
            self._walk(ground, "/ground")
        self.by_name: dict[str, list[str]] = {}
        for path in self.offsets:
            self.by_name.setdefault(path.rsplit("/", 1)[-1], []).append(path)

    def _walk(self, element: Element, path: str) -> None:
        for child in element:
            name = child.get("name")
            own = path if child.tag in _HOLDERS else f"{path}/{name or ''}"
            if child.tag == "PhysicalOffsetFrame":
                if len(self.offsets) >= MAX_FRAMES:
                    raise self.source.fail(own, f"is one of more than {MAX_FRAMES} frames", "give a smaller model")
                self.offsets[own] = child
            elif child.tag.endswith("Frame"):
                self.others[own] = child.tag
            if own == path or name is not None:
                self._walk(child, own)

    def resolve(self, path: str, base: str, where: str, chain: int = 0) -> tuple[int, Frame]:
        """The body, and the pose in it, of the frame that ``path`` (relative to component ``base``) names.

        ``where`` is the element that refers to it. Raises UserError.
        """
        if not path:
            raise self.source.fail(where, "names no frame to sit on")
        full, body = self._find(path, base, where)
        if body is not None:
            return body, Frame(np.zeros(3), np.eye(3))
        if chain >= MAX_CHAIN:
            shown = path[:80]
            raise self.source.fail(where, f"refers to the frame {shown!r}, whose parents go round in a circle")
        element = self.offsets[full]
        where = self.source.path(element, full)
        body, parent = self.resolve(self.source.text(element, "socket_parent"), full, where, chain + 1)
        translation = self.source.numbers(element, "translation", 3, where, "0 0 0")
        orientation = rotation_from_xyz(self.source.numbers(element, "orientation", 3, where, "0 0 0"))
        position = parent.position + parent.rotation @ translation
        # Scaling stretches every offset along the axes of the frame that it is written in.
        spread = None if self.is_body(parent) else parent.spread_matrix() + parent.rotation * translation
        return body, Frame(position, parent.rotation @ orientation, spread)

    def _find(self, path: str, base: str, where: str) -> tuple[str, int | None]:
        """The full path of an offset frame, or the number of a body."""
        kept: list[str] = []
        for word in (path if path.startswith("/") else f"{base}/{path}").split("/"):
            if word == "..":
                kept = kept[:-1]
            elif word not in ("", "."):
                kept.append(word)
        full = "/" + "/".join(kept)
        last = kept[-1] if kept else ""
        if full in self.offsets:
            return full, None
        if last == "ground":
            return full, GROUND
        if last in self.bodies and full in (f"/bodyset/{last}", f"{base}/{last}", f"/{last}"):
            return full, self.bodies[last]
        same = self.by_name.get(last, [])
        if len(same) == 1:
            return same[0], None
        if full in self.others:
            raise self.source.fail(
                where, f"refers to {full[:80]!r}, a {self.others[full][:40]}, which is not supported"
            )
        shown = path[:80]
        raise self.source.fail(where, f"refers to the frame {shown!r}, which the model does not hold exactly once")

    @staticmethod
    def is_body(frame: Frame) -> bool:
        """Whether ``frame`` is a body itself, so that what is fixed to it is written along the body's axes."""
        return frame.spread is None and not np.any(frame.position) and np.array_equal(frame.rotation, np.eye(3))
