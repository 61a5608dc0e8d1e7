"""blkdebug: a filter that makes requests fail, or wait, at moments that one chooses.

    blkdebug::disk.qcow2                       nothing, until a breakpoint is set
    blkdebug:faults.conf:disk.qcow2            the rules in a file
    driver=blkdebug,image.filename=disk.qcow2,inject-error.0.event=l2_load,inject-error.0.errno=28

It stands between a format and its file. The format tells what it is about to do (`event`), the file's requests
go through here, and `fault_rules` says what becomes of them.
"""

from __future__ import annotations

import os
from threading import Condition

from imgtools.align import is_power_of_two
from imgtools.block.driver import Child, Driver, Option
from imgtools.block.filters.fault_rules import EVENTS, RULE_OPTIONS, Break, Machine, make_rule, read_config
from imgtools.block.node import Filter
from imgtools.errors import BadOption, InputOutput, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from imgtools.block.extent import Extent
    from imgtools.block.filters.fault_rules import Rule
    from imgtools.block.graph import Context
    from imgtools.block.node import Buffer, Node

CUTS = ("max-transfer", "max-write-zero", "max-discard")
"""Options by which requests are cut."""
LIMITS = {
    "align": "request-alignment",
    "max-transfer": "max-transfer",
    "max-write-zero": "max-write-zeroes",
    "opt-write-zero": "write-zeroes-alignment",
    "max-discard": "max-discard",
    "opt-discard": "discard-alignment",
}
"""Options that say what the disk shall pretend to need, and its names among `Node.limits`."""


class Suspended:
    """A request that waits under a name."""

    def __init__(self, tag: str) -> None:
        self.tag = tag


class BlkDebug(Filter):
    """`child`, with the faults that `rules` describe. `limits` are bytes by option name, 0 for none."""

    driver = "blkdebug"

    def __init__(self, child: Node, rules: list[Rule], limits: dict[str, int] | None = None) -> None:
        super().__init__(child)
        self.listens = True
        self.pretended = {name: (limits or {}).get(name, 0) for name in LIMITS}
        self.report: Callable[[str], None] = lambda message: None
        """Told when a request is suspended and when it goes on."""
        self._machine = Machine(rules)
        self._changed = Condition()
        self._suspended: list[Suspended] = []
        self.event("none")

    # Events and breakpoints.

    def event(self, name: str) -> None:
        """Follow the rules for an event. Returns when every breakpoint that was met has been resumed."""
        with self._changed:
            tags = self._machine.take_place(name)
        for tag in tags:
            self._suspend(tag)

    def break_at(self, event: str, tag: str) -> None:
        """The next request that comes to `event` waits there, under the name `tag`."""
        if event not in EVENTS:
            raise BadOption(f"there is no event '{event}'", hint=f"Events: {', '.join(EVENTS)}.")
        with self._changed:
            self._machine.rules.append(Break(event, tag))

    def is_suspended(self, tag: str) -> bool:
        """Whether a request waits under that name."""
        return any(request.tag == tag for request in self._suspended)

    def resume(self, tag: str) -> None:
        """Let one request that waits under that name go on. Raises NotFound where there is none."""
        with self._changed:
            request = next((request for request in self._suspended if request.tag == tag), None)
            if request is None:
                raise NotFound(f"no request is suspended as '{tag}'", path=self.filename)
            self.report(f"blkdebug: Resuming request '{tag}'")
            self._suspended.remove(request)
            self._changed.notify_all()

    def remove_break(self, tag: str) -> None:
        """Forget the breakpoints of that name, and resume what waits under it. Raises NotFound where there is none."""
        rules = self._machine.rules
        with self._changed:
            kept = [rule for rule in rules if not (isinstance(rule, Break) and rule.tag == tag)]
            if len(kept) == len(rules) and not self.is_suspended(tag):
                raise NotFound(f"there is no breakpoint '{tag}'", path=self.filename)
            rules[:] = kept
            while self.is_suspended(tag):
                self.resume(tag)

    def _suspend(self, tag: str) -> None:
        request = Suspended(tag)
        with self._changed:
            self.report(f"blkdebug: Suspended request '{tag}'")
            self._suspended.append(request)
            self._changed.wait_for(lambda: request not in self._suspended)

    # Requests.

    @property
    def allocated_size(self) -> int | None:
        return None  # as in QEMU, where a blkdebug does not ask what is below it

    def readinto(self, offset: int, buffer: memoryview) -> None:
        for start, length in self._pieces(offset, len(buffer), "max-transfer"):
            self._check("read", start, length)
            self.child.readinto(start, buffer[start - offset : start - offset + length])

    def write(self, offset: int, data: Buffer) -> None:
        self.event("pwritev")
        view = memoryview(data).cast("B")
        for start, length in self._pieces(offset, len(view), "max-transfer"):
            self._check("write", start, length)
            self.child.write(start, view[start - offset : start - offset + length])
        self.event("pwritev_done")

    def zero(self, offset: int, length: int, *, unmap: bool = True) -> None:
        self.event("pwritev_zero")
        for start, size in self._pieces(offset, length, "max-write-zero"):
            self._check("write-zeroes", start, size)
            self.child.zero(start, size, unmap=unmap)
        self.event("pwritev_done")

    def discard(self, offset: int, length: int) -> None:
        for start, size in self._pieces(offset, length, "max-discard"):
            self._check("discard", start, size)
            self.child.discard(start, size)

    def flush(self) -> None:
        self.event("flush_to_os")
        self.event("flush_to_disk")
        self._check("flush", 0, 0)
        self.child.flush()

    def extents(self, offset: int, length: int) -> Iterator[Extent]:
        self._check("block-status", offset, length)
        return self.child.extents(offset, length)

    def limits(self) -> dict[str, int]:
        return super().limits() | {LIMITS[name]: size for name, size in self.pretended.items() if size}

    def _pieces(self, offset: int, length: int, limit: str) -> Iterator[tuple[int, int]]:
        size = self.pretended[limit] or max(1, length)
        for start in range(offset, offset + length, size):
            yield start, min(size, offset + length - start)

    def _check(self, io_type: str, offset: int, length: int) -> None:
        with self._changed:
            errno = self._machine.error_for(io_type, offset, length)
        if errno:
            raise InputOutput(os.strerror(errno), path=self.filename, offset=offset, errno=errno)


def find_blkdebug(node: Node) -> BlkDebug | None:
    """The uppermost blkdebug in a tree, not looking into the backing chain."""
    if isinstance(node, BlkDebug):
        return node
    below = (child for name, child in node.children.items() if name != "backing")
    return next((found for found in map(find_blkdebug, below) if found), None)


class BlkDebugDriver(Driver):
    """The driver: its options, the two ways to name it, and its rules."""

    name = "blkdebug"
    is_protocol = True
    children = (Child("image", by_name="x-image"),)
    open_options = (
        Option("config", "text", "a file with rules", identity=True),
        Option("align", "size", "the alignment that requests are said to need: a power of two", identity=True),
        *(Option(name, "size", "cut requests into pieces of so many bytes", identity=True) for name in CUTS),
        *(
            Option(name, "size", "what `info --limits` tells", identity=True)
            for name in ("opt-write-zero", "opt-discard")
        ),
        *(
            Option(f"{section}.*.{option.name}", option.kind, option.help, choices=option.choices, identity=True)
            for section, options in RULE_OPTIONS.items()
            for option in options
        ),
    )

    def parse_name(self, name: str) -> dict[str, Any]:
        rest = name.removeprefix("blkdebug:")
        if rest == name:
            return {"x-image": name}
        config, colon, image = rest.partition(":")
        if not colon:
            raise BadOption("blkdebug requires both config file and image path")
        return {"x-image": image, **({"config": config} if config else {})}

    def open_node(self, children: dict[str, Node], context: Context) -> Node:
        options = context.options
        rules = read_config(options["config"]) if "config" in options else []
        rules += _listed_rules(options)
        align = options.get("align", 1)
        if not is_power_of_two(align):
            raise BadOption(f"Cannot meet constraints with align {align}")
        return BlkDebug(children["image"], rules, {name: options.get(name, 0) for name in LIMITS})

    def plain_name(self, options: dict[str, Any], children: dict[str, Node]) -> str | None:
        below = children["image"].plain_name
        if below is None or options.keys() - {"config"}:
            return None
        return f"blkdebug:{options.get('config', '')}:{below}"


def _listed_rules(options: dict[str, Any]) -> list[Rule]:
    """The rules among the options: SECTION.NUMBER.NAME, the numbers of a section counting from 0."""
    rules = []
    for section in RULE_OPTIONS:
        listed: dict[int, dict[str, Any]] = {}
        for name, value in options.items():
            if name.startswith(f"{section}."):
                _, number, key = name.split(".")
                listed.setdefault(int(number), {})[key] = value
        if listed and max(listed) >= len(listed):
            raise BadOption(f"Unused option '{max(listed)}.event' for [{section}]", hint="Lists count from 0.")
        rules += [make_rule(section, listed[number]) for number in sorted(listed)]
    return rules


DRIVERS = (BlkDebugDriver(),)
