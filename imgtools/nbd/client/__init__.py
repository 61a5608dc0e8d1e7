"""The client: from an address to the replies of another's server."""
