"""TLS with certificates that are made for the test, against the peers' clients."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from imgtools.nbd import protocol as p
from tests.conftest import require_tool, run
from tests.nbd.conftest import SIZE
from tests.nbd.serving import Client, Server

Serve = Callable[..., Server]
Signed = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


def certificate(name: str, issuer: Signed | None) -> Signed:
    """A certificate for `name`, signed by `issuer`, or an authority where there is none."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    )
    if issuer is None:
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        builder = builder.add_extension(usage, critical=True)
    return builder.sign(issuer[1] if issuer else key, hashes.SHA256()), key


def store(directory: Path, name: str, signed: Signed) -> None:
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    (directory / f"{name}-cert.pem").write_bytes(signed[0].public_bytes(pem))
    key = signed[1].private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    (directory / f"{name}-key.pem").write_bytes(key)


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    """An authority, and certificates of it for a server and a client."""
    directory = tmp_path / "pki"
    directory.mkdir()
    authority = certificate("authority", None)
    store(directory, "ca", authority)
    store(directory, "server", certificate("localhost", authority))
    store(directory, "client", certificate("client", authority))
    return directory


def image_of(server: Server, certificates: Path) -> list[str]:
    """The words by which qemu-img reaches the server."""
    credentials = f"tls-creds-x509,id=tls,dir={certificates},endpoint=client"
    options = f"driver=nbd,server.type=unix,server.path={server.socket},tls-creds=tls,tls-hostname=localhost"
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


def test_credentials_that_cannot_be_used(disk: Path, certificates: Path) -> None:
    serve = [sys.executable, "-m", "imgtools", "nbd", "serve", "--tls", certificates, disk]
    (certificates / "server-key.pem").write_text("nothing of the kind")
    done = run(*serve, check=False)
    assert done.returncode == 1 and "cannot be used" in done.stderr and len(done.stderr.splitlines()) == 1
    (certificates / "server-key.pem").unlink()
    done = run(*serve, check=False)
    assert "Unable to access credentials" in done.stderr and "No such file" in done.stderr
