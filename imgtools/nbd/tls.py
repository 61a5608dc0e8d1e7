"""TLS by certificates, from a directory with the file names that QEMU's tools and libvirt use.

ca-cert.pem        who signs the other side's certificate
server-cert.pem    the server's certificate, with server-key.pem
client-cert.pem    the client's, with client-key.pem
"""

from __future__ import annotations

import os
import ssl

from imgtools.errors import AccessDenied, from_os_error

CA, SERVER, CLIENT = "ca-cert.pem", "server", "client"


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


def _readable(directory: str, name: str) -> str:
    path = os.path.join(directory, name)
    try:
        with open(path, "rb"):
            return path
    except OSError as error:
        raise from_os_error(error, f"Unable to access credentials {path}", path) from error
