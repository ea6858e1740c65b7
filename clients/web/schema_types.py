"""Writes `src/schema.ts`: the wire format's TypeScript types, made from its one source, `biopose_client.schema`.

    python clients/web/schema_types.py            # writes the file
    python clients/web/schema_types.py --check    # exit code 1 when the file is not what the schema says

A field with a default may be missing in an older sender's message, so it is optional here.  Nanoseconds may be beyond
what a JavaScript number holds exactly (2^53 ns are 104 days of uptime), so they are `number | bigint`.
"""

from __future__ import annotations

import argparse
import sys
import types
import typing
from pathlib import Path

import msgspec
from msgspec.structs import NODEFAULT, FieldInfo

from biopose_client import schema

OUT = Path(__file__).parent / "src" / "schema.ts"
STRUCTS: tuple[type[msgspec.Struct], ...] = (
    schema.Clock,
    schema.Mesh,
    schema.Versions,
    schema.Meta,
    schema.Camera,
    schema.Person,
    schema.Pose,
    schema.StageHealth,
    schema.Health,
)
_SCALARS = {str: "string", float: "number", bool: "boolean", int: "number"}


def _nanoseconds(name: str) -> bool:
    return name == "t" or name.startswith("t_") or name.endswith("_ns")


def typescript(kind: typing.Any, name: str) -> str:
    """-> the TypeScript type of a field; raises TypeError for a Python type that no message has used so far."""
    if kind is int and _nanoseconds(name):
        return "number | bigint"
    if kind in _SCALARS:
        return _SCALARS[kind]
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return kind.__name__
    arguments = typing.get_args(kind)
    if typing.get_origin(kind) is list:
        return f"{typescript(arguments[0], '')}[]"
    if typing.get_origin(kind) is dict and arguments[0] is str:
        return f"Record<string, {typescript(arguments[1], '')}>"
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return " | ".join("null" if one is type(None) else typescript(one, name) for one in arguments)
    raise TypeError(f"{name}: {kind!r} has no TypeScript counterpart here; add one to schema_types.py")


def _field(field: FieldInfo) -> str:
    required = field.default is NODEFAULT and field.default_factory is NODEFAULT
    optional = "" if required or field.encode_name == "v" else "?"
    return f"  {field.encode_name}{optional}: {typescript(field.type, field.name)};"


def generated() -> str:
    """-> the text of `src/schema.ts`."""
    parts = [
        "// The public wire format, schema v1. Made by schema_types.py from biopose_client/schema.py: change it there.",
        f'export const VERSION = "{schema.VERSION}";',
    ]
    for struct in STRUCTS:
        about = " ".join((struct.__doc__ or "").split())
        lines = [_field(field) for field in msgspec.structs.fields(struct)]
        parts.append("\n".join([f"/** {about} */", f"export interface {struct.__name__} {{", *lines, "}"]))
    return "\n\n".join(parts) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description="Writes src/schema.ts from the Python schema.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when the file is out of date")
    if not parser.parse_args().check:
        OUT.write_text(generated())
        return 0
    if OUT.read_text() == generated():
        return 0
    print(f"{OUT} is not what the schema says: run python clients/web/schema_types.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
