"""mfusepy with libfuse 3: where both are installed it would take libfuse 2, which knows no holes and no O_TRUNC."""

from __future__ import annotations

import ctypes
import os

LIBRARY = "libfuse3.so.3"
CHOSEN = ("FUSE_LIBRARY_PATH", "FUSE_LIBRARY_NAME")
"""Where mfusepy looks for what the user wants."""

if not any(name in os.environ for name in CHOSEN):
    try:
        ctypes.CDLL(LIBRARY)
        os.environ[CHOSEN[0]] = LIBRARY
    except OSError:
        pass  # there is another one, or none

import mfusepy  # noqa: E402

__all__ = ["mfusepy"]
