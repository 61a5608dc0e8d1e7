"""Where an export is: what NBD URIs and QEMU's older names say.

    nbd://host:port/export                  nbds:// is the same with TLS
    nbd+unix:///export?socket=PATH          nbds+unix:// likewise
    nbds://USER@host/?tls-psk-file=PATH     TLS by a key; nbds+unix://USER@/?... likewise
    nbd:host:port:exportname=NAME           nbd:unix:PATH:exportname=NAME

Specification of the URIs: https://github.com/NetworkBlockDevice/nbd/blob/master/doc/uri.md. Queries beyond `socket`:
`tls-certificates` (a directory), `tls-psk-file`, `tls-hostname`, `tls-verify-peer`.
"""

from __future__ import annotations

import socket
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from imgtools.errors import BadOption, from_os_error
from imgtools.nbd.protocol import DEFAULT_PORT, MAX_STRING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SCHEMES = ("nbd", "nbds", "nbd+unix", "nbds+unix")
EXPORT_NAME = ":exportname="
QUERIES = {
    "socket": "server.path",
    "tls-certificates": "tls-certificates",
    "tls-psk-file": "tls-psk-file",
    "tls-hostname": "tls-hostname",
    "tls-verify-peer": "tls-verify-peer",
}
"""The queries of a URI, and the options that they are."""


class Address:
    """A unix socket (`path`), or a TCP host and port; and the export's name there."""

    def __init__(self, path: str | None, host: str | None, port: str, export: str) -> None:
        self.path = path
        self.host = host
        self.port = port
        self.export = export

    @property
    def server(self) -> str:
        """The server as messages name it."""
        return self.path if self.path is not None else f"{self.host}:{self.port}"

    def uri(self, *, tls: bool = False, export: str | None = None) -> str:
        """The URI of the export, or of another one of that server."""
        scheme, name = "nbds" if tls else "nbd", quote(self.export if export is None else export, safe="/")
        if self.path is not None:
            return f"{scheme}+unix://{name and '/' + name}?socket={quote(self.path, safe='/')}"
        host = f"[{self.host}]" if self.host and ":" in self.host else self.host
        return f"{scheme}://{host}:{self.port}" + (f"/{name}" if name else "")

    def connect(self, timeout: float) -> socket.socket:
        """A connected socket. Raises an ImageError that names the server."""
        try:
            if self.path is not None:
                connection = socket.socket(socket.AF_UNIX)
                connection.settimeout(timeout)
                connection.connect(self.path)
            else:
                connection = socket.create_connection((self.host, int(self.port)), timeout)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except (socket.gaierror, ValueError) as error:
            raise from_os_error(
                OSError(unresolved(error)), f"address resolution failed for {self.server}", self.server
            ) from error
        except OSError as error:
            raise from_os_error(error, f"Failed to connect to '{self.server}'", self.server) from error
        return connection


def unresolved(error: OSError | ValueError) -> str:
    """Why a host has no address; ValueError is Python's own complaint of a name that no host can have."""
    return str(error.strerror) if isinstance(error, OSError) else "Name or service not known"


def address_of(options: dict[str, Any]) -> Address:
    """The address in a node's options: server.type and its own, or the older host, port and path."""
    path = options.get("server.path", options.get("path"))
    host = options.get("server.host", options.get("host"))
    port = options.get("server.port", options.get("port", str(DEFAULT_PORT)))
    if path is not None and host is not None:
        raise BadOption("path and host may not be used at the same time")
    if path is None and host is None:
        raise BadOption("NBD server address missing")
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise BadOption(f"'{port}' is not a TCP port")
    export = options.get("export", "")
    if len(export.encode(errors="surrogateescape")) > MAX_STRING:
        raise BadOption("export name too long to send to server")
    return Address(path, host, port, export)


def options_of_name(name: str) -> dict[str, Any]:
    """The options that a file name stands for."""
    if "://" in name:
        return options_of_uri(name)
    server, _, export = name.removeprefix("nbd:").partition(EXPORT_NAME)
    options: dict[str, Any] = {"export": export} if export else {}
    if server.startswith("unix:"):
        return {"server.type": "unix", "server.path": server.removeprefix("unix:"), **options}
    host, colon, port = server.rpartition(":")
    if not colon or not port:
        raise BadOption(f"error parsing address '{server}'")
    return {"server.type": "inet", "server.host": host.strip("[]"), "server.port": port, **options}


def options_of_uri(uri: str) -> dict[str, Any]:
    """The options that an NBD URI stands for."""
    try:
        parts = urlsplit(uri)
        port = parts.port
        queries = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:
        raise _no_uri("it cannot be taken apart") from None
    if parts.scheme not in SCHEMES:
        raise _no_uri(f"its scheme is not one of {', '.join(SCHEMES)}")
    unknown = queries.keys() - QUERIES.keys()
    if unknown:
        raise _no_uri(f"'{min(unknown)}' is not known in its query")
    is_unix = parts.scheme.endswith("+unix")
    if is_unix != ("socket" in queries) or (is_unix and parts.hostname) or not (is_unix or parts.hostname):
        raise _no_uri("a unix socket is named by ?socket=PATH after nbd+unix:///, a host by nbd://HOST")
    options: dict[str, Any] = {QUERIES[query]: value for query, value in queries.items()}
    options["server.type"] = "unix" if is_unix else "inet"
    if not is_unix:
        options |= {"server.host": parts.hostname, "server.port": str(port or DEFAULT_PORT)}
    if len(parts.path) > 1:
        options["export"] = unquote(parts.path[1:], errors="surrogateescape")
    if parts.scheme.startswith("nbds"):
        options["tls"] = "on"
    if parts.username:
        options["tls-username"] = unquote(parts.username)
    return options


def _no_uri(why: str) -> BadOption:
    return BadOption("No valid URL specified", hint=f"An NBD URI is wanted, but {why}.")
