"""Disks in stores that fsspec knows (s3://, gs://, abfs://, sftp://, ...), for reading.

fsspec finds credentials as its implementation for the store does: in the environment, or in that store's own files.
"""

from __future__ import annotations

import errno

from imgtools.block.driver import Driver, Option
from imgtools.block.protocols.remote import READAHEAD, RemoteNode
from imgtools.errors import BadOption, ImageError, InputOutput, ReadOnly, UnsupportedFeature, from_os_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from imgtools.block.graph import Context
    from imgtools.block.node import Node


class FsspecNode(RemoteNode):
    """The file at `path` of a store, `filesystem`."""

    driver = "fsspec"

    def __init__(self, url: str, filesystem: Any, path: str, readahead: int) -> None:
        super().__init__(url, 0, readahead=readahead)
        self.filesystem = filesystem
        self.path = path
        try:
            facts = filesystem.info(path)
        except Exception as error:  # each store raises what it likes
            raise _failure(error, f"Could not open '{url}'", url) from error
        size = facts.get("size")
        if facts.get("type") == "directory" or not isinstance(size, int) or size < 0:
            raise InputOutput(f"'{url}' is not a file whose size is known", path=url)
        self.size = size

    def fetch(self, offset: int, buffer: memoryview) -> None:
        try:
            content = self.filesystem.cat_file(self.path, start=offset, end=offset + len(buffer))
        except Exception as error:
            raise _failure(error, f"could not read '{self.filename}'", self.filename, offset) from error
        if len(content) != len(buffer):
            raise InputOutput(
                f"could not read '{self.filename}': {len(content)} bytes came instead of {len(buffer)}",
                path=self.filename,
                offset=offset,
            )
        buffer[:] = content


def _failure(error: Exception, what: str, url: str, offset: int | None = None) -> ImageError:
    if isinstance(error, FileNotFoundError):
        error = FileNotFoundError(errno.ENOENT, "")  # stores say no more than a part of the name
    failure = from_os_error(error if isinstance(error, OSError) else OSError(f"{error}"), what, url)
    failure.offset = offset
    return failure


class FsspecDriver(Driver):
    """A file in a store that fsspec knows, for reading."""

    name = "fsspec"
    is_protocol = True
    children = ()
    open_options = (
        Option("url", "text", "where the file is", identity=True),
        Option("readahead", "size", f"bytes, at most, that are read ahead ({READAHEAD >> 20}M)"),
    )

    def open_node(self, children: dict[str, Node], context: Context) -> Node:
        try:
            from fsspec.core import url_to_fs
        except ImportError as error:
            raise UnsupportedFeature("remote stores need fsspec", hint="pip install 'imgtools[remote]'") from error
        url = context.options.get("url")
        if not url:
            raise BadOption("The 'fsspec' block driver requires a url")
        if context.writable:
            raise ReadOnly("images in remote stores can only be read", path=url)
        try:
            filesystem, path = url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise UnsupportedFeature(f"Could not open '{url}': {error}", path=url) from error
        except Exception as error:  # some stores connect already here, and raise what they like
            raise _failure(error, f"Could not open '{url}'", url) from error
        return FsspecNode(url, filesystem, path, context.options.get("readahead", READAHEAD))

    def parse_name(self, name: str) -> dict[str, Any]:
        return {"url": name}

    def plain_name(self, options: dict[str, Any], children: dict[str, Node]) -> str | None:
        url: str = options["url"]
        return url


DRIVERS = (FsspecDriver(),)
