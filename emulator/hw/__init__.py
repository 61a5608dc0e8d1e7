"""Chips, one a file. All have the members of `device.Device`, and know nothing but their ports and their lines."""
