"""The gate: nobody opens a file because an image said so.

An image may name other files: its backing file, an external data file, the extents of a VMDK. Whoever wrote
the image chose those names, so every such open passes a `Gate`, which answers with a path or refuses:

    DENY             nothing is opened: for serving, booting and auditing unknown files
    SAME_DIRECTORY   only regular files in (or below) the directory of the image that names them: the default
    Allow(dir, ...)  those, and regular files below the given directories
    PERMISSIVE       any regular file or block device: for images that one made oneself

Whatever the gate, a name with a protocol in it (json:, nbd:, http:, file: ...) is never honoured.
"""

from __future__ import annotations

import os
import stat

from imgtools.errors import AccessDenied


def has_protocol(name: str) -> bool:
    """Whether `name` starts with a protocol prefix, such as "nbd:"."""
    colon = name.find(":")
    return colon >= 0 and "/" not in name[:colon]


def combine(referrer: str, name: str) -> str:
    """The path of `name` as the image at `referrer` means it: relative to the image's own directory."""
    return os.path.join(os.path.dirname(referrer), name)


class Gate:
    """Decides which files an image may name; see the module's docstring."""

    def admits(self, referrer: str, path: str) -> bool:
        """Whether the image at `referrer` may have the regular file at `path` (absolute, links resolved) opened."""
        raise NotImplementedError

    def resolve(self, referrer: str, name: str, role: str) -> str:
        """The path to open for `name`, which the image at `referrer` gives as its `role` ("backing file").

        Raises AccessDenied where the gate is closed for it.
        """
        if has_protocol(name) or "\0" in name or not name:
            raise self._refusal(referrer, name, role, "only plain file names are honoured there", None)
        path = combine(referrer, name)
        real = os.path.realpath(path)
        if not self.admits(referrer, real):
            directory = os.path.dirname(real)
            raise self._refusal(
                referrer,
                name,
                role,
                "it lies outside the image's directory",
                f"If you trust this image, allow that directory: --allow {directory} (or IMGTOOLS_ALLOW={directory}).",
            )
        try:
            mode = os.stat(real).st_mode
        except OSError:
            return path  # not there: opening it gives the better message
        if not (stat.S_ISREG(mode) or (stat.S_ISBLK(mode) and isinstance(self, _Permissive))):
            raise self._refusal(referrer, name, role, "it is not a regular file", None)
        return path

    def _refusal(self, referrer: str, name: str, role: str, why: str, hint: str | None) -> AccessDenied:
        shown = name if len(name) <= 200 else name[:200] + "..."
        return AccessDenied(
            f"{role} {shown!r} named by '{referrer}' is not opened: {why}",
            path=referrer,
            structure=role,
            hint=hint,
        )


class _Deny(Gate):
    def admits(self, referrer: str, path: str) -> bool:
        return False


class _Permissive(Gate):
    def admits(self, referrer: str, path: str) -> bool:
        return True


class Allow(Gate):
    """The image's own directory and the given ones."""

    def __init__(self, *directories: str) -> None:
        self.directories = tuple(os.path.realpath(directory) for directory in directories)

    def admits(self, referrer: str, path: str) -> bool:
        own = os.path.dirname(os.path.realpath(referrer))
        return any(path.startswith(directory.rstrip("/") + "/") for directory in (own, *self.directories))


DENY = _Deny()
SAME_DIRECTORY = Allow()
PERMISSIVE = _Permissive()


def gate_from_environment(allowed: list[str] | None = None) -> Gate:
    """The gate of the command line: the image's directory, `--allow` and IMGTOOLS_ALLOW (paths, ":" between)."""
    listed = [directory for directory in os.environ.get("IMGTOOLS_ALLOW", "").split(os.pathsep) if directory]
    listed += allowed or []
    return Allow(*listed) if listed else SAME_DIRECTORY
