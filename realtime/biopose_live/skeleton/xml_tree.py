"""XML from strangers, read with care: no document types, no entities, bounded size and depth.

OpenSim's files need none of XML's dangerous parts. expat does the parsing; every fault becomes one sentence for the
person who named the file.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from xml.parsers import expat

from biopose_live.errors import EXIT_MODEL, UserError

Element = ElementTree.Element
MAX_BYTES = 32 * 1024 * 1024
MAX_DEPTH = 100
MAX_ELEMENTS = 300_000


class _Refused(Exception):
    """The document uses a part of XML that is not accepted here."""


def read_xml(path: Path) -> Element:
    """The root element of the XML file at ``path``. Raises UserError when it cannot be read or parsed."""
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise UserError(
                f"{path} is {size / 2**20:.0f} MB, more than the {MAX_BYTES // 2**20} MB a model file may have; "
                "give a model file without embedded data.",
                EXIT_MODEL,
            )
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES)  # no more than that even of a device without end
    except OSError as error:
        raise UserError(
            f"Cannot read {path}: {error.strerror or error}; check the path and its permissions.", EXIT_MODEL
        ) from None
    return parse_xml(data, str(path))


def parse_xml(data: bytes, name: str) -> Element:
    """The root element of an XML document given as bytes; ``name`` is used in errors. Raises UserError."""
    builder = ElementTree.TreeBuilder()
    depth = count = 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth, count
        depth += 1
        count += 1
        if count > MAX_ELEMENTS:
            raise _Refused(f"more than {MAX_ELEMENTS} elements")
        if depth > MAX_DEPTH:
            raise _Refused(f"elements nested deeper than {MAX_DEPTH}")
        builder.start(tag, attributes)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(tag)

    def refuse_doctype(*_: object) -> None:
        raise _Refused("a document type declaration")

    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = refuse_doctype
    parser.EntityDeclHandler = refuse_doctype
    try:
        parser.Parse(data, True)
        return builder.close()
    except expat.ExpatError as error:
        raise UserError(f"{name} is not a complete XML file ({error}); export the model again.", EXIT_MODEL) from None
    except _Refused as reason:
        raise UserError(
            f"{name} holds {reason}, which a model file never needs; give another file.", EXIT_MODEL
        ) from None
    except (AssertionError, ValueError, LookupError) as error:
        raise UserError(f"{name} is not a readable XML file ({error}); export the model again.", EXIT_MODEL) from None
