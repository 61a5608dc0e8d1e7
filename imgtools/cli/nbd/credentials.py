"""--object: secrets, and the TLS credentials that --tls-creds names."""

from __future__ import annotations

from imgtools.cli import keyvalue
from imgtools.cli.arguments import Complaint
from imgtools.errors import UnsupportedFeature

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable

X509 = "tls-creds-x509"
PROPERTIES = {
    "secret": ("data", "file", "format", "keyid", "iv"),
    X509: ("dir", "endpoint", "verify-peer", "sanity-check", "priority", "passwordid"),
    "tls-creds-psk": ("dir", "endpoint", "verify-peer", "priority", "username"),
    "tls-creds-anon": ("dir", "endpoint", "verify-peer", "priority"),
}
"""The kinds of objects that may be defined, and the properties of each beside its id."""


class Definition:
    """An object as the command line defines it."""

    def __init__(self, kind: str, id: str, properties: dict[str, str]) -> None:
        self.kind = kind
        self.id = id
        self.properties = properties


def definition(text: str) -> Definition:
    """The object that `kind,id=...,name=value,...` defines."""
    kind, _, rest = text.partition(",")
    kind = kind.removeprefix("qom-type=")
    if kind not in PROPERTIES:
        raise Complaint(f"Parameter 'qom-type' does not accept value '{kind}'")
    properties = keyvalue.parse(rest)
    if "id" not in properties:
        raise Complaint("Parameter 'id' is missing")
    found = Definition(kind, properties.pop("id"), properties)
    for name in properties:
        if name not in PROPERTIES[kind]:
            raise Complaint(f"Parameter '{name}' is unexpected")
    if kind == "secret" and not properties.keys() & {"data", "file"}:
        raise Complaint("Either 'file' or 'data' must be provided")
    if kind == X509 and "dir" not in properties:
        raise Complaint("Missing 'dir' property value")
    if properties.get("verify-peer", "on") not in ("on", "off"):
        raise Complaint("Parameter 'verify-peer' expects 'on' or 'off'")
    return found


def server_credentials(id: str, objects: Iterable[Definition]) -> ssl.SSLContext:
    """The TLS context for the object of that id."""
    found = next((each for each in objects if each.id == id), None)
    problem = None
    if found is None:
        problem = f"No TLS credentials with id '{id}'"
    elif not found.kind.startswith("tls-creds-"):
        problem = f"Object with id '{id}' is not TLS credentials"
    elif found.properties.get("endpoint", "client") != "server":
        problem = "Expected TLS credentials for a server endpoint"
    if found is None or problem:
        raise Complaint(f"Failed to get TLS creds: {problem}")
    if found.kind != X509:
        raise UnsupportedFeature(f"{found.kind} is not supported", hint=f"Use certificates: {X509}.")
    from imgtools.nbd.tls import server_context

    verify = found.properties.get("verify-peer", "on") == "on"
    return server_context(found.properties["dir"], verify_peer=verify)
