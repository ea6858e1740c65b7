"""Hatchling's side of the build: what is made before the files of a wheel, or of an editable install, are gathered."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

sys.path.insert(0, str(Path(__file__).resolve().parent))  # hatchling runs this file by its path, alone
import build_models
import build_web


class AssetsHook(BuildHookInterface):
    """MediaPipe's pose models and the viewer's page."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """-> what the isolated build environment needs."""
        return sorted({*build_models.build_requirements(), *build_web.build_requirements()})

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        try:
            build_models.build()
            build_web.build()
        except (build_models.BuildError, build_web.BuildError) as error:
            sys.exit(str(error))
