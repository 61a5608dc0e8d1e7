"""Key slots while they are changed: whatever is the last write before a crash, the disk is not lost.

A volume with two passphrases is recorded while `amend` adds or erases one. In what any crash leaves, the passphrase
that is to remain opens the disk, and the other one opens it or does not, but never opens another disk.
"""

from __future__ import annotations

from typing import Any

import pytest

from imgtools.block.format import Amendable
from imgtools.block.node import Node, Storage
from imgtools.block.protocols.memory import MemoryNode
from imgtools.block.registry import find_format
from imgtools.errors import AccessDenied, ImageError
from imgtools.operations.create import options_for
from tests.crash import RecordingStorage
from tests.model import MemoryContext, pattern

DISK = 64 << 10
SECRETS = {"first": b"swordfish", "second": b"correct horse", "third": b"letmein"}
CREATE = {"cipher-alg": "aes-128", "iter-time": 1, "key-secret": "first"}
FORMATS = pytest.mark.parametrize("format", ["luks", "qcow2"])


def prefix(format: str) -> str:
    return "encrypt." if format == "qcow2" else ""


def context(storage: Storage, format: str, secret: str) -> MemoryContext:
    options = {f"{prefix(format)}key-secret": secret}
    return MemoryContext({"image": storage}, writable=True, objects=SECRETS, options=options)


def opened(storage: Storage, format: str, secret: str) -> Node:
    return find_format(format).open(storage, context(storage, format, secret))


def amend(storage: Storage, format: str, options: dict[str, Any], *, force: bool = False) -> None:
    with opened(storage, format, "first") as node:
        assert isinstance(node, Amendable)
        node.amend({f"{prefix(format)}{name}": value for name, value in options.items()}, force=force)


@pytest.fixture(scope="module")
def volumes() -> dict[str, bytes]:
    """A volume of each kind with the passphrases "first" and "second", in slots 0 and 1."""
    made = {}
    for name in ("luks", "qcow2"):
        storage = MemoryNode("image")
        format = find_format(name)
        values: dict[str, Any] = {option.name: option.default for option in options_for(format)}
        values |= {f"{prefix(name)}{option}": value for option, value in CREATE.items()}
        if name == "qcow2":
            values["encrypt.format"] = "luks"
        format.create("image", DISK, values, context(storage, name, "first"))
        amend(storage, name, {"state": "active", "new-secret": "second", "iter-time": 1})
        with opened(storage, name, "first") as node:
            node.write(0, pattern(DISK))
        made[name] = bytes(storage.content)
    return made


def opens(content: bytes | bytearray, format: str, secret: str) -> bool:
    """Whether the passphrase opens what a crash has left; the disk is then the one that was there."""
    try:
        with opened(MemoryNode("image", content), format, secret) as node:
            assert node.read(0, DISK) == pattern(DISK)
    except AccessDenied:
        return False
    return True


@FORMATS
@pytest.mark.parametrize(
    ("options", "force", "stays", "goes_or_comes"),
    [
        pytest.param({"state": "active", "new-secret": "third"}, False, "first", "third", id="added"),
        # The entry of slot 6 lies over the border of two sectors, of which a crash may write only one.
        pytest.param({"state": "active", "new-secret": "third", "keyslot": 6}, False, "second", "third", id="torn"),
        pytest.param({"state": "inactive", "old-secret": "second"}, False, "first", "second", id="erased"),
        pytest.param({"state": "inactive", "keyslot": 0}, False, "second", "first", id="erased by number"),
        pytest.param({"state": "active", "new-secret": "third", "keyslot": 1}, True, "first", "second", id="replaced"),
    ],
)
def test_a_crash_at_any_write_leaves_a_way_in(
    options: dict[str, Any], force: bool, stays: str, goes_or_comes: str, format: str, volumes: dict[str, bytes]
) -> None:
    storage = RecordingStorage(volumes[format])
    amend(storage, format, {**options, **({"iter-time": 1} if options["state"] == "active" else {})}, force=force)
    answers = []
    for _, how, content in storage.crashes():
        assert opens(content, format, stays)
        answer = opens(content, format, goes_or_comes)
        if how != "power cut":  # which come in no order
            answers.append(answer)
    comes = goes_or_comes == "third"
    assert answers[0] is not comes and answers[-1] is comes
    assert answers == sorted(answers, reverse=not comes), "a passphrase came and went"


@FORMATS
def test_the_only_passphrase_is_replaced(format: str, volumes: dict[str, bytes]) -> None:
    """With `force` a slot is overwritten that is in use; the new passphrase opens before the old one does not."""
    base = MemoryNode("image", volumes[format])
    amend(base, format, {"state": "inactive", "old-secret": "second"})
    storage = RecordingStorage(base.content)
    amend(storage, format, {"state": "active", "new-secret": "third", "keyslot": 0, "iter-time": 1}, force=True)
    for _, _, content in storage.crashes():
        assert opens(content, format, "first") or opens(content, format, "third")
    assert not opens(content, format, "first") and opens(content, format, "third")


def test_a_slot_without_its_material_opens_nothing(volumes: dict[str, bytes]) -> None:
    """What the order of writes is for: a slot that is named active before its material is there."""
    storage = MemoryNode("image", volumes["luks"])
    amend(storage, "luks", {"state": "active", "new-secret": "third", "iter-time": 1, "keyslot": 2})
    with opened(storage, "luks", "third") as node:
        slots = node.details()["slots"]
    before = volumes["luks"]
    place = slots[2]["key-offset"]
    storage.content[place:] = before[place:]
    assert not opens(storage.content, "luks", "third") and opens(storage.content, "luks", "first")
    with pytest.raises(ImageError, match="keyslot"):
        opened(storage, "luks", "third")
