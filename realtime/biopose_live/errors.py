"""Errors that a user can act on: one sentence that says what was wrong, what was found and what to do.

The command line prints the sentence alone, without a stack trace, and ends with the error's exit code.
"""

from __future__ import annotations

EXIT_OK = 0
EXIT_FAILURE = 1
EXIT_USAGE = 2
EXIT_SOURCE = 3
EXIT_MODEL = 4
EXIT_SINK = 5
EXIT_INTERRUPTED = 130


class UserError(Exception):
    """Something the user can put right; `str(error)` is the sentence to show.

    `exit_code` is one of the EXIT_* numbers above: usage (2), source (3: camera, file, stream), model (4: weights,
    body or skeleton files), sink (5: port, disk).
    """

    def __init__(self, sentence: str, exit_code: int = EXIT_FAILURE) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code

    def __reduce__(self) -> tuple[type[UserError], tuple[str, int]]:
        # Crosses a process boundary when a stage cannot start: keep the exit code with it.
        return (type(self), (str(self), self.exit_code))
