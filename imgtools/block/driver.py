"""What a driver is: one kind of node that a tree of options can ask for by `driver=NAME`.

Formats, protocols (where bytes come from) and filters (nodes in front of nodes) are drivers alike. A driver is one
object, named in `registry`; its class attributes are data: its name, the options it takes, the children it opens.
"""

from __future__ import annotations

from imgtools.block.options import Option as Option
from imgtools.block.options import Options, as_text
from imgtools.errors import BadOption

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from imgtools.block.graph import Context
    from imgtools.block.node import Node


class Child:
    """A node that a driver needs below its own.

    `disk` says in what it is when no driver is named for it: a disk, whose format is guessed, or else a file.
    `many` makes it a list (NAME.0, NAME.1 ...). `by_name` is the option that may hold a file name, with or without
    a protocol, in place of options below `name`. An `optional` one is opened where options are given for it.
    """

    def __init__(
        self,
        name: str,
        *,
        disk: bool = False,
        many: bool = False,
        by_name: str | None = None,
        optional: bool = False,
    ) -> None:
        self.name = name
        self.disk = disk
        self.many = many
        self.by_name = by_name
        self.optional = optional


class Driver:
    """One kind of node. Subclasses fill in the card and `open_node`."""

    name = ""
    is_protocol = False
    """Whether nodes of this kind may stand where a file is expected without its format being guessed above them."""
    supports_backing = False
    open_options: tuple[Option, ...] = ()
    """What may be asked of a node that is opened, beside what all take (see `graph.NODE_OPTIONS`)."""
    children: tuple[Child, ...] = (Child("file"),)

    def open_node(self, children: dict[str, Node], context: Context) -> Node:
        """The node above `children`; `context.options` has the values of `open_options` that were given."""
        raise NotImplementedError

    def parse_name(self, name: str) -> dict[str, Any]:
        """The options that a file name stands for, which may begin with one of the driver's prefixes."""
        return {"filename": name}

    def plain_name(self, options: dict[str, Any], children: dict[str, Node]) -> str | None:
        """A file name, other than json:, under which one gets this very node; None where there is none.

        `options` are those with `identity` that were given.
        """
        return None

    def open_option(self, name: str) -> Option | None:
        """The declaration of an option; numbers in its name are such as "*" stands for."""
        general = ".".join("*" if part.isdecimal() else part for part in name.split("."))
        return next((option for option in self.open_options if option.name in (name, general)), None)

    def take_options(self, options: Options) -> dict[str, Any]:
        """The values of this driver's own options among `options`, which then does not have them any more."""
        values = {}
        for name in [name for name in options if self.open_option(name)]:
            option, value = self.open_option(name), options.pop(name)
            assert option is not None
            if value is None:  # JSON's null: as if it had not been said
                continue
            try:
                values[name] = option.parse(as_text(value))
            except BadOption as error:
                error.message = error.message.replace(f"'{option.name}'", f"'{name}'")
                error.hint = error.hint and error.hint.replace(option.name, name)
                raise
        return values
