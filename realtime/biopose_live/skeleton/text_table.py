"""What OpenSim's text tables (``.mot``, ``.sto``, ``.trc``) share: their text as lines, and rows of numbers in it.

Every fault is one sentence that names the file, the line (counted from 1, as editors do) and what was found there.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from biopose_live.errors import EXIT_SOURCE, UserError

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eEdD][+-]?\d+)?", re.ASCII)
_MISSING = frozenset(("", "nan", "+nan", "-nan", "1.#qnan", "-1.#ind"))  # the last two: older Windows programs
_SHOWN = 40
LARGEST = 1e12  # beyond this no length, angle or time of a person is meant


def read_text(path: str | Path) -> str:
    """The file's text (UTF-8 with or without mark, else Latin-1). Raises UserError (source)."""
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): check the file name.", EXIT_SOURCE) from error
    return decode(data, path.name)


def decode(data: bytes, name: str) -> str:
    """``data`` as text. Raises UserError (source) when it holds bytes that no text holds."""
    if b"\0" in data:
        raise UserError(f"{name} is no text file (it holds a zero byte): export it again as text.", EXIT_SOURCE)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")  # marker names of older programs; never fails


class Lines:
    """A text's lines, whatever ends them, and faults that point at one of them."""

    def __init__(self, text: str, name: str, kind: str) -> None:
        """``kind`` is what the file should be, for instance ``".trc"``."""
        self.lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        self.name = name
        self.kind = kind

    def fault(self, number: int, what: str) -> UserError:
        """What to raise about line ``number`` (from 0)."""
        return UserError(
            f"{self.name}: not a readable {self.kind} file: line {number + 1} {what}; export it again.", EXIT_SOURCE
        )

    def fail(self, number: int, what: str) -> NoReturn:
        """Raises UserError (source) about line ``number`` (from 0)."""
        raise self.fault(number, what)

    def get(self, number: int, wanted: str) -> str:
        """Line ``number`` (from 0) without trailing blanks. Raises UserError when the text ends before it."""
        if number >= len(self.lines) or not any(line.strip() for line in self.lines[number:]):
            last = max((at for at, line in enumerate(self.lines) if line.strip()), default=0)
            self.fail(last, f"is the last one, expected {wanted} after it")
        return self.lines[number].rstrip()

    def cells(self, number: int) -> list[str]:
        """The cells of a row: separated by tabs, or by blanks when there is no tab in it; empty ones at the end go."""
        line = self.lines[number]
        cells = [cell.strip() for cell in line.split("\t")] if "\t" in line.strip() else line.split()
        while cells and not cells[-1]:
            cells.pop()
        return cells

    def numbers(self, number: int, cells: Sequence[str], columns: Sequence[str], skip: int = 0) -> list[float]:
        """The values of a row's ``cells`` after the first ``skip``, NaN for one that is empty or NaN.

        Raises UserError for any other cell.
        """
        try:
            values = [float(cell) for cell in cells[skip:]]
        except ValueError:
            values = []
        line = self.lines[number]
        # Python's float also takes 1_0, other scripts' digits, inf and nan: those go the long way.
        if line.isascii() and "_" not in line and values and all(abs(value) <= LARGEST for value in values):
            return values
        values = []
        for at, cell in enumerate(cells[skip:], skip):
            if _NUMBER.fullmatch(cell):
                value = float(cell.replace("d", "e").replace("D", "e"))
                if abs(value) > LARGEST:
                    self.fail(number, f"holds {shown(cell)} in column {at + 1} ({columns[at]}), which is out of bounds")
                values.append(value)
            elif cell.lower() in _MISSING:
                values.append(math.nan)
            else:
                self.fail(number, f"holds {shown(cell)} in column {at + 1} ({columns[at]}), expected a number")
        return values

    def distinct(self, number: int, names: Sequence[str], what: str) -> None:
        """Raises UserError when a name stands twice among ``names``."""
        for name, count in Counter(names).items():
            if count > 1:
                self.fail(number, f"names the {what} {shown(name)} {count} times")

    def whole(self, number: int, text: str, what: str) -> int:
        """A count. Raises UserError when ``text`` is no whole number of at most nine digits."""
        if not (text.isascii() and text.isdigit() and len(text.lstrip("0")) <= 9 and len(text) <= 20):
            self.fail(number, f"gives {what} as {shown(text)}, expected a whole number")
        return int(text)


def shown(text: str) -> str:
    """``text`` in quotes, shortened, in one line."""
    flat = "".join(character if character.isprintable() else "?" for character in text[: _SHOWN + 1])
    return f'"{flat[:_SHOWN]}…"' if len(flat) > _SHOWN else f'"{flat}"'
