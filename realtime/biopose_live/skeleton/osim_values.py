"""Reads single values out of a model file's elements, and words the faults: one sentence that names the element's path.

Shared by the parts of the model reader (`osim_file`). Bounds keep a hostile file from costing memory or time.
"""

from __future__ import annotations

import numpy as np

from biopose_live.errors import EXIT_MODEL, UserError

from .model import FloatArray
from .xml_tree import Element

PATH = "path in the file"
"""Attribute under which a converter notes where an element came from; no XML attribute can be called so."""

MAX_NUMBERS = 1000
_MAX_NUMBER_LENGTH = 60  # characters, with the space around it
_EDIT = "edit the model in OpenSim and save it again"


class Source:
    """One document; ``name`` is what errors call it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def fail(self, where: str, found: str, advice: str = _EDIT) -> UserError:
        """The error to raise for a fault at the path ``where``."""
        sentence = f"{self.name}: {where[:300]} {found}; {advice}."
        return UserError(" ".join(sentence.split()), EXIT_MODEL)

    def text(self, element: Element, tag: str) -> str:
        """The text of child ``tag``, stripped; empty when there is none."""
        return (element.findtext(tag) or "").strip()

    def numbers(self, element: Element, tag: str, count: int | None, where: str, default: str | None) -> FloatArray:
        """The numbers in child ``tag``; ``default`` stands in for a missing one. Raises UserError."""
        text = self.text(element, tag) or default
        if text is None:
            raise self.fail(where, f"has no <{tag}>")
        if len(text) > _MAX_NUMBER_LENGTH * (MAX_NUMBERS if count is None else max(count, 20)):
            raise self.fail(where, f"has more text in <{tag}> than numbers need")
        try:
            if "_" in text:
                raise ValueError
            values = np.array([float(word) for word in text.split()])
        except ValueError:
            raise self.fail(where, f"has <{tag}> {text[:40]!r}, which is not a list of numbers") from None
        if count is not None and len(values) != count:
            raise self.fail(where, f"has {len(values)} numbers in <{tag}>, expected {count}")
        if not np.all(np.isfinite(values)) or np.any(np.abs(values) > 1e12):
            raise self.fail(where, f"has a number in <{tag}> that is not finite or not sensible")
        return values

    def number(self, element: Element, tag: str, where: str, default: str) -> float:
        """The one number in child ``tag``. Raises UserError."""
        return float(self.numbers(element, tag, 1, where, default)[0])

    def flag(self, element: Element, tag: str, where: str, default: bool) -> bool:
        """Whether child ``tag`` says true. Raises UserError."""
        text = self.text(element, tag).lower()
        if text not in ("", "true", "false"):
            raise self.fail(where, f"has <{tag}> {text[:20]!r}, expected true or false")
        return default if not text else text == "true"

    def title(self, element: Element, where: str) -> str:
        """The element's name. Raises UserError when it has none."""
        title = element.get("name")
        if not title:
            raise self.fail(f"{where}/{element.tag}", "has no name")
        return title

    def path(self, element: Element, usual: str) -> str:
        """Where the element stands in the file: ``usual``, unless a converter noted otherwise."""
        return element.get(PATH) or usual

    def bounded(self, elements: list[Element], most: int, where: str) -> list[Element]:
        """``elements``, unless there are more than ``most``. Raises UserError."""
        if len(elements) > most:
            raise self.fail(
                where, f"holds {len(elements)} elements, at most {most} are supported", "give a smaller model"
            )
        return elements
