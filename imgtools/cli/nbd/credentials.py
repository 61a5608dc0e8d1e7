"""The TLS credentials that --tls-creds names."""

from __future__ import annotations

from imgtools.cli.arguments import Complaint
from imgtools.cli.objects import X509, Definition
from imgtools.errors import UnsupportedFeature

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from typing import Any


def server_credentials(id: str, objects: dict[str, Any]) -> ssl.SSLContext:
    """The TLS context for the object of that id."""
    found = objects.get(id)
    problem = None
    if found is None:
        problem = f"No TLS credentials with id '{id}'"
    elif not isinstance(found, Definition) or not found.kind.startswith("tls-creds-"):
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
