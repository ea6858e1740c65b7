"""The README's table of options is the program's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from biopose_live.settings import OPTION_NAMES

README = Path(__file__).parent.parent / "README.md"


@pytest.mark.parametrize("name", OPTION_NAMES)
def test_every_option_is_described(name: str) -> None:
    assert f"--{name.replace('_', '-')}" in README.read_text()


def test_no_option_is_made_up() -> None:
    table = README.read_text().split("## Options")[1].split("\n## ")[0]
    named = set(re.findall(r"`--([a-z-]+)", table)) | set(re.findall(r"`, `--([a-z-]+)", table))
    assert named - {"help"} <= {name.replace("_", "-") for name in OPTION_NAMES}


def test_every_file_that_it_links_to_exists() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README.read_text()):
        assert (README.parent / target).exists(), target
