"""One connection: a guest's on one side, a socket of the host's on the other (RFC 9293, section 3.3.2 and 3.10).

The states before ESTABLISHED are named; what follows it is told by two ends: `sender.ended` (the host sends no more),
`receiver.ended` (the guest does). What comes from the guest in one go is answered once, by `settle`.
"""

from __future__ import annotations

import errno
import socket
import struct
from enum import Enum, auto
from typing import TYPE_CHECKING

from ..ip import Packet
from ..poller import READ, WRITE
from ..segmentation import LARGEST, SEGMENT
from .receiver import FIRST, SHIFT, Receiver
from .segment import ACK, FIN, PSH, RST, SYN, Guest, Segment, build_options, parse_options
from .sender import SECOND, Piece, Sender

if TYPE_CHECKING:
    from .nat import Tcp

SYN_TRIES, TRIES = 6, 12
LINGER_TIME = 10 * SECOND  # TIME-WAIT: the link keeps no segment for longer
READ_SIZE = 64 << 10
READ_SPACE = 32 << 10  # reading from the host goes on when there is so much space
ABORT = struct.pack("ii", 1, 0)  # SO_LINGER: closing resets the connection


class State(Enum):
    CONNECTING = auto()  # the guest's SYN waits for the host's connection
    SYN_SENT = auto()
    SYN_RECEIVED = auto()
    ESTABLISHED = auto()  # until both ends have ended
    TIME_WAIT = auto()
    CLOSED = auto()


class Connection:
    """`remote` and `guest` are the ends as the guest calls them."""

    def __init__(self, tcp: Tcp, remote: Guest, guest: Guest, sock: socket.socket, first: int) -> None:
        self._tcp = tcp
        self.remote, self.guest = remote, guest
        self.socket = sock
        self.state = State.CLOSED
        self.sender = Sender(first)
        self.receiver = Receiver(0)
        self.syn: Packet | None = None  # while the host connects
        self._must_acknowledge = False
        self._readable = False  # the host may have sent more than was taken
        self._shut = False  # the host knows that the guest sends no more
        self._watched = 0
        self._progress = first  # SND.UNA when the timer was set

    # -- opening --------------------------------------------------------------------------------------------

    def accept(self, packet: Packet, segment: Segment) -> None:
        """A guest's SYN; the socket is connecting."""
        self.syn = packet._replace(data=memoryview(b""), start=memoryview(bytes(packet.start)))
        self._agree(segment)
        self.state = State.CONNECTING
        self._watch(WRITE)

    def connect(self) -> None:
        """A connection of the host's; its socket is connected."""
        self.state = State.SYN_SENT
        self.receiver.shift = SHIFT
        self._send_syn()

    def _agree(self, segment: Segment) -> None:
        """What the guest's SYN says."""
        self.sender.mss, shift = parse_options(segment.options)
        self.sender.mss = min(self.sender.mss, SEGMENT)
        self.sender.window = self.sender.widest = segment.window
        self.receiver = Receiver(segment.sequence + 1)
        if shift is not None:
            self.sender.shift, self.receiver.shift = shift, SHIFT

    def _connected(self) -> None:
        error = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            self.refused(error)
            return
        self.syn = None
        self.state = State.SYN_RECEIVED
        self._watch(0)
        self._send_syn()

    def refused(self, error: int) -> None:
        """The host could not connect."""
        packet = self.syn
        self.forget()
        if error == errno.ECONNREFUSED or packet is None:
            self._send(RST | ACK, self.sender.unacknowledged)
        else:
            self._tcp.icmp.failed(packet, error)

    def _send_syn(self) -> None:
        self.sender.next = self.sender.unacknowledged + 1
        options = build_options(SEGMENT, self.receiver.shift or None)
        answer = ACK if self.state == State.SYN_RECEIVED else 0
        self._send(SYN | answer, self.sender.unacknowledged, options=options, window=FIRST)
        self._tcp.timers.set(self.on_time, self._tcp.clock() + self.sender.timeout)

    def _establish(self, segment: Segment) -> None:
        self.state = State.ESTABLISHED
        self.sender.unacknowledged += 1
        self.sender.window = segment.window << (0 if segment.flags & SYN else self.sender.shift)
        self.sender.tries = 0
        self._tcp.timers.set(self.on_time, None)
        self._tcp.soon(self)

    # -- from the guest (section 3.10.7) --------------------------------------------------------------------

    def receive(self, segment: Segment) -> None:
        if self.state == State.CONNECTING:
            if segment.flags & RST:
                self.forget()
            return
        if self.state == State.SYN_SENT:
            self._receive_in_syn_sent(segment)
            return
        sequence = self.receiver.absolute(segment.sequence)
        if not self.receiver.acceptable(sequence, segment.length):
            if segment.flags & SYN and self.state == State.SYN_RECEIVED:
                self._send_syn()
            elif not segment.flags & RST:
                self.send_ack()
        elif segment.flags & RST:
            if sequence == self.receiver.next:
                self.forget(abort=True)
            else:
                self.send_ack()  # (RFC 5961, section 3.2)
        elif segment.flags & SYN:
            self.send_ack()  # (RFC 5961, section 4.2)
        elif segment.flags & ACK:
            self._receive_acceptable(sequence, segment)

    def _receive_in_syn_sent(self, segment: Segment) -> None:
        right = self.sender.absolute(segment.acknowledgment) == self.sender.next
        if segment.flags & ACK and not right:
            if not segment.flags & RST:
                self._tcp.reset_segment(self.remote, self.guest, segment)
        elif segment.flags & RST and right:
            self.forget(abort=True)
        elif segment.flags & SYN and segment.flags & ACK:
            self._agree(segment)
            self._establish(segment)
            self._must_acknowledge = True

    def _receive_acceptable(self, sequence: int, segment: Segment) -> None:
        number = self.sender.absolute(segment.acknowledgment)
        if number > self.sender.next:
            self.send_ack()
            return
        if self.state == State.SYN_RECEIVED:
            if number != self.sender.next:
                self._tcp.reset_segment(self.remote, self.guest, segment)
                return
            self._establish(segment)
        if self.state == State.ESTABLISHED:
            self._receive_acknowledgment(number, sequence, segment)
        if segment.data or segment.flags & FIN:
            if self.receiver.accept(sequence, segment.data, fin=bool(segment.flags & FIN)):
                self._must_acknowledge = True
            else:
                self.send_ack()  # at once: three of these are how the guest sees a loss
        self._tcp.soon(self)

    def _receive_acknowledgment(self, number: int, sequence: int, segment: Segment) -> None:
        now = self._tcp.clock()
        if number >= self.sender.unacknowledged:
            window = segment.window << self.sender.shift
            if self.sender.acknowledge(number, window, now, sequence=sequence, plain=not segment.length):
                self._send_piece(self.sender.again())
            self._set_timer(now)

    # -- to the guest ---------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Hand on what came, and answer."""
        if self.state == State.ESTABLISHED:
            self._push()
        if self.state == State.ESTABLISHED:
            self._pull()
        if self.state == State.ESTABLISHED:
            reads = READ if not (self._readable or self.sender.ended) else 0
            self._watch(reads | (WRITE if self.receiver.waiting else 0))
            self.output()
        if self.state not in (State.ESTABLISHED, State.TIME_WAIT):
            return
        if self._must_acknowledge or self.receiver.opens:
            self.send_ack()
        self._finish()

    def output(self) -> None:
        """Send what the window and the queue allow."""
        now = self._tcp.clock()
        largest = LARGEST if self.sender.mss == SEGMENT else self.sender.mss
        while self._tcp.has_room(self):
            piece = self.sender.take(now, largest)
            if piece is None:
                break
            self._send_piece(piece)
        self._set_timer(now)

    def _send_piece(self, piece: Piece) -> None:
        flags = ACK | PSH * (piece.last and bool(piece.data)) | FIN * piece.fin
        self._send(flags, piece.sequence, piece.data)

    def send_ack(self) -> None:
        self._send(ACK, self.sender.next)

    def _send(
        self, flags: int, sequence: int, data: bytes | bytearray = b"", options: bytes = b"", window: int | None = None
    ) -> None:
        self._must_acknowledge = False
        window = self.receiver.window if window is None else window
        self._tcp.send(self.remote, self.guest, sequence, self.receiver.next, flags, window, data, options)

    # -- time -----------------------------------------------------------------------------------------------

    def _set_timer(self, now: int) -> None:
        """There is a time for an answer to what is sent, or for a probe of a window that is closed."""
        waits = self.sender.in_flight or (self.sender.buffer and not self.sender.window)
        if not waits:
            self._tcp.timers.set(self.on_time, None)
        elif not self._tcp.timers.is_set(self.on_time) or self._progress != self.sender.unacknowledged:
            self._progress = self.sender.unacknowledged
            self._tcp.timers.set(self.on_time, now + self.sender.timeout)

    def on_time(self, now: int) -> None:
        """No answer came."""
        if self.state == State.TIME_WAIT:
            self.forget()
            return
        self.sender.back_off()
        if self.state in (State.SYN_SENT, State.SYN_RECEIVED):
            if self.sender.tries > SYN_TRIES:
                self.abort()
            else:
                self._send_syn()
        elif self.state == State.ESTABLISHED:
            if self.sender.tries > TRIES:
                self.abort()
                return
            self._send_piece(self.sender.again())
            self._tcp.timers.set(self.on_time, now + self.sender.timeout)

    # -- the host's side ------------------------------------------------------------------------------------

    def serve(self, events: int) -> None:
        """The socket is ready."""
        if self.state == State.CONNECTING:
            self._connected()
            return
        self._readable |= bool(events & READ)
        self._tcp.soon(self)

    def _pull(self) -> None:
        """Take what the host sends, as long as there is space."""
        while self._readable and not self.sender.ended and self.sender.space >= READ_SPACE:
            size = min(READ_SIZE, self.sender.space)
            try:
                data = self.socket.recv(size)
            except BlockingIOError:
                self._readable = False
            except OSError:
                self.abort()
                return
            else:
                self.sender.buffer += data
                self.sender.ended = not data
                self._readable = len(data) == size

    def _push(self) -> None:
        """Give the host what the guest sent."""
        waiting = self.receiver.waiting
        try:
            if waiting:
                del waiting[: self.socket.send(waiting)]
            if self.receiver.ended and not waiting and not self._shut:
                self._shut = True
                self.socket.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            pass
        except OSError:
            self.abort()

    def _watch(self, events: int) -> None:
        if events != self._watched:
            self._tcp.poller.watch(self.socket, events, self.serve)
            self._watched = events

    # -- the end --------------------------------------------------------------------------------------------

    def _finish(self) -> None:
        """Both ends have ended, and all has been handed over: the side that ended last needs no TIME-WAIT."""
        if self.state != State.ESTABLISHED or not (self.sender.finished and self._shut):
            return
        self._release()
        self.state = State.TIME_WAIT
        self._tcp.timers.set(self.on_time, self._tcp.clock() + LINGER_TIME)

    def abort(self) -> None:
        """Reset both sides."""
        self._send(RST | ACK, self.sender.next)
        self.forget(abort=True)

    def forget(self, *, abort: bool = False) -> None:
        """The connection is no more. `abort`: its peer on the host shall see that it was reset."""
        if abort and self.state != State.TIME_WAIT:
            try:
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
            except OSError:
                pass
        self._release()
        self.state = State.CLOSED
        self._tcp.timers.set(self.on_time, None)
        self._tcp.remove(self)

    def _release(self) -> None:
        if self.socket.fileno() >= 0:
            self._watch(0)
            self.socket.close()
        self.receiver.waiting.clear()
        self.sender.buffer.clear()
