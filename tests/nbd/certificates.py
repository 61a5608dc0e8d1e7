"""Certificates that are made for a test: an authority, and what it has signed."""

from __future__ import annotations

import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

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


def make(directory: Path) -> Path:
    """An authority, and certificates of it for a server and a client, in a new directory."""
    directory.mkdir()
    authority = certificate("authority", None)
    store(directory, "ca", authority)
    store(directory, "server", certificate("localhost", authority))
    store(directory, "client", certificate("client", authority))
    return directory
