"""Disks that nbdkit's plugins make: nbdkit:PLUGIN?PARAMETER&PARAMETER&filter=NAME

    nbdkit:memory?1G                            nbdkit:pattern?size=1G
    nbdkit:file?disk.raw&filter=cow             nbdkit:curl?url=https://...

An nbdkit with that plugin is started when the disk is opened, and ends when it is closed. nbdkit-plugins(1) tells which
plugins there are; some run programs, so only users may name a disk in this way, never an image.
"""

from __future__ import annotations

import os
from tempfile import TemporaryDirectory

from imgtools.block.driver import Driver, Option
from imgtools.block.protocols.nbd import NbdNode, open_export
from imgtools.errors import BadOption
from imgtools.nbd import nbdkit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from imgtools.block.graph import Context
    from imgtools.block.node import Node

FILTER = "filter="


class NbdkitNode(NbdNode):
    """The export of an nbdkit of our own, whose socket is in `directory`."""

    driver = "nbdkit"

    def __init__(self, node: NbdNode, name: str, directory: TemporaryDirectory[str]) -> None:
        super().__init__(node.session, name, read_only=node.read_only, cache=node.cache, context=node.context)
        self.directory = directory

    def close(self) -> None:
        super().close()
        self.directory.cleanup()


class NbdkitDriver(Driver):
    """A disk by one of nbdkit's plugins."""

    name = "nbdkit"
    is_protocol = True
    children = ()
    open_options = (
        Option("plugin", "text", "the plugin's name, or the path of one", identity=True),
        Option("parameter.*", "text", "a parameter for the plugin or a filter: name=value", identity=True),
        Option("filter.*", "text", "a filter before the plugin", identity=True),
    )

    def open_node(self, children: dict[str, Node], context: Context) -> Node:
        options = context.options
        if not options.get("plugin"):
            raise BadOption("The 'nbdkit' block driver requires a plugin")
        directory = TemporaryDirectory(prefix="imgtools-nbdkit-")
        socket = os.path.join(directory.name, "socket")
        try:
            nbdkit.start(socket, options["plugin"], listed(options, "parameter"), listed(options, "filter"))
            node = open_export({"server.path": socket}, context)
        except BaseException:
            directory.cleanup()
            raise
        return NbdkitNode(node, name_of(options), directory)

    def parse_name(self, name: str) -> dict[str, Any]:
        plugin, _, query = name.removeprefix("nbdkit:").partition("?")
        words = query.split("&") if query else []
        filters = [word.removeprefix(FILTER) for word in words if word.startswith(FILTER)]
        parameters = [word for word in words if not word.startswith(FILTER)]
        options = {"plugin": plugin}
        options |= {f"parameter.{number}": word for number, word in enumerate(parameters)}
        return options | {f"filter.{number}": word for number, word in enumerate(filters)}

    def plain_name(self, options: dict[str, Any], children: dict[str, Node]) -> str | None:
        return name_of(options)


def listed(options: dict[str, Any], name: str) -> list[str]:
    """The values of name.0, name.1 and so on."""
    numbers = sorted(int(key.removeprefix(f"{name}.")) for key in options if key.startswith(f"{name}."))
    return [options[f"{name}.{number}"] for number in numbers]


def name_of(options: dict[str, Any]) -> str:
    """The name that stands for the options."""
    words = [*listed(options, "parameter"), *(FILTER + word for word in listed(options, "filter"))]
    return f"nbdkit:{options['plugin']}" + ("?" + "&".join(words) if words else "")


DRIVERS = (NbdkitDriver(),)
