"""What is left of an image when its writer dies, or the machine loses its power: replayed at every write.

`RecordingStorage` logs what reaches the file. `survives_crashes` runs a script of operations on one, then takes
every prefix of the log, also with its last write torn at a sector's border, as the file that a crash leaves behind;
and, for a power cut, any part of what was written since the last flush. The image must open, hold every byte that was
flushed before, and its check may report leaks but no corruption; repairing the leaks must leave none.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from imgtools.align import round_down
from imgtools.block.format import Checkable
from imgtools.block.node import Node
from imgtools.block.protocols.memory import MemoryNode
from tests.model import Model, Operation, Subject, check_is_clean

if TYPE_CHECKING:
    from imgtools.block.node import Buffer

SECTOR = 512
"""Disks write sectors whole."""

PAGE = 4096
"""Systems write files page by page, in any order."""
POWER_CUTS = 6
"""Power cuts tried between two flushes."""

Event = tuple[str, int, bytes]
"""("write", offset, data), ("truncate", size, b""), or ("flush", 0, b"")."""


class RecordingStorage(MemoryNode):
    """A file in memory that remembers the order in which it was changed and flushed, in `log`."""

    def __init__(self, content: Buffer = b"") -> None:
        super().__init__("image", content)
        self.start_recording()

    def start_recording(self) -> None:
        """Forget the log: what the file holds now is where replays begin."""
        self.base = bytes(self.content)
        self.log: list[Event] = []

    def write(self, offset: int, data: Buffer) -> None:
        self.log.append(("write", offset, bytes(data)))
        super().write(offset, data)

    def truncate(self, size: int) -> None:
        self.log.append(("truncate", size, b""))
        super().truncate(size)

    def flush(self) -> None:
        self.log.append(("flush", 0, b""))

    def contents_after(self) -> Iterator[tuple[int, str, bytearray]]:
        """What a crash can leave: (events that were begun, "whole" or "torn", the file's content).

        "whole" files had all those events; "torn" ones only the first sectors of the last, a write: about half.
        """
        state = MemoryNode("replay", self.base)
        yield 0, "whole", bytearray(state.content)
        for count, (verb, where, data) in enumerate(self.log, 1):
            if verb == "write":
                border = round_down(where + len(data) // 2, SECTOR)
                if border > where:
                    torn = MemoryNode("replay", state.content)
                    torn.write(where, data[: border - where])
                    yield count, "torn", torn.content
            replay(state, [(verb, where, data)])
            yield count, "whole", bytearray(state.content)

    def crashes(self) -> Iterator[tuple[int, str, bytearray]]:
        """All of that, for a writer that dies and for a machine that loses its power."""
        yield from self.contents_after()
        yield from self.contentsafter_power_cuts(random.Random(1))

    def contentsafter_power_cuts(self, chance: random.Random) -> Iterator[tuple[int, str, bytearray]]:
        """What a power cut can leave, likewise: of the pages written since the last flush some, all or none of
        the sizes that the file was given since then."""
        state, since = MemoryNode("replay", self.base), list[Event]()
        for position, event in enumerate([*self.log, ("flush", 0, b"")]):
            if event[0] != "flush":
                since.append(event)
                continue
            for _ in range(POWER_CUTS if since else 0):
                begun = chance.choice((len(since), chance.randint(1, len(since))))
                survivors = MemoryNode("replay", state.content)
                replay(survivors, after_power_cut(since[:begun], chance))
                yield position - len(since) + begun, "power cut", survivors.content
            replay(state, since)
            since.clear()


def after_power_cut(events: list[Event], chance: random.Random) -> Iterator[Event]:
    """Those of the events since the last flush that had reached the disk: of the latest most, of the first few."""
    sizes = chance.choice((0, len(events)))
    for number, (verb, where, data) in enumerate(events, 1):
        if verb == "truncate" and number <= sizes:
            yield verb, where, data
        elif verb == "write":
            for page in range(round_down(where, PAGE), where + len(data), PAGE):
                start = max(where, page)
                if chance.random() < number / len(events):
                    yield verb, start, data[start - where : page + PAGE - where]


def replay(storage: MemoryNode, events: Iterable[Event]) -> None:
    """Do what the events say to a file."""
    for verb, where, data in events:
        if verb == "write":
            storage.write(where, data)
        elif verb == "truncate":
            storage.truncate(where)


class _Moment:
    """The model's content when the storage's log had `position` events; `flushed` if a flush had just returned."""

    def __init__(self, position: int, content: bytearray, flushed: bool) -> None:
        self.position = position
        self.content = bytes(content)
        self.flushed = flushed


def survives_crashes(subject: Subject, operations: Iterable[Operation]) -> int:
    """Run `operations`, then verify every crash; the number of crashes, so that a test can see that there were some."""
    storage = RecordingStorage()
    subject.create(storage)
    storage.start_recording()
    moments = _perform(subject, storage, operations)
    crashes = 0
    for begun, how, content in storage.crashes():
        known = [moment for moment in moments if moment.position <= begun]
        last_flush = max(index for index, moment in enumerate(known) if moment.flushed)
        # The operation that was under way when the crash came may have been done in part.
        under_way = moments[len(known) : len(known) + 1]
        try:
            _verify(subject, content, known[last_flush].content, [*known[last_flush:], *under_way])
        except Exception as error:
            last = storage.log[begun - 1][:2] if begun else "none"
            raise AssertionError(f"after {begun} events ({how}; last: {last}): {error}") from error
        crashes += 1
    return crashes


def _perform(subject: Subject, storage: RecordingStorage, operations: Iterable[Operation]) -> list[_Moment]:
    node, model = subject.open(storage), Model(subject)
    moments = [_Moment(0, model.content, True)]
    for operation in operations:
        model.apply(node, operation)
        moments.append(_Moment(len(storage.log), model.content, operation[0] == "flush"))
    model.verify(node)
    node.close()
    moments.append(_Moment(len(storage.log), model.content, False))
    return moments


def _verify(subject: Subject, content: bytearray, flushed: bytes, versions: list[_Moment]) -> None:
    node = subject.open(MemoryNode("image", content))
    _holds(node, flushed, versions)
    check_is_clean(node, leaks_allowed=True)
    if isinstance(node, Checkable) and node.check(lambda finding: None).leaks:
        node.check(lambda finding: None, "leaks")
        check_is_clean(node)
        _holds(node, flushed, versions)
    node.close()


def _holds(node: Node, flushed: bytes, versions: list[_Moment]) -> None:
    """Each byte is what was flushed, or what an operation since then has made of it."""
    found = node.read(0, node.size)
    if found == flushed:
        return
    for start in range(0, len(found), 512):
        part = slice(start, start + 512)
        if found[part] == flushed[part] or any(found[part] == moment.content[part] for moment in versions):
            continue
        for at in range(start, min(start + 512, len(found))):
            allowed = {moment.content[at] for moment in versions}
            assert found[at] in allowed, f"byte {at:#x} is {found[at]:#04x}, flushed was {flushed[at]:#04x}"
