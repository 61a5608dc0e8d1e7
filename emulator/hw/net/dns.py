"""The name server that the guest asks is the host's (RFC 1035): messages are forwarded as they are, by UDP and TCP."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path

NAME_PORT = 53
CONFIGURATION = Path("/etc/resolv.conf")


def find_resolver(configuration: Path = CONFIGURATION) -> tuple[str, int] | None:
    """The first name server with an IPv4 address that the host's configuration names."""
    try:
        lines = configuration.read_text(errors="replace").splitlines()
    except OSError:
        return None
    for line in lines:
        words = line.split()
        if len(words) < 2 or words[0] != "nameserver":
            continue
        try:
            return str(IPv4Address(words[1])), NAME_PORT
        except ValueError:
            continue
    return None
