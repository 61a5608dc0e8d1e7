"""`python -m imgtools`, and the installed `imgtools`."""

from __future__ import annotations

import gc
import os
from _signal import (  # type: ignore[import-not-found]  # `signal` takes a millisecond to import
    SIG_DFL,
    SIGINT,
    default_int_handler,
    getsignal,
    signal,
)

heeds_interrupts = getsignal(SIGINT) is default_int_handler
"""Whether Ctrl-C is for this process at all: in a shell's background it may not be."""
if heeds_interrupts:
    signal(SIGINT, SIG_DFL)  # as long as nothing has begun, there is nothing to tidy up or tell

from imgtools.cli import program  # noqa: E402

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

KEPT_MEMORY = 16 << 20


def main() -> NoReturn:
    """Run the command line of this process and end it."""
    settle_process()
    if heeds_interrupts:
        signal(SIGINT, default_int_handler)
    # Everything is closed and flushed by now; the interpreter's own tidying up would take a tenth of the time
    # that a short command takes in all.
    os._exit(program.main())


def settle_process() -> None:
    """Choose for this process what a library must not choose for others."""
    # Once memory of this size has been freed (it is never touched), glibc's malloc keeps as much for its next calls.
    # Until then it gives memory back to the kernel, and takes new pages, for nearly every buffer.
    bytes(KEPT_MEMORY)
    # Nothing that a command makes many of has cycles: Python need not look for such every 700 objects.
    gc.set_threshold(20_000)
    # numpy would start threads for linear algebra, which takes as long as all else of importing it.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


if __name__ == "__main__":
    main()
