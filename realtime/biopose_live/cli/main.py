"""`biopose-live`: runs the pipeline with the settings of the command line, or the doctor, or exports a recording.

Importing this module stays light (no torch, no mediapipe, no numba): help and mistakes answer at once, and the
pipeline's child processes import it again.

Exit codes are those of `biopose_live.errors`.  Ctrl-C is an orderly end and counts as success; an output that had to be
given up on the way (disk full) ends an otherwise successful run with EXIT_SINK.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from biopose_live.cli.options import CALIBRATE, DOCTOR, settings_from
from biopose_live.errors import EXIT_FAILURE, EXIT_INTERRUPTED, EXIT_OK, EXIT_SINK, UserError
from biopose_live.settings import Settings

if TYPE_CHECKING:
    from rich.console import Console

    from biopose_live.pipeline.metrics import Summary

EXPORT = "export"


def main(arguments: Sequence[str] | None = None) -> int:
    """-> exit code; mistakes of the user are one sentence on standard error."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        if given[:1] == [DOCTOR]:
            from biopose_live.cli.doctor import main as examine_machine

            return examine_machine(given[1:])
        if given[:1] == [CALIBRATE]:
            from biopose_live.cli.calibrate import main as calibrate

            return calibrate(given[1:])
        if given[:1] == [EXPORT]:
            from biopose_live.cli.export import main as export

            return export(given[1:])
        return run(settings_from(given))
    except UserError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:  # before or after the run itself, which turns Ctrl-C into an orderly end
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has left (`biopose-live | head`); Python would complain once more when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILURE


def run(settings: Settings) -> int:
    """Runs the pipeline and shows it; -> exit code.  Raises UserError when it cannot begin."""
    from biopose_live.pipeline.child import limit_threads

    limit_threads(os.environ)  # before NumPy is imported, or it has made its threads already

    from rich.console import Console

    from biopose_live.cli.status import running_status
    from biopose_live.sinks.publish import parse_address
    from biopose_live.sinks.viewer.access import parse_view

    parse_address(settings.publish)  # says what is wrong with it before any model is loaded
    watched = parse_view(settings.view)
    if settings.calibration is not None:
        from biopose_live.neurik.person_file import read_person_file

        read_person_file(settings.calibration)  # likewise
    console = Console(highlight=False)
    if settings.replay is not None:
        from biopose_live.cli.replay import run_replay

        assert watched is not None  # or `validate` would have said so
        return run_replay(console, settings, watched)
    if settings.network is not None:
        from biopose_live.cli.network import prepare

        prepare(console, settings)
    # A file that cannot be read is known at once, before five processes start for it.
    frames = frames_of(settings) if settings.demo or settings.video is not None else None
    if settings.every_frame:
        from biopose_live.pipeline.inline import run_inline

        with running_status(console, settings, frames) as status:
            summary = run_inline(settings, on_progress=status.show)
    else:
        from biopose_live.cli.viewer import open_viewer, plays_on
        from biopose_live.pipeline.live import run_live

        settings.loop = settings.loop or plays_on(settings)
        view = None if watched is None else open_viewer(console, settings, watched)
        if settings.loop:
            console.print("It plays again and again: Ctrl-C ends it.")
        with running_status(console, settings) as status:
            summary = run_live(settings, on_health=status.show, view=view)
    return conclude(console, settings, summary)


def conclude(console: Console, settings: Settings, summary: Summary) -> int:
    """Shows the summary, and on standard error what went wrong; -> exit code."""
    from biopose_live.cli.status import summary_table

    if summary.captured:
        console.print(summary_table(summary))
        if settings.record is not None:
            console.print(f"Recorded into {settings.record}.", soft_wrap=True, markup=False)
    for problem in summary.problems:
        print(problem, file=sys.stderr)
    if summary.exit_code == EXIT_INTERRUPTED:
        return EXIT_OK if not summary.problems else EXIT_SINK
    if summary.exit_code != EXIT_OK:
        print(summary.end_reason, file=sys.stderr)
        return summary.exit_code
    return EXIT_SINK if summary.problems else EXIT_OK


def frames_of(settings: Settings) -> int | None:
    """-> how many frames the source file will give, None when it does not tell.  Raises UserError (source)."""
    from biopose_live.capture.demo import demo_clip
    from biopose_live.capture.file import open_container

    path = demo_clip() if settings.demo or settings.video is None else settings.video
    container, stream = open_container(path)
    with container:
        frames = stream.frames or None
        rate = float(stream.average_rate or 0.0)
    if frames is not None and settings.duration is not None and rate > 0.0:
        frames = min(frames, round(settings.duration * rate))
    return frames


if __name__ == "__main__":
    sys.exit(main())
