"""Filters: nodes in front of other nodes, that change a little of what passes through."""
