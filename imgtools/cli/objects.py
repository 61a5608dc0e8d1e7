"""--object: secrets and TLS credentials, defined beside the images that refer to them by their ids."""

from __future__ import annotations

from imgtools.cli import keyvalue
from imgtools.cli.arguments import Complaint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PROPERTIES = {
    "secret": ("data", "file", "format", "keyid", "iv"),
    "tls-creds-x509": ("dir", "endpoint", "verify-peer", "sanity-check", "priority", "passwordid"),
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
    if kind.startswith("tls-creds-") and kind != "tls-creds-anon" and "dir" not in properties:
        raise Complaint("Missing 'dir' property value")
    if properties.get("verify-peer", "on") not in ("on", "off"):
        raise Complaint("Parameter 'verify-peer' expects 'on' or 'off'")
    return found


def objects_of(arguments: Any) -> dict[str, Any]:
    """The objects of a command line by id, for `Context.objects`: of secrets the bytes, of others the definition."""
    objects: dict[str, Any] = {}
    for text in getattr(arguments, "object", None) or ():
        found = definition(text)
        if found.id in objects:
            raise Complaint(f"attempt to add duplicate property '{found.id}' to object (type 'container')")
        if found.kind == "secret":
            from imgtools.crypto.secret import secret_of

            objects[found.id] = secret_of(found.properties, objects)
        else:
            objects[found.id] = found
    return objects
