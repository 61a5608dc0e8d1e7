"""The user-mode network: a small guest talks with real sockets of the host, on a wire that may lose and reorder."""

from __future__ import annotations

import errno
import hashlib
import random
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from emulator.hw.net.dns import find_resolver
from emulator.hw.net.forwards import Forward
from imgtools.errors import InputOutput
from tests.conftest import PATIENCE
from tests.emulator.hw.net_guest import ACK, GATEWAY, GUEST, MAC, NAME_SERVER, RST, TURN, Guest, guest, words

MEGABYTE = 1 << 20


def listener(kind: int = socket.SOCK_STREAM) -> socket.socket:
    """A socket of the host's at a free port."""
    sock = socket.socket(socket.AF_INET, kind)
    sock.bind(("127.0.0.1", 0))
    if kind == socket.SOCK_STREAM:
        sock.listen()
    sock.settimeout(PATIENCE)
    return sock


def port_of(sock: socket.socket) -> int:
    return int(sock.getsockname()[1])


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    with listener(kind) as sock:
        return port_of(sock)


@contextmanager
def serving(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """The port where one connection is served, by a function in a thread."""
    with listener() as sock:

        def run() -> None:
            connection, _ = sock.accept()
            connection.settimeout(PATIENCE)
            with connection:
                serve(connection)

        thread = threading.Thread(target=run)
        thread.start()
        yield port_of(sock)
        thread.join(PATIENCE)
        assert not thread.is_alive()


def test_arp_answers_for_gateway_and_name_server() -> None:
    with guest() as one:
        for address in (GATEWAY, NAME_SERVER):
            one.frames.clear()
            one.arp(1, bytes(6), address)
            (reply,) = one.run(lambda: one.frames)
            assert reply[20:22] == b"\0\2" and reply[22:28] == one.gateway_mac and reply[28:32] == address
        one.frames.clear()
        one.arp(1, bytes(6), GUEST)  # is the address free? yes
        one.arp(1, bytes(6), bytes((10, 0, 2, 77)))
        one.arp(1, bytes(6), GATEWAY)
        assert len(one.run(lambda: one.frames)) == 1


def dhcp(kind: int, options: bytes = b"", own: bytes = bytes(4), mac: bytes = MAC) -> bytes:
    head = struct.pack(">BBBBIHH4s12x6s10x192xI", 1, 1, 6, 0, 0xABCD, 0, 0x8000, own, mac, 0x63825363)
    return head + bytes((53, 1, kind)) + options + b"\xff"


def lease(one: Guest, message: bytes) -> tuple[int, bytes, bytes]:
    """Type, address and options of the answer."""
    one.packets.clear()
    one.udp(68, b"\xff" * 4, 67, message, source=bytes(4))
    source, port, answer = one.run(lambda: one.udp_answer(68))
    assert (source, port, answer[0], answer[4:8]) == (GATEWAY, 67, 2, b"\0\0\xab\xcd") and len(answer) >= 300
    assert answer[240:242] == b"\x35\x01"
    return answer[242], answer[16:20], answer[240:]


def test_dhcp_gives_a_lease() -> None:
    with guest() as one:
        kind, address, options = lease(one, dhcp(1))
        assert (kind, address) == (2, GUEST)
        for option in (
            b"\x01\x04\xff\xff\xff\0",
            b"\x03\x04" + GATEWAY,
            b"\x06\x04" + NAME_SERVER,
            b"\x36\x04" + GATEWAY,
        ):
            assert option in options
        chosen = b"\x36\x04" + GATEWAY + b"\x32\x04" + GUEST
        assert lease(one, dhcp(3, chosen))[:2] == (5, GUEST)
        assert lease(one, dhcp(3, own=GUEST))[:2] == (5, GUEST)  # renewed
        assert lease(one, dhcp(3, b"\x32\x04" + bytes((192, 168, 1, 9))))[0] == 6  # refused
        assert lease(one, dhcp(8, own=GUEST))[0] == 5
        assert lease(one, dhcp(1, mac=MAC[:5] + b"\x99"))[1] == bytes((10, 0, 2, 16))


def test_dhcp_has_no_more_addresses_than_leases() -> None:
    with guest() as one:
        for number in range(16):
            lease(one, dhcp(1, mac=bytes(5) + bytes((2 * number,))))
        one.packets.clear()
        one.udp(68, b"\xff" * 4, 67, dhcp(1), source=bytes(4))
        one.udp(68, b"\xff" * 4, 67, dhcp(4, mac=bytes(6)), source=bytes(4))  # declined
        one.udp(68, b"\xff" * 4, 67, dhcp(1), source=bytes(4))
        one.run(lambda: one.udp_answer(68))
        assert len(one.packets) == 1


def test_names_are_asked_of_the_hosts_server() -> None:
    with listener(socket.SOCK_DGRAM) as server, guest(resolver=server.getsockname()) as one:
        one.udp(5353, NAME_SERVER, 53, b"a question")
        data, client = server.recvfrom(100)
        assert data == b"a question"
        server.sendto(b"an answer", client)
        assert one.run(lambda: one.udp_answer(5353)) == (NAME_SERVER, 53, b"an answer")


def test_names_are_asked_by_tcp_too() -> None:
    with listener() as server, guest(resolver=server.getsockname()) as one:
        sock = one.connect(NAME_SERVER, 53)
        one.run(lambda: sock.open)
        server.accept()[0].close()
        other = one.connect(NAME_SERVER, 80, 40001)
        one.run(lambda: other.reset)


def test_the_resolver_is_the_first_with_an_ipv4_address(tmp_path: Path) -> None:
    configuration = tmp_path / "resolv.conf"
    configuration.write_text(
        "# nameserver 1.1.1.1\nsearch x\nnameserver fe80::1%eth0\nnameserver\nnameserver 9.8.7.6\n"
    )
    assert find_resolver(configuration) == ("9.8.7.6", 53)
    assert find_resolver(tmp_path / "missing") is None


def test_echo() -> None:
    with guest() as one:
        message = struct.pack(">BBHHH", 8, 0, 0, 7, 1) + bytes(range(200)) * 20  # comes and goes in fragments
        message = message[:2] + struct.pack(">H", words(message)) + message[4:]
        for offset in range(0, len(message), 1480):
            more = 0x2000 if offset + 1480 < len(message) else 0
            one.ip(GATEWAY, 1, message[offset : offset + 1480], more | offset // 8)
        one.run(lambda: len(one.packets) == 3)
        whole = b"".join(packet.data for packet in sorted(one.packets, key=lambda packet: packet.fragment & 0x1FFF))
        assert words(whole) == 0 and whole[0] == 0 and whole[4:] == message[4:]


def test_udp_echo_from_several_ports_and_in_fragments() -> None:
    with listener(socket.SOCK_DGRAM) as server, guest() as one:
        clients = []
        for port in (1000, 1001):
            one.udp(port, GATEWAY, port_of(server), b"to the host")
            data, client = server.recvfrom(100)
            clients.append(client)
            server.sendto(data + b" and back", client)
            assert one.run(partial(one.udp_answer, port)) == (GATEWAY, port_of(server), b"to the host and back")
        assert clients[0] != clients[1]
        message = random.Random(1).randbytes(9000)
        datagram = one.udp_datagram(1000, GATEWAY, port_of(server), message)
        pieces = [(offset, datagram[offset : offset + 1480]) for offset in range(0, len(datagram), 1480)]
        one.identification += 1
        for offset, piece in reversed(pieces):
            number, one.identification = one.identification, one.identification - (offset == 0)
            one.ip(GATEWAY, 17, piece, (0x2000 if offset + 1480 < len(datagram) else 0) | offset // 8)
            one.identification = number
        assert server.recvfrom(10000) == (message, clients[0])


def test_udp_answers_from_elsewhere_reach_the_guest() -> None:
    """As a TFTP server's, which come from a port of their own."""
    with listener(socket.SOCK_DGRAM) as server, listener(socket.SOCK_DGRAM) as other, guest() as one:
        one.udp(1000, GATEWAY, port_of(server), b"hello")
        other.sendto(b"from another port", server.recvfrom(100)[1])
        assert one.run(lambda: one.udp_answer(1000)) == (GATEWAY, port_of(other), b"from another port")


def test_udp_ports_are_given_up_when_they_are_idle() -> None:
    with listener(socket.SOCK_DGRAM) as server, guest() as one:
        one.udp(1000, GATEWAY, port_of(server), b"hello")
        first = server.recvfrom(100)[1]
        due = one.network.next_event()
        assert due is not None
        one.network.run_events(due + 1_000_000_000)
        one.udp(1000, GATEWAY, port_of(server), b"again")
        assert server.recvfrom(100)[1] != first
        for port in range(2000, 2400):  # more than there may be
            one.udp(port, GATEWAY, port_of(server), b"")
        assert sum(thread.name == "network" for thread in threading.enumerate()) == 1


def test_udp_to_nowhere_is_an_error() -> None:
    with guest() as one:
        one.udp(1000, bytes((10, 0, 2, 3)), 99, b"hello")
        kind, code, quoted = one.run(one.icmp_error)
        assert (kind, code) == (3, 3) and quoted[12:20] == GUEST + NAME_SERVER and quoted[20:22] == b"\x03\xe8"


@pytest.mark.parametrize(("loss", "shift"), [(0, 4), (0, None), (0.03, 4), (0.1, None)])
def test_tcp_transfers_both_ways(loss: float, shift: int | None) -> None:
    """Several MiB to the host and back, at the same time; then both ends close."""
    size = 4 * MEGABYTE if not loss else 80_000
    there, back = random.Random(1).randbytes(size), random.Random(2).randbytes(size)
    got = bytearray()

    def serve(connection: socket.socket) -> None:
        sender = threading.Thread(target=connection.sendall, args=(back,))
        sender.start()
        while data := connection.recv(65536):
            got.extend(data)
        sender.join()

    with serving(serve) as port, guest(loss=loss, seed=3) as one:
        sock = one.connect(GATEWAY, port, shift=shift)
        sock.send(there)
        sock.close()
        one.run(lambda: sock.done)
        assert sock.incoming == back
        one.run(lambda: len(got) == size)
    assert got == there


def test_tcp_half_closed_by_the_host() -> None:
    """The host ends first; what the guest sends then still arrives."""
    got = bytearray()

    def serve(connection: socket.socket) -> None:
        connection.sendall(b"all I have")
        connection.shutdown(socket.SHUT_WR)
        while data := connection.recv(65536):
            got.extend(data)

    with serving(serve) as port, guest() as one:
        sock = one.connect(GATEWAY, port)
        one.run(lambda: sock.peer_closed)
        assert sock.incoming == b"all I have"
        sock.send(bytes(100_000))
        sock.close()
        one.run(lambda: sock.done)
    assert got == bytes(100_000)


def test_a_card_without_buffers_keeps_frames_waiting() -> None:
    """The queue is bounded, and nothing is lost: TCP waits until there is room."""
    content = random.Random(5).randbytes(MEGABYTE)
    with serving(lambda connection: connection.sendall(content)) as port, guest() as one:
        sock = one.connect(GATEWAY, port, window=1 << 20)
        one.run(lambda: sock.open)
        one.buffers = 0
        turns = 0
        while len(sock.incoming) < len(content):
            turns += 1
            one.buffers = one.random.randrange(1, 64)
            one.network.room()
            one.run(lambda: one.buffers == 0 or len(sock.incoming) == len(content))
        assert sock.incoming == content and turns > 10


def test_a_card_that_takes_large_frames_gets_some() -> None:
    content = random.Random(7).randbytes(4 * MEGABYTE)
    with serving(lambda connection: connection.sendall(content)) as port, guest() as one:
        one.takes_large_frames = True
        sock = one.connect(GATEWAY, port, window=900_000)
        one.run(lambda: sock.peer_closed)
        assert sock.incoming == content
        assert max(len(packet.data) for packet in one.packets) > 60_000 and len(one.packets) < 500


def test_a_large_frame_that_ends_in_a_few_bytes_is_cut_into_whole_frames() -> None:
    """The last one is filled up, as every short frame is."""
    content = random.Random(8).randbytes(10 * 1460 + 3)
    with serving(lambda connection: connection.sendall(content)) as port, guest() as one:
        sock = one.connect(GATEWAY, port)
        one.run(lambda: sock.peer_closed)
        assert sock.incoming == content


def test_a_closed_window_is_probed() -> None:
    with serving(lambda connection: connection.sendall(bytes(100_000))) as port, guest() as one:
        sock = one.connect(GATEWAY, port, window=16)
        one.run(lambda: sock.open)
        sock.window = 0
        one.run(lambda: len(sock.incoming) >= 18)  # what was allowed, and probes
        sock.window = 60000  # and nobody says so
        one.run(lambda: sock.peer_closed)
        assert sock.incoming == bytes(100_000)


def test_the_hosts_buffers_close_the_window() -> None:
    """A server that does not read stops the guest; when it reads, all is there."""
    go = threading.Event()
    content = random.Random(6).randbytes(16 * MEGABYTE)
    got = bytearray()

    def serve(connection: socket.socket) -> None:
        go.wait(PATIENCE)
        while data := connection.recv(1 << 20):
            got.extend(data)

    with serving(serve) as port, guest() as one:
        sock = one.connect(GATEWAY, port)
        sock.send(content)
        sock.close()
        one.run(lambda: sock.open and sock.peer_window < 20_000 and len(sock.outgoing) < len(content))
        go.set()
        one.run(lambda: sock.done)
    assert got == content


def test_connections_are_refused_and_unreachable() -> None:
    with guest() as one:
        refused = one.connect(GATEWAY, free_port())
        one.run(lambda: refused.reset)
        nowhere = one.connect(bytes((10, 0, 2, 200)), 80, 40001)
        one.run(lambda: nowhere.reset)
        one.ip(GATEWAY, 6, struct.pack(">HHIIBBHHH", 1, 2, 3, 4, 0x50, ACK, 0, 0, 0))  # with a wrong checksum
        assert len(one.packets) == 2


def test_an_unreachable_host_is_told_by_icmp(monkeypatch: pytest.MonkeyPatch) -> None:
    """The host's own answer: there is no network in which every host has an address that it cannot reach."""
    monkeypatch.setattr(socket.socket, "connect_ex", lambda *_: errno.ENETUNREACH, raising=False)
    with guest() as one:
        one.connect(bytes((8, 8, 8, 8)), 80)
        kind, code, quoted = one.run(one.icmp_error)
        assert (kind, code) == (3, 0) and quoted[16:20] == bytes((8, 8, 8, 8)) and quoted[20:22] == b"\x9c\x40"


def test_resets_go_through() -> None:
    """A guest's reset resets the host's connection, and the other way round."""
    with listener() as server, guest() as one:
        sock = one.connect(GATEWAY, port_of(server))
        one.run(lambda: sock.open)
        with server.accept()[0] as accepted:
            sock.transmit(RST | ACK, sock.sent)
            accepted.settimeout(PATIENCE)
            with pytest.raises(ConnectionResetError):
                accepted.recv(1)
        other = one.connect(GATEWAY, port_of(server), 40001)
        one.run(lambda: other.open)
        accepted, _ = server.accept()
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        accepted.close()
        one.run(lambda: other.reset)


def test_a_reset_of_the_machine_closes_connections() -> None:
    with listener() as server, guest() as one:
        sock = one.connect(GATEWAY, port_of(server))
        one.run(lambda: sock.open)
        with server.accept()[0] as accepted:
            one.network.reset()
            with pytest.raises(ConnectionResetError):
                accepted.recv(1)
        sock.send(b"x")
        one.run(lambda: sock.reset)


def test_half_open_connections_are_few() -> None:
    """A guest that floods is not answered beyond the limit, and gets in again when there is room."""
    with listener() as server, guest() as one:
        server.listen(1000)
        for port in range(1000):
            one.connect(GATEWAY, port_of(server), 10_000 + port).reset = True  # never answers
        one.run(one.posted.empty)
        assert 0 < len({packet.data[2:4] for packet in one.packets}) <= 128
        one.network.reset()
        sock = one.connect(GATEWAY, port_of(server), 9999)
        one.run(lambda: sock.open)


def test_a_connection_that_is_over_may_be_made_again() -> None:
    """From the same port, while the other side still remembers the one before."""
    with listener() as server, guest() as one:
        for _ in range(3):
            sock = one.connect(GATEWAY, port_of(server))
            sock.close()
            one.run(lambda sock=sock: sock.open)
            server.accept()[0].close()
            one.run(lambda sock=sock: sock.done)


def test_http_server(tmp_path: Path) -> None:
    content = random.Random(9).randbytes(3 * MEGABYTE + 17)
    (tmp_path / "file.bin").write_bytes(content)
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    handler.log_message = lambda *_: None  # type: ignore[attr-defined]
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, guest() as one:
        threading.Thread(target=server.serve_forever).start()
        try:
            sock = one.connect(GATEWAY, server.server_port)
            sock.send(b"GET /file.bin HTTP/1.0\r\n\r\n")
            one.run(lambda: sock.peer_closed)
        finally:
            server.shutdown()
        head, _, body = bytes(sock.incoming).partition(b"\r\n\r\n")
        assert b"200 OK" in head and hashlib.sha256(body).digest() == hashlib.sha256(content).digest()


def test_forwarded_tcp() -> None:
    port = free_port()
    with guest(forwards=[Forward("tcp", "127.0.0.1", port, 80)]) as one:
        one.listening.add(80)
        with closing(socket.create_connection(("127.0.0.1", port), PATIENCE)) as client:
            client.sendall(b"hello")
            sock = one.run(lambda: next(iter(one.sockets.values()), None))
            one.run(lambda: sock.incoming == b"hello")
            assert sock.address == GATEWAY
            sock.send(b"from the guest")
            sock.close()
            client.shutdown(socket.SHUT_WR)
            one.run(lambda: sock.done)
            assert client.recv(100) == b"from the guest" and client.recv(1) == b""


def test_forwarded_tcp_finds_the_guest_and_is_refused() -> None:
    """The guest has sent nothing yet: it is asked for its hardware address. Nobody listens: the client is reset."""
    port = free_port()
    one = Guest(forwards=[Forward("tcp", "127.0.0.1", port, 81)])
    with closing(one.network), closing(socket.create_connection(("127.0.0.1", port), PATIENCE)) as client:
        one.run(lambda: one.frames and one.packets)
        with pytest.raises(ConnectionResetError):
            client.recv(1)


def test_forwarded_udp() -> None:
    port = free_port(socket.SOCK_DGRAM)
    with guest(forwards=[Forward("udp", "127.0.0.1", port, 7)]) as one, listener(socket.SOCK_DGRAM) as client:
        client.sendto(b"hello", ("127.0.0.1", port))
        assert one.run(lambda: one.udp_answer(7)) == (GATEWAY, port_of(client), b"hello")
        one.udp(7, GATEWAY, port_of(client), b"hello yourself")
        assert client.recvfrom(100) == (b"hello yourself", ("127.0.0.1", port))


def test_a_port_that_is_taken_cannot_be_forwarded() -> None:
    with listener() as taken, pytest.raises(InputOutput, match="cannot forward port"):
        Guest(forwards=[Forward("tcp", "127.0.0.1", port_of(taken), 80)])


def test_close_ends_all() -> None:
    threads = set(threading.enumerate())
    with listener() as server, guest() as one:
        sock = one.connect(GATEWAY, port_of(server))
        one.run(lambda: sock.open)
        accepted, _ = server.accept()
        one.network.close()
        assert set(threading.enumerate()) <= threads
        with pytest.raises(ConnectionResetError):
            accepted.recv(1)
        accepted.close()


@pytest.mark.parametrize("seed", range(4))
def test_damaged_frames_never_raise(seed: int) -> None:
    """Frames of every protocol, cut, mixed and changed, with checksums that nobody looks at so that all is parsed."""
    chance = random.Random(seed)
    with listener() as server, listener(socket.SOCK_DGRAM) as datagrams, guest(loss=0) as one:
        sent: list[bytes] = []
        send = one.send
        one.send = lambda frame: (sent.append(frame), send(frame))  # type: ignore[assignment, func-returns-value]
        sock = one.connect(GATEWAY, port_of(server))
        one.run(lambda: sock.open)
        sock.send(b"some data")
        one.arp(1, bytes(6), GATEWAY)
        one.udp(68, b"\xff" * 4, 67, dhcp(1), source=bytes(4))
        one.udp(99, GATEWAY, port_of(datagrams), b"data")
        one.ip(GATEWAY, 17, bytes(64), 0x2000)
        one.ip(GATEWAY, 1, struct.pack(">BBHI", 8, 0, 0xF7FF, 0))
        for _ in range(4000):
            frame = bytearray(chance.choice(sent))
            for _ in range(chance.randrange(4)):
                frame[chance.randrange(14, len(frame))] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
            if chance.random() < 0.2:
                del frame[chance.randrange(len(frame)) :]
            if chance.random() < 0.1:
                frame += chance.randbytes(chance.randrange(2000))
            if frame[26:30] == GUEST and frame[30:31] not in (b"\x0a", b"\xff"):
                frame[30:34] = GATEWAY  # nothing leaves this host
            one.network.send(frame, verified=True)
            if chance.random() < 0.1:
                one.packets.clear()
                while not one.posted.empty():
                    one.posted.get()()
                one.time += TURN
                one.network.run_events(one.now())
        one.network.reset()
        one.sockets.clear()
        other = one.connect(GATEWAY, port_of(server), 50000)
        one.run(lambda: other.open)
