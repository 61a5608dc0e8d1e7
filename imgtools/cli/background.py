"""Work that goes on after the command has returned: a mounted directory, a server."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

STATUS_OF_KILLED = 1


def in_background(work: Callable[[Callable[[], None]], int]) -> int:
    """Do `work(ready)` in a process of its own.

    Returns 0 as soon as `ready` was called, or the exit status of work that came to its end before that. What it
    opens it opens in its own process: threads would not live on in another.
    """
    told, telling = os.pipe()
    child = os.fork()
    if not child:
        os.close(told)
        _be_the_child(work, telling)
    os.close(telling)
    is_ready = os.read(told, 1)
    os.close(told)
    if is_ready:
        return 0
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else STATUS_OF_KILLED


def _be_the_child(work: Callable[[Callable[[], None]], int], telling: int) -> None:
    from imgtools.cli.program import guarded

    def ready() -> None:
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nowhere, stream)
        os.close(nowhere)
        os.write(telling, b"1")
        os.close(telling)

    os.setsid()
    os._exit(guarded(lambda: work(ready)))
