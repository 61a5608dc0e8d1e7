"""TLS by certificates, from a directory with the file names that QEMU's tools and libvirt use, or by pre-shared keys.

ca-cert.pem        who signs the other side's certificate
server-cert.pem    the server's certificate, with server-key.pem
client-cert.pem    the client's, with client-key.pem

Keys lie in a file with a line USER:KEY each, the key in hexadecimal, as GnuTLS' psktool writes it. Python's ssl knows
them from 3.13 on.
"""

from __future__ import annotations

import os
import ssl

from imgtools.errors import AccessDenied, BadOption, InvalidFormat, UnsupportedFeature, from_os_error

CA, SERVER, CLIENT = "ca-cert.pem", "server", "client"
KEY_CIPHERS = "kECDHEPSK:kDHEPSK:kPSK:!eNULL"
"""Of TLS 1.2, the ciphers that need a key on both sides and keep what is said secret; all of TLS 1.3's do."""
MAX_KEYS_FILE = 1 << 20
"""Bytes of a file of keys: thousands of users."""


def server_context(directory: str, *, verify_peer: bool = True) -> ssl.SSLContext:
    """The server's side; with `verify_peer` only clients get in whose certificate the authority has signed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    certificate, key = (_readable(directory, f"{SERVER}-{what}.pem") for what in ("cert", "key"))
    try:
        if verify_peer:
            context.load_verify_locations(_readable(directory, CA))
            context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(certificate, key)
    except ssl.SSLError as error:
        raise AccessDenied(f"the certificates in '{directory}' cannot be used: {error}", path=directory) from error
    return context


def client_context(directory: str | None, *, verify_peer: bool = True) -> ssl.SSLContext:
    """The client's side. Without a directory the system's authorities are trusted, and no certificate is shown."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not verify_peer:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    try:
        if directory is None:
            context.load_default_certs()
            return context
        if verify_peer:
            context.load_verify_locations(_readable(directory, CA))
        certificate = os.path.join(directory, f"{CLIENT}-cert.pem")
        if os.path.exists(certificate):
            context.load_cert_chain(certificate, _readable(directory, f"{CLIENT}-key.pem"))
    except ssl.SSLError as error:
        raise AccessDenied(f"the certificates in '{directory}' cannot be used: {error}", path=directory) from error
    return context


def server_context_of_keys(path: str) -> ssl.SSLContext:
    """The server's side; only clients get in that have one of the keys in the file at `path`."""
    keys = read_keys(path)
    context = _context_for_keys(ssl.PROTOCOL_TLS_SERVER)
    context.set_psk_server_callback(lambda user: keys.get(user or "", b""))  # type: ignore[attr-defined,unused-ignore]
    return context


def client_context_of_keys(path: str, user: str) -> ssl.SSLContext:
    """The client's side, as `user`, whose key the file at `path` has. A server that lacks the key is not trusted."""
    key = read_keys(path).get(user)
    if key is None:
        raise BadOption(f"Username {user} not found in PSK file {path}", path=path)
    context = _context_for_keys(ssl.PROTOCOL_TLS_CLIENT)
    context.set_psk_client_callback(lambda hint: (user, key))  # type: ignore[attr-defined,unused-ignore]
    return context


def read_keys(path: str) -> dict[str, bytes]:
    """The keys in a file, by user."""
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read(MAX_KEYS_FILE).splitlines()
        pairs = [line.rsplit(":", 1) for line in lines if line]
        return {user: bytes.fromhex(key) for user, key in pairs}
    except ValueError:
        raise InvalidFormat(f"'{path}' is not a file of keys: its lines are not all USER:KEY", path=path) from None
    except OSError as error:
        raise from_os_error(error, f"Unable to access credentials {path}", path) from error


def _context_for_keys(side: int) -> ssl.SSLContext:
    """A context that trusts nobody's certificate and has none: without a common key there is no connection."""
    if not getattr(ssl, "HAS_PSK", False):
        raise UnsupportedFeature(
            "TLS by pre-shared keys needs Python 3.13 or newer, with an OpenSSL that knows them",
            hint="Use certificates.",
        )
    context = ssl.SSLContext(side)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED if side == ssl.PROTOCOL_TLS_CLIENT else ssl.CERT_NONE
    context.set_ciphers(KEY_CIPHERS)
    return context


def _readable(directory: str, name: str) -> str:
    path = os.path.join(directory, name)
    try:
        with open(path, "rb"):
            return path
    except OSError as error:
        raise from_os_error(error, f"Unable to access credentials {path}", path) from error
