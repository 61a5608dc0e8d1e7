"""What blkdebug does when: events, the rules that wait for them, and the machine that goes from state to state.

A format names what it is about to do by an event ("l2_load"). A rule belongs to an event and, unless its state is 0,
to one state of the machine, which starts in 1. There are three kinds, written as QEMU's configuration files do:

    [inject-error]          from this event on, requests fail with `errno` (a number; 5, EIO, if not given):
    event = "l2_load"       those of `iotype` (all but block-status if not given) that touch `sector` (any if not
    errno = "5"             given); only one request where `once` is "on"
    once = "on"
    [set-state]             go to `new_state`
    event = "read_aio"
    state = "1"
    new_state = "2"

and, from a shell or a program only, breakpoints: a request that comes to the event waits until it is resumed.
"""

from __future__ import annotations

from imgtools.block.options import Option
from imgtools.errors import BadOption, from_os_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

SECTOR = 512
EIO = 5
ANY_STATE = 0
FIRST_STATE = 1
MAX_CONFIG = 1 << 20
"""Bytes of a configuration file that are read. Real ones have a few hundred."""

EVENTS = """
l1_update l1_grow_alloc_table l1_grow_write_table l1_grow_activate_table l1_shrink_write_table
l1_shrink_free_l2_clusters l2_load l2_update l2_update_compressed l2_alloc_cow_read l2_alloc_write
read_aio read_backing_aio read_compressed write_aio write_compressed vmstate_load vmstate_save cow_read cow_write
reftable_load reftable_grow reftable_update refblock_load refblock_update refblock_update_part
refblock_alloc refblock_alloc_hookup refblock_alloc_write refblock_alloc_write_blocks refblock_alloc_write_table
refblock_alloc_switch_table cluster_alloc cluster_alloc_bytes cluster_alloc_space cluster_free
flush_to_os flush_to_disk pwritev_rmw_head pwritev_rmw_after_head pwritev_rmw_tail pwritev_rmw_after_tail
pwritev pwritev_zero pwritev_done cor_write empty_image_prepare none
""".split()  # noqa: SIM905
"""The names in QEMU's QAPI (BlkdebugEvent). "none" takes place once, when the node is opened."""

IO_TYPES = ("read", "write", "write-zeroes", "discard", "flush", "block-status")

RULE_OPTIONS = {
    "inject-error": (
        Option("event", "text", "the event from which on requests fail", choices=tuple(EVENTS)),
        Option("state", "int", "the state in which the rule holds (0, the default: any)", default=ANY_STATE),
        Option("iotype", "text", "the kind of requests that fail", choices=IO_TYPES),
        Option("errno", "int", "the number of the error (5: input/output error)", default=EIO),
        Option("sector", "int", "the sector of 512 bytes that cannot be reached"),
        Option("once", "bool", "let one request fail and no more", default=False),
        Option("immediately", "bool", "accepted: requests fail at once in any case"),
    ),
    "set-state": (
        Option("event", "text", "the event at which the state changes", choices=tuple(EVENTS)),
        Option("state", "int", "the state in which the rule holds (0, the default: any)", default=ANY_STATE),
        Option("new_state", "int", "the state that follows", default=ANY_STATE),
    ),
}
"""A section of the configuration, or a list of options, to what it may say."""


class Rule:
    """What to do at an event. Subclasses say what."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.event: str = values["event"]
        self.state: int = values.get("state", ANY_STATE)


class SetState(Rule):
    def __init__(self, values: dict[str, Any]) -> None:
        super().__init__(values)
        self.new_state: int = values.get("new_state", ANY_STATE)


class Break(Rule):
    def __init__(self, event: str, tag: str) -> None:
        super().__init__({"event": event})
        self.tag = tag


class InjectError(Rule):
    def __init__(self, values: dict[str, Any]) -> None:
        super().__init__(values)
        self.io_type: str | None = values.get("iotype")
        self.errno: int = values.get("errno", EIO)
        self.sector: int | None = values.get("sector")
        self.once: bool = values.get("once", False)

    def hits(self, io_type: str, offset: int, length: int) -> bool:
        """Whether a request is one that is to fail."""
        if io_type != self.io_type and (self.io_type or io_type == "block-status"):
            return False
        return self.sector is None or offset <= self.sector * SECTOR < offset + length


class Machine:
    """The rules, the state, and the errors that are in force. Not safe by itself: call with a lock held."""

    def __init__(self, rules: list[Rule]) -> None:
        self.rules = rules
        self.state = FIRST_STATE
        self.active: list[InjectError] = []

    def take_place(self, event: str) -> list[str]:
        """An event takes place; answers the tags of the breakpoints that it met, which are used up.

        All rules look at the state as it was before. Errors that are put in force replace those that were.
        """
        met = [rule for rule in self.rules if rule.event == event and rule.state in (ANY_STATE, self.state)]
        errors = [rule for rule in met if isinstance(rule, InjectError)]
        breaks = [rule for rule in met if isinstance(rule, Break)]
        if errors:
            self.active = errors[::-1]  # of several that would hit, the last one does
        for rule in met:
            if isinstance(rule, SetState):
                self.state = rule.new_state
        for rule in breaks:
            self.rules.remove(rule)
        return [rule.tag for rule in breaks]

    def error_for(self, io_type: str, offset: int, length: int) -> int | None:
        """The number of the error with which a request is to fail."""
        for rule in self.active:
            if rule.hits(io_type, offset, length):
                if rule.once:
                    self.active.remove(rule)
                    self.rules.remove(rule)
                return rule.errno
        return None


def make_rule(section: str, values: dict[str, Any]) -> Rule:
    """The rule that a section of a configuration stands for."""
    if "event" not in values:
        raise BadOption("Missing event name for rule")
    return InjectError(values) if section == "inject-error" else SetState(values)


def read_config(path: str) -> list[Rule]:
    """The rules in a configuration file."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read(MAX_CONFIG)
    except OSError as error:
        raise from_os_error(error, "Could not read blkdebug config file", path) from error
    return [make_rule(section, values) for section, values in _sections(text, path)]


def _sections(text: str, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    section = ""
    values: dict[str, Any] = {}
    for number, line in enumerate(map(str.strip, text.splitlines()), 1):
        if not line or line.startswith("#"):
            continue
        if line.startswith("[") and line.endswith("]"):
            if section:
                yield section, values
            section, values = line[1:-1].partition(" ")[0], {}
            if section not in RULE_OPTIONS:
                raise BadOption(f"There is no option group '{section}'", path=path)
            continue
        name, equals, value = (part.strip() for part in line.partition("="))
        if not equals or len(value) < 2 or value[0] != '"' or value[-1] != '"':
            raise BadOption(f"{path}:{number}: parse error", path=path, hint='A line is name = "value".')
        if not section:
            raise BadOption("no group defined", path=path)
        option = next((option for option in RULE_OPTIONS[section] if option.name == name), None)
        if option is None:
            raise BadOption(f"Invalid parameter '{name}'", path=path)
        values[name] = option.parse(value[1:-1])
    if section:
        yield section, values
