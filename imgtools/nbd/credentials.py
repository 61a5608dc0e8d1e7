"""TLS credentials that are defined as objects, as QEMU's tools do: by certificates or by pre-shared keys.

tls-creds-x509,id=ID,endpoint=server|client,dir=DIR[,verify-peer=off]     see `tls` for the names of the files
tls-creds-psk,id=ID,endpoint=server|client,dir=DIR[,username=NAME]        the keys are in DIR/keys.psk
"""

from __future__ import annotations

import os

from imgtools.errors import BadOption, UnsupportedFeature

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from typing import Any

X509, PSK, ANONYMOUS = "tls-creds-x509", "tls-creds-psk", "tls-creds-anon"
KEYS = "keys.psk"
USERNAME = "qemu"
"""Who a client says that it is, unless it is told otherwise."""


def context_of(id: str, objects: dict[str, Any], endpoint: str) -> ssl.SSLContext:
    """The TLS context that the object of that id stands for; `endpoint` is "server" or "client"."""
    found = objects.get(id)
    kind = getattr(found, "kind", "")
    if found is None:
        raise BadOption(f"No TLS credentials with id '{id}'")
    if kind not in (X509, PSK, ANONYMOUS):
        raise BadOption(f"Object with id '{id}' is not TLS credentials")
    properties: dict[str, str] = found.properties
    if properties.get("endpoint", "client") != endpoint:
        raise BadOption(f"Expected TLS credentials for a {endpoint} endpoint")
    if kind == ANONYMOUS:
        raise UnsupportedFeature(f"{kind} is not supported", hint=f"Use certificates or keys: {X509}, {PSK}.")
    from imgtools.nbd import tls

    if kind == X509:
        make = tls.server_context if endpoint == "server" else tls.client_context
        return make(properties["dir"], verify_peer=properties.get("verify-peer", "on") == "on")
    path = os.path.join(properties["dir"], KEYS)
    if endpoint == "server":
        return tls.server_context_of_keys(path)
    return tls.client_context_of_keys(path, properties.get("username", USERNAME))
