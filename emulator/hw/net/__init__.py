"""The network of a PC: `UserNetwork`, and what a protocol needs, each in its own file; `attach` is the wiring."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emulator.machine.config import PcConfig

    from ..device import Clock
    from ..pci import PciBus, PciFunction
    from .user import UserNetwork

MAC = bytes.fromhex("525400123456")
E1000, VIRTIO = "e1000", "virtio"


def attach(
    pci: PciBus, config: PcConfig, clock: Clock, post: Callable[[Callable[[], None]], None]
) -> UserNetwork | None:
    """Put the card that a machine's configuration asks for on its bus, and a network behind it."""
    if config.network is None:
        return None
    from .user import UserNetwork

    network = UserNetwork(clock, post, config.forwards)
    pci.bus.add(network)
    pci.add(_card(config.network, network, clock))
    return network


def _card(kind: str, network: UserNetwork, clock: Clock) -> PciFunction:
    if kind == E1000:
        from ..e1000 import E1000 as Card

        card = Card(network, MAC, clock)
        network.attach(card)
        return card
    from ..virtio.net import VirtioNet
    from ..virtio.pci import VirtioPci

    device = VirtioNet(network, MAC)
    network.attach(device)
    return VirtioPci(device)
