"""What becomes of a target when its work is interrupted: it is either whole or plainly unfinished."""

from __future__ import annotations

import os

from imgtools.cli import console

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType


class Unfinished:
    """While this is entered, Ctrl-C removes the file at `path` if it was `made` for this work, or else says that
    its content is of no use."""

    def __init__(self, path: str, *, made: bool) -> None:
        self.path = path
        self.made = made

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not isinstance(value, KeyboardInterrupt):
            return
        if self.made and os.path.isfile(self.path):
            os.unlink(self.path)
            console.complain(f"'{self.path}' was not finished and has been removed")
        else:
            console.complain(f"'{self.path}' is not finished: its content is of no use")
