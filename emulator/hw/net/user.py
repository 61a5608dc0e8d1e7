"""The network behind a card, without any rights on the host: what the guest sends is done by sockets of the host.

The card hands over frames by `send`, and gets some by its `receive`; all of it in the machine's thread. What the
guest's frames cause is queued and done by `_settle`, which is posted, so that no card is entered while it is sending.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..device import Clock, Device
from .addresses import Endpoint
from .dhcp import DhcpServer
from .dns import find_resolver
from .ethernet import Card, Link
from .forwards import Forward, open_forward
from .icmp import Icmp
from .ip import Ip
from .poller import Poller
from .tcp.nat import Tcp
from .timers import Timers
from .udp import Udp


class UserNetwork(Device):
    """10.0.2.0/24 with one card in it. `resolver` is the host's name server if it is not to be looked up."""

    def __init__(
        self,
        clock: Clock,
        post: Callable[[Callable[[], None]], None],
        forwards: Iterable[Forward | tuple[str, str, int, int]] = (),
        resolver: Endpoint | None = None,
    ) -> None:
        self._post = post
        self._settling = False
        resolver = resolver or find_resolver()
        self._poller = Poller(post, self._settle)
        self._timers = Timers()
        self._link = Link(self._soon)
        self._ip = Ip(self._link, clock, self._timers)
        self._icmp = Icmp(self._ip)
        self._udp = Udp(self._ip, self._icmp, self._poller, clock, self._timers, resolver)
        self._tcp = Tcp(self._link, self._ip, self._icmp, self._poller, clock, self._timers, resolver, self._soon)
        self._dhcp = DhcpServer(self._ip, self._udp)
        try:
            for forward in map(Forward._make, forwards):
                protocol = self._tcp if forward.protocol == "tcp" else self._udp
                protocol.forward(open_forward(forward), forward.guest_port)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the thread, and close all sockets."""
        self._link.card = None
        self._tcp.close()
        self._poller.close()

    # -- the card's side ------------------------------------------------------------------------------------

    def attach(self, card: Card) -> None:
        """The card that gets the guest's frames."""
        self._link.card = card

    def send(self, frame: bytes | bytearray | memoryview, *, verified: bool = False) -> None:
        """A frame from the guest, of up to 64 KiB. `verified`: checksums are not looked at."""
        self._ip.verified = verified
        self._link.receive(memoryview(frame))

    def room(self) -> None:
        """The card has buffers again."""
        if self._link.queue:
            self._soon()

    # -- time -----------------------------------------------------------------------------------------------

    def _soon(self) -> None:
        if not self._settling:
            self._settling = True
            self._post(self._settle)

    def _settle(self) -> None:
        """Answer what came, and give the card what there is for it."""
        self._settling = True  # nothing need be posted from here on
        self._tcp.settle()
        while self._link.deliver() and self._tcp.resume():
            pass
        self._settling = False
        if self._tcp.unsettled:  # the guest has answered already
            self._soon()

    def reset(self) -> None:
        """The guest starts anew: what it had open is closed."""
        self._tcp.reset()
        self._udp.reset()
        self._ip.reset()
        self._link.reset()

    def next_event(self) -> int | None:
        return self._timers.next()

    def run_events(self, now: int) -> None:
        due = self._timers.next()
        if due is not None and due <= now:
            self._timers.run(now)
