"""What an error is in the system's words: the way qemu-io tells of a request that failed."""

from __future__ import annotations

import errno
import os

from imgtools.errors import BadOption, ReadOnly, UnsupportedFeature

TYPE_CHECKING = False
if TYPE_CHECKING:
    from imgtools.errors import ImageError

CODES: tuple[tuple[type[ImageError], int], ...] = (
    (UnsupportedFeature, errno.ENOTSUP),
    (ReadOnly, errno.EPERM),
    (BadOption, errno.EINVAL),
)
"""Error class to code; all others are EIO."""


def system_error(error: ImageError) -> str:
    """The text of the system's error that comes closest: "Input/output error"."""
    code = error.errno or next((code for kind, code in CODES if isinstance(error, kind)), errno.EIO)
    return os.strerror(code)
