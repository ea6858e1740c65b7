"""A viewer that shows a made-up run."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from biopose_client import schema
from biopose_live.sinks.viewer.access import ViewAccess, reserve

sys.path.insert(0, str(Path(__file__).parent))
from shown_run import Show


@pytest.fixture
def show(meta: schema.Meta, make_pose: Callable[..., schema.Pose], free_port: int) -> Iterator[Show]:
    found = Show(reserve("127.0.0.1", free_port), meta, make_pose)
    asyncio.run(_until_it_listens(found.access))
    yield found
    found.close()


async def _until_it_listens(access: ViewAccess) -> None:
    for _ in range(200):
        try:
            _, writer = await asyncio.open_connection(access.host, access.port)
        except OSError:
            await asyncio.sleep(0.05)
            continue
        writer.close()
        return
    raise AssertionError("the viewer does not listen")
