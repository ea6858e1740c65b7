"""The table of stages names things that exist and can be called as the pipeline calls them."""

from __future__ import annotations

import inspect

import pytest

from biopose_live.pipeline.stage_table import DEFAULT, SINKS, STAGES, load


@pytest.mark.parametrize("stage", STAGES)
def test_every_default_factory_takes_what_the_pipeline_gives_it(stage: str) -> None:
    factory = load(DEFAULT.factory(stage))
    inspect.signature(factory).bind(None, None)  # raises TypeError when two positional arguments do not fit
    methods = ("write", "health", "idle", "close") if stage == SINKS else ("process", "close")
    assert all(callable(getattr(factory, method)) for method in methods)


def test_a_factory_that_is_not_there_is_an_import_error() -> None:
    with pytest.raises(ImportError):
        load("biopose_live.stages.nothing:Stage")
    with pytest.raises(AttributeError):
        load("biopose_live.stages:Nothing")
