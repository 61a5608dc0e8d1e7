"""Protocols: the nodes at the bottom of every tree, where bytes really are."""
