"""TLS against qemu-nbd, with certificates that certtool makes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import imgtools
from imgtools.errors import ImageError, InputOutput
from tests.conftest import require_tool, run
from tests.nbd.client.conftest import StartPeer
from tests.nbd.client.peers import Peer

AUTHORITY = "cn=test authority\nca\ncert_signing_key\nexpiration_days=10\n"
HOLDER = "cn=localhost\ndns_name=localhost\ntls_www_{}\nencryption_key\nsigning_key\nexpiration_days=10\n"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with an authority, a server's and a client's certificate, by the names that QEMU uses."""
    directory = tmp_path_factory.mktemp("certificates")
    certtool = require_tool("certtool")

    def key_of(name: str) -> Path:
        run(certtool, "--generate-privkey", "--key-type=ecdsa", "--outfile", directory / f"{name}-key.pem")
        return directory / f"{name}-key.pem"

    def certify(name: str, template: str, *words: str | Path) -> None:
        (directory / f"{name}.info").write_text(template)
        made = ("--template", directory / f"{name}.info", "--outfile", directory / f"{name}-cert.pem")
        run(certtool, *words, *made)

    authority = key_of("ca")
    certify("ca", AUTHORITY, "--generate-self-signed", "--load-privkey", authority)
    signed = ("--load-ca-certificate", directory / "ca-cert.pem", "--load-ca-privkey", authority)
    for name in ("server", "client"):
        certify(name, HOLDER.format(name), "--generate-certificate", "--load-privkey", key_of(name), *signed)
    return directory


@pytest.fixture
def server(certificates: Path, tmp_path: Path, peer: StartPeer) -> Peer:
    image = tmp_path / "disk.raw"
    image.write_bytes(bytes(range(256)) * 4096)
    creds = f"tls-creds-x509,id=tls0,endpoint=server,dir={certificates},verify-peer=yes"
    return peer("qemu-nbd", "--object", creds, "--tls-creds", "tls0", "--format", "raw", image)


def test_reading_and_writing(server: Peer, certificates: Path) -> None:
    uri = f"nbds+unix:///?socket={server.socket}&tls-certificates={certificates}&tls-hostname=localhost"
    with imgtools.open(uri, format="raw", writable=True) as node:
        assert node.read(0, node.size) == bytes(range(256)) * 4096
        node.write(1000, b"x" * 700_000)
        node.flush()
        assert node.read(999, 700_002) == b"\xe7" + b"x" * 700_000 + bytes([(700_000 + 1000) % 256])


def test_without_tls_the_server_refuses(server: Peer) -> None:
    with pytest.raises(InputOutput, match="TLS negotiation required") as caught:
        imgtools.open(server.uri())
    assert "server reported" in (caught.value.hint or "")


def test_another_name_is_refused(server: Peer, certificates: Path) -> None:
    uri = f"nbds+unix:///?socket={server.socket}&tls-certificates={certificates}&tls-hostname=example.org"
    with pytest.raises(InputOutput, match="Hostname mismatch"):
        imgtools.open(uri)


def test_an_unknown_authority_is_refused(server: Peer) -> None:
    with pytest.raises(InputOutput, match=r"TLS handshake .* failed: unable to get local issuer certificate"):
        imgtools.open(f"nbds+unix:///?socket={server.socket}")


def test_a_server_without_tls(peer: StartPeer, certificates: Path) -> None:
    server = peer("nbdkit", "memory", "1M")
    with pytest.raises(ImageError, match="starttls"):
        imgtools.open(f"nbds+unix:///?socket={server.socket}&tls-certificates={certificates}")


def test_credentials_by_an_object_of_the_command_line(server: Peer, certificates: Path) -> None:
    creds = f"tls-creds-x509,id=mine,endpoint=client,dir={certificates}"
    tree = f"driver=nbd,server.type=unix,server.path={server.socket},tls-creds=mine,tls-hostname=localhost"
    done = run(sys.executable, "-m", "imgtools", "info", "--object", creds, "--image-opts", tree)
    assert "virtual size: 1 MiB" in done.stdout
    done = run(sys.executable, "-m", "imgtools", "info", "--image-opts", tree, check=False)
    assert "No TLS credentials with id 'mine'" in done.stderr
