"""Looking at a server without using its disks: which exports it has, and what it tells of each."""

from __future__ import annotations

from contextlib import contextmanager

from imgtools.block.graph import Context
from imgtools.block.options import Options
from imgtools.block.protocols.nbd import NbdDriver, NbdNode, open_export, tls_context
from imgtools.block.registry import driver_of_name
from imgtools.errors import BadOption
from imgtools.nbd import protocol
from imgtools.nbd.address import address_of
from imgtools.nbd.client.handshake import Refusal
from imgtools.nbd.client.session import HANDSHAKE_PATIENCE, open_channel

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Sequence
    from typing import Any

    from imgtools.nbd.address import Address
    from imgtools.nbd.client.handshake import Export, Handshake

CAPABILITIES = (
    ("is_rotational", protocol.ROTATIONAL),
    ("is_read_only", protocol.READ_ONLY),
    ("can_cache", protocol.SEND_CACHE),
    ("can_df", protocol.SEND_DF),
    ("can_fast_zero", protocol.SEND_FAST_ZERO),
    ("can_flush", protocol.SEND_FLUSH),
    ("can_fua", protocol.SEND_FUA),
    ("can_multi_conn", protocol.CAN_MULTI_CONN),
    ("can_trim", protocol.SEND_TRIM),
    ("can_zero", protocol.SEND_WRITE_ZEROES),
)
"""Transmission flags, under the names that nbdinfo gives them."""


class Found:
    """An export, the meta contexts that it has, and its URI."""

    def __init__(self, export: Export, contexts: list[str], uri: str) -> None:
        self.export = export
        self.contexts = contexts
        self.uri = uri

    def as_dict(self) -> dict[str, Any]:
        """The facts under nbdinfo's names."""
        export = self.export
        facts: dict[str, Any] = {"export-name": export.name}
        if export.description:
            facts["description"] = export.description
        facts |= {"uri": self.uri, "contexts": self.contexts}
        facts |= {name: export.can(flag) for name, flag in CAPABILITIES}
        if export.has_block_sizes:
            facts["block_size_minimum"] = export.minimum_block
            facts["block_size_preferred"] = export.preferred_block
            facts["block_size_maximum"] = export.maximum_payload
        facts |= {"export-size": export.size, "export-size-str": short_size(export.size)}
        return facts


class Server:
    """What a server told: how it speaks, and of its exports those that were asked for."""

    def __init__(self, handshake: Handshake, exports: list[Found]) -> None:
        self.tls = handshake.tls
        self.structured = handshake.structured
        self.extended = handshake.extended
        self.exports = exports

    def as_dict(self) -> dict[str, Any]:
        """The facts under nbdinfo's names."""
        facts = {"protocol": "newstyle-fixed", "TLS": self.tls, "structured": self.structured}
        return {**facts, "extended": self.extended, "exports": [found.as_dict() for found in self.exports]}


def inspect_export(name: str) -> Server:
    """The server and the one export that an NBD URI, or older name, leads to."""
    with handshake_with(name) as (handshake, address, tls):
        return Server(handshake, [_look_at(handshake, address, address.export, tls is not None)])


def inspect_server(name: str, options: dict[str, Any] | None = None, tls: ssl.SSLContext | None = None) -> Server:
    """The server that an NBD URI, or older name, leads to, with all exports that it lists and lets us see.

    `options` of the driver are added to what the name says, and TLS may be given ready-made.
    """
    with handshake_with(name, options, tls) as (handshake, address, tls):
        found = []
        for export, description in handshake.exports():
            try:
                found.append(_look_at(handshake, address, export, tls is not None))
            except Refusal:
                continue  # listed, but not for us
            found[-1].export.description = found[-1].export.description or description
        return Server(handshake, found)


def open_by_name(name: str, contexts: Sequence[str]) -> NbdNode:
    """The export behind a name, for reading; block status will tell `contexts`."""
    return open_export(values_of(name), Context(), contexts)


def values_of(name: str, options: dict[str, Any] | None = None) -> dict[str, Any]:
    """The values of the NBD driver's options that a name stands for, and of those that are added."""
    driver = driver_of_name(name)
    if not isinstance(driver, NbdDriver):
        raise BadOption(f"'{name}' is not an NBD URI", hint="Such as nbd://HOST/EXPORT or nbd+unix:///?socket=PATH.")
    return driver.take_options(Options.of({**driver.parse_name(name), **(options or {})}))


@contextmanager
def handshake_with(
    name: str, options: dict[str, Any] | None = None, tls: ssl.SSLContext | None = None
) -> Iterator[tuple[Handshake, Address, ssl.SSLContext | None]]:
    """A handshake that is under way, and is broken off in the end."""
    values = values_of(name, options)
    address, tls = address_of(values), tls or tls_context(values, {})
    channel, handshake = open_channel(address, HANDSHAKE_PATIENCE, tls, values.get("tls-hostname"))
    try:
        handshake.extend()
        yield handshake, address, tls
        handshake.abort()
    finally:
        channel.close()


def _look_at(handshake: Handshake, address: Address, name: str, tls: bool) -> Found:
    contexts = handshake.contexts(name)
    export = handshake.go(name, option=protocol.OPT_INFO)
    return Found(export, contexts, address.uri(tls=tls, export=name))


def short_size(size: int) -> str:
    """A size with the largest unit that leaves it whole: "1G", "1536K", "513"."""
    for unit in ("", "K", "M", "G", "T", "P"):
        if size % 1024 or not size:
            return f"{size}{unit}"
        size //= 1024
    return f"{size}E"
