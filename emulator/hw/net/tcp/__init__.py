"""TCP between a guest and sockets of the host (RFC 9293)."""
