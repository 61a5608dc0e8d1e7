"""TLS with certificates that are made for the test, against the peers' clients."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from pathlib import Path
from queue import Queue

import pytest

import imgtools
from imgtools.block.protocols.memory import MemoryNode
from imgtools.nbd import protocol as p
from imgtools.nbd.server.connections import Connections, Service
from imgtools.nbd.server.export import Export
from imgtools.nbd.tls import server_context
from tests.cli.launch import PROGRAM
from tests.conftest import PATIENCE, require_tool, run
from tests.nbd.certificates import make
from tests.nbd.conftest import MIB, SIZE
from tests.nbd.peers import Peer
from tests.nbd.serving import Client, Server

Serve = Callable[..., Server]
Peers = Callable[..., Peer]
OURS = (sys.executable, "-m", "imgtools")


def image_of(server: Server, certificates: Path) -> list[str]:
    """The words by which qemu-img reaches the server."""
    return image_at(server.socket, certificates)


def image_at(socket: Path, certificates: Path) -> list[str]:
    credentials = f"tls-creds-x509,id=tls,dir={certificates},endpoint=client"
    options = f"driver=nbd,server.type=unix,server.path={socket},tls-creds=tls,tls-hostname=localhost"
    return ["--object", credentials, "--image-opts", options]


def test_qemu_img(disk: Path, certificates: Path, serve: Serve) -> None:
    server = serve(disk, "--tls", certificates)
    done = run(require_tool("qemu-img"), "info", *image_of(server, certificates))
    assert str(SIZE) in done.stdout


def test_a_client_without_a_certificate(disk: Path, certificates: Path, serve: Serve) -> None:
    strict, lenient = (
        serve(disk, "-r", "--tls", certificates),
        serve(disk, "-r", "--tls", certificates, "--tls-any-client"),
    )
    for name in ("client-cert.pem", "client-key.pem"):
        (certificates / name).unlink()
    assert run("qemu-img", "info", *image_of(strict, certificates), check=False).returncode == 1
    assert run("qemu-img", "info", *image_of(lenient, certificates)).returncode == 0
    assert len(strict.said().splitlines()) == 1


def test_nbdinfo_and_nbdcopy(disk: Path, certificates: Path, serve: Serve) -> None:
    server = serve(disk, "--tls", certificates)
    uri = f"nbds+unix://localhost/?socket={server.socket}&tls-certificates={certificates}"
    assert run(require_tool("nbdinfo"), "--size", uri).stdout == f"{SIZE}\n"
    copy = disk.with_name("copy")
    run("nbdcopy", uri, copy)
    run("nbdcopy", copy, uri)
    assert server.stop() == 0
    assert run("qemu-img", "compare", "-F", "raw", "-f", disk.suffix[1:], disk, copy).returncode == 0


def test_clients_that_do_not_start_it_learn_nothing(disk: Path, certificates: Path, serve: Serve) -> None:
    with Client(serve(disk, "--tls", certificates), go=False) as client:
        for option in (p.OPT_LIST, p.OPT_INFO, p.OPT_GO, p.OPT_STRUCTURED_REPLY, 4711):
            assert client.option(option)[0][0] == p.REP_ERR_TLS_REQD
        assert client.option(p.OPT_STARTTLS)[0][0] == p.REP_ACK
        client.socket.sendall(b"no TLS at all, but long enough to be sure of it")
        with pytest.raises((EOFError, ConnectionError)):
            while True:
                client.receive(1)


def test_a_client_that_fails_does_not_take_its_successor_along(certificates: Path) -> None:
    """The system gives the next client the file descriptor of one whose TLS has failed."""
    ended: Queue[bool] = Queue()
    successors: list[socket.socket] = []

    def log(line: str) -> None:
        if not successors:
            ours, theirs = socket.socketpair()
            successors.append(theirs)
            connections.start(ours)

    connections = Connections(
        Service([Export(MemoryNode())], tls=server_context(str(certificates)), log=log), ended.put
    )
    ours, theirs = socket.socketpair()
    connections.start(ours)
    with theirs:
        start_tls = p.OPTION.pack(p.OPTION_MAGIC, p.OPT_STARTTLS, 0)
        theirs.sendall(p.CLIENT_FLAGS.pack(p.FIXED_NEWSTYLE | p.NO_ZEROES) + start_tls + b"no TLS at all")
        assert not ended.get(timeout=PATIENCE)
    successors[0].close()
    assert not ended.get(timeout=PATIENCE)
    assert not connections.open


def test_credentials_that_cannot_be_used(disk: Path, certificates: Path) -> None:
    serve = [sys.executable, "-m", "imgtools", "nbd", "serve", "--tls", certificates, disk]
    (certificates / "server-key.pem").write_text("nothing of the kind")
    done = run(*serve, check=False)
    assert done.returncode == 1 and "cannot be used" in done.stderr and len(done.stderr.splitlines()) == 1
    (certificates / "server-key.pem").unlink()
    done = run(*serve, check=False)
    assert "Unable to access credentials" in done.stderr and "No such file" in done.stderr


@pytest.fixture(params=["qemu-nbd", "nbdkit", "imgtools"])
def secure(request: pytest.FixtureRequest, certificates: Path, tmp_path: Path, peer: Peers, serve: Serve) -> Path:
    """The socket of a server that demands TLS and a certificate, each of the three."""
    image = tmp_path / "disk.raw"
    image.write_bytes(b"secret" + bytes(MIB - 6))
    if request.param == "imgtools":
        return serve(image, "--tls", certificates).socket
    if request.param == "nbdkit":
        words = ["--tls=require", f"--tls-certificates={certificates}", "--tls-verify-peer", "file", image]
        return peer("nbdkit", "-f", "-U", "SOCKET", *words).socket
    credentials = ["--object", f"tls-creds-x509,id=t,dir={certificates},endpoint=server", "--tls-creds", "t"]
    return peer("qemu-nbd", "-t", "-e", "8", *credentials, "-k", "SOCKET", "-f", "raw", image).socket


def test_our_client(secure: Path, certificates: Path, tmp_path: Path) -> None:
    uri = f"nbds+unix:///?socket={secure}&tls-certificates={certificates}"
    assert "secret" in run(*OURS, "nbd", "dump", "--length=16", uri).stdout
    with imgtools.open(uri, format="raw", writable=True) as node:
        node.write(MIB // 2, bytes(range(256)) * 1024)
        assert node.read(0, MIB) == b"secret" + bytes(MIB // 2 - 6) + bytes(range(256)) * 1024 + bytes(MIB // 4)
    run(*OURS, "info", *image_at(secure, certificates))
    for wrong, said in (
        (f"nbds+unix:///?socket={secure}&tls-certificates={make(tmp_path / 'strangers')}", "certificate"),
        (f"{uri}&tls-hostname=elsewhere", "Hostname mismatch"),
        (f"nbd+unix:///?socket={secure}", "TLS negotiation required"),
        (f"nbds+unix:///?socket={secure}&tls-certificates={tmp_path}/nowhere", "Unable to access credentials"),
    ):
        done = run(*OURS, "info", wrong, check=False)
        assert done.returncode == 1 and said in done.stderr and "Traceback" not in done.stderr, done.stderr


def test_a_server_without_it(certificates: Path, tmp_path: Path, peer: Peers) -> None:
    """No connection in the clear where TLS was asked for."""
    server = peer("nbdkit", "-f", "-U", "SOCKET", "memory", "1M")
    uri = f"nbds+unix:///?socket={server.socket}&tls-certificates={certificates}"
    done = run(*OURS, "info", uri, check=False)
    assert done.returncode == 1 and "starttls" in done.stderr


def test_credentials_are_refused_as_the_peer_does(certificates: Path, tmp_path: Path) -> None:
    require_tool("qemu-img")
    x509 = f"tls-creds-x509,id=t,dir={certificates},endpoint"
    for words in (
        [],
        ["--object", "secret,id=t,data=x"],
        ["--object", f"{x509}=server"],
        ["--object", "tls-creds-x509,id=t,endpoint=client"],
        ["--object", "tls-creds-psk,id=t,endpoint=client"],
        ["--object", f"tls-creds-psk,id=t,endpoint=client,dir={certificates}"],
    ):
        image = ["--image-opts", f"driver=nbd,server.type=unix,server.path={tmp_path}/nobody,tls-creds=t"]
        theirs, ours = (run(*program, "info", *words, *image, check=False) for program in (["qemu-img"], OURS))
        said = theirs.stderr.removeprefix("qemu-img: ").strip().rpartition("': ")[2]
        assert (ours.returncode, said in ours.stderr) == (1, True), (said, ours.stderr)


def test_qemu_nbd_lists_in_tls(secure: Path, certificates: Path, tmp_path: Path) -> None:
    """--list with credentials: under the peer's name what the peer prints."""
    program = tmp_path / "programs" / "qemu-nbd"
    program.parent.mkdir()
    program.write_text(PROGRAM)
    program.chmod(0o755)
    credentials = f"tls-creds-x509,id=t,dir={certificates},endpoint=client"
    words = ["--list", "-k", secure, "--object", credentials, "--tls-creds=t", "--tls-hostname=localhost"]
    ours, theirs = run(program, *words).stdout, run(require_tool("qemu-nbd"), *words).stdout
    # Our client agrees on extended headers with our server, which then has one flag more.
    assert ours.replace("0x1ded", "0xded") == theirs
