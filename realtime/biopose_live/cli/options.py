"""Settings from the command line and `--config FILE.toml`: both are made from the fields of `Settings`.

Precedence: command line, then file, then default.  A source given on the command line replaces the file's source, and
`--fov` or `--intrinsics` replaces either of them in the file.
"""

from __future__ import annotations

import argparse
import difflib
import os
import shlex
import tomllib
import types
from collections.abc import Sequence
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any, Literal, NoReturn, Union, get_args, get_origin, get_type_hints

from biopose_live import __version__
from biopose_live.errors import EXIT_USAGE, UserError
from biopose_live.settings import Settings

PROGRAM = "biopose-live"
DOCTOR = "doctor"
CALIBRATE = "calibrate"
EPILOG = f"""\
other commands:
  {PROGRAM} {DOCTOR}     what was found on this machine and what is missing
  {PROGRAM} {CALIBRATE}  measure one person's bones once, for --calibration
  {PROGRAM} export DIR  files of other programs (.mot .trc .osim .c3d .bvh) from a recording

Ctrl-C ends a run in order: the recording is completed, the summary is shown, the exit code is 0.
exit codes: 0 done, 1 failure, 2 wrong usage, 3 source, 4 models, 5 outputs
"""

_GROUPS = {
    "source": "where the pictures come from (exactly one)",
    "subject": "who is in the picture",
    "view": "how the camera sees",
    "models": "how the body is found",
    "output": "where the results go",
}
_SHORT = {
    "camera": "-c",
    "video": "-v",
    "url": "-u",
    "duration": "-t",
    "max_people": "-n",
    "publish": "-p",
    "record": "-o",
}
_ONE_OF = (("camera", "video", "url", "demo", "replay"), ("fov", "intrinsics"))
_METAVAR = {float: "X", int: "N", Path: "PATH", str: "TEXT"}
_TYPE_NAMES = {bool: "true or false", int: "a whole number", float: "a number", Path: "a path in quotes"}
_TYPE_NAMES[str] = "text in quotes"


def _types() -> dict[str, tuple[type, tuple[str, ...]]]:
    """-> option name: its plain type, and the allowed words of a Literal."""
    found: dict[str, tuple[type, tuple[str, ...]]] = {}
    for name, hint in get_type_hints(Settings).items():
        if get_origin(hint) in (Union, types.UnionType):
            (hint,) = (part for part in get_args(hint) if part is not type(None))
        choices = get_args(hint) if get_origin(hint) is Literal else ()
        found[name] = (str if choices else hint, choices)
    return found


TYPES = _types()


def default_of(option: Field[Any]) -> Any:
    """-> a settings field's default value; None when it has none."""
    return None if option.default is MISSING else option.default


class _Parser(argparse.ArgumentParser):
    def parse(self, arguments: Sequence[str]) -> dict[str, Any]:
        """-> what was given, by option name; raises UserError."""
        given, unknown = self.parse_known_args(arguments)
        if unknown:
            first = unknown[0].partition("=")[0]
            known = [text for action in self._actions for text in action.option_strings if text.startswith("--")]
            close = difflib.get_close_matches(first, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"{self.prog} --help lists what there is."
            raise UserError(f"Unknown argument {shlex.quote(unknown[0])}: {hint}", EXIT_USAGE)
        return vars(given)

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message[:1].upper()}{message[1:]}; {self.prog} --help lists what there is.", EXIT_USAGE)


DESCRIPTION = "One ordinary camera in, joint angles of an OpenSim-type skeleton out, in real time."


def build_parser(
    command: str = "", description: str = DESCRIPTION, epilog: str = EPILOG, only: Sequence[str] | None = None
) -> _Parser:
    """-> the parser of the program, or of a `command` that knows `only` some of the settings.

    What is not given on the command line is absent from its result."""
    parser = _Parser(
        prog=f"{PROGRAM} {command}".strip(),
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    parser.add_argument("-V", "--version", action="version", version=f"{PROGRAM} {__version__}")
    groups: dict[str, Any] = {}
    for option in fields(Settings):
        if only is not None and option.name not in only:
            continue
        group = option.metadata["group"]
        if group not in groups:
            groups[group] = parser.add_argument_group(group, _GROUPS.get(group))
        kind, choices = TYPES[option.name]
        names = [f"--{option.name.replace('_', '-')}"]
        if option.name in _SHORT:
            names.insert(0, _SHORT[option.name])
        text = option.metadata["help"].replace("%", "%%")
        if kind is bool:
            groups[group].add_argument(*names, action=argparse.BooleanOptionalAction, help=text)
            continue
        default = default_of(option)
        if default is not None:
            text += f" (default {default})"
        shape: dict[str, Any] = {"choices": choices} if choices else {"metavar": _METAVAR[kind]}
        groups[group].add_argument(*names, type=_path if kind is Path else kind, help=text, **shape)
    return parser


def _path(text: str) -> Path:
    return Path(os.path.expanduser(text))  # noqa: PTH111 - Path.expanduser raises for a user that does not exist


def read_config(path: Path) -> dict[str, Any]:
    """-> option name: value, of a TOML file; relative paths in it start from the file's own folder.

    Raises UserError (usage) for a file that is missing or no TOML, an unknown name (with the closest valid one), a
    value of the wrong type and a word that is not among the allowed ones.
    """
    try:
        content = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"The config file {path} cannot be read ({reason}): check --config.", EXIT_USAGE) from error
    try:
        raw = tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"The config file {path} is not TOML ({error}): correct it there.", EXIT_USAGE) from error
    names = [name for name in TYPES if name != "config"]
    settings: dict[str, Any] = {}
    for name, value in raw.items():
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
            hint = f"did you mean {close[0]}?" if close else f"known names are {', '.join(names)}."
            raise UserError(f"{path} sets {name!r}, which is no option: {hint}", EXIT_USAGE)
        settings[name] = _converted(path, name, value)
    return settings


def _converted(path: Path, name: str, value: Any) -> Any:
    kind, choices = TYPES[name]
    if choices:
        if value not in choices:
            raise UserError(f"{path} sets {name} = {_shown(value)}: use one of {', '.join(choices)}.", EXIT_USAGE)
        return value
    if kind is float and type(value) is int:
        return float(value)
    if name == "camera" and type(value) is int:  # a camera's number needs no quotes
        return str(value)
    if type(value) is not (str if kind is Path else kind):
        raise UserError(f"{path} sets {name} = {_shown(value)}: {name} is {_TYPE_NAMES[kind]}.", EXIT_USAGE)
    return path.parent / _path(str(value)) if kind is Path else value


def _shown(value: Any) -> str:
    text = repr(value) if not isinstance(value, bool) else str(value).lower()
    return text if len(text) <= 60 else f"{text[:60]}…"


def settings_from(arguments: Sequence[str]) -> Settings:
    """-> validated settings; raises UserError with the sentence to show, SystemExit(0) after --help and --version."""
    given = build_parser().parse(arguments)
    from_file: dict[str, Any] = {}
    if given.get("config") is not None:
        from_file = read_config(given["config"])
        for group in _ONE_OF:
            if any(given.get(name) for name in group):
                for name in group:
                    from_file.pop(name, None)
    return Settings(**{**from_file, **given}).validate()
