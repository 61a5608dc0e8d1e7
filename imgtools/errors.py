"""The one error tree of imgtools.

Every failure that an image, a file or a caller can cause is an `ImageError`: a kind (the class), what
happened, and where known the path, the byte offset, the name of the structure at fault, and what to do
about it. The command line prints `message` on one line and `hint` on the next; `--output=json` prints
`as_dict()`. Programs catch the class, people read the text.

    ImageError
      NotFound           a file that was named is not there
      AccessDenied       the operating system, or a gate, refused to open a file
      InvalidFormat      the bytes are not what the format says they must be
      CorruptImage       the image contradicts itself; reading on would give wrong data
      UnsupportedFeature the image or the request needs something that is not built
      OutOfBounds        a limit or the end of the disk was exceeded
      ReadOnly           a write to something that was opened for reading
      Locked             another process holds the image
      BadOption          an option or a value that makes no sense
      InputOutput        the operating system failed to read or write
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class ImageError(Exception):
    """Something is wrong with an image or a request; see the subclasses for what."""

    kind = "error"

    def __init__(
        self,
        message: str,
        *,
        path: str | None = None,
        offset: int | None = None,
        structure: str | None = None,
        hint: str | None = None,
        errno: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.path = path
        self.offset = offset
        self.structure = structure
        self.hint = hint
        self.errno = errno

    def __str__(self) -> str:
        """The message as it is now: whoever passes an error on may have put context in front of it."""
        return self.message

    def as_dict(self) -> dict[str, Any]:
        """The fields that are known, with JSON-friendly values."""
        fields = {
            "kind": self.kind,
            "message": self.message,
            "path": self.path,
            "offset": self.offset,
            "structure": self.structure,
            "hint": self.hint,
        }
        return {name: value for name, value in fields.items() if value is not None}


class NotFound(ImageError):
    """A file that was named is not there."""

    kind = "not-found"


class AccessDenied(ImageError):
    """The operating system, or a gate, refused to open a file."""

    kind = "access-denied"


class InvalidFormat(ImageError):
    """The bytes are not what the format says they must be."""

    kind = "invalid-format"


class CorruptImage(ImageError):
    """The image contradicts itself; going on would give or write wrong data."""

    kind = "corrupt"


class UnsupportedFeature(ImageError):
    """The image, or the request, needs something that is not built (yet)."""

    kind = "unsupported"


class OutOfBounds(ImageError):
    """A limit, or the end of the disk, was exceeded."""

    kind = "out-of-bounds"


class ReadOnly(ImageError):
    """A write to something that was opened for reading."""

    kind = "read-only"


class Locked(ImageError):
    """Another process holds the image."""

    kind = "locked"


class BadOption(ImageError):
    """An option or a value that makes no sense."""

    kind = "bad-option"


class InputOutput(ImageError):
    """The operating system failed to read or write."""

    kind = "input-output"


def from_os_error(error: OSError, what: str, path: str | None = None) -> ImageError:
    """The `ImageError` for an `OSError`; the text is `what`, a colon and the system's own words."""
    reason = os.strerror(error.errno) if error.errno else str(error)
    cls: type[ImageError] = InputOutput
    if isinstance(error, FileNotFoundError):
        cls = NotFound
    elif isinstance(error, PermissionError):
        cls = AccessDenied
    return cls(f"{what}: {reason}", path=path, errno=error.errno)
