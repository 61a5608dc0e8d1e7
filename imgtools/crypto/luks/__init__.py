"""LUKS version 1. Specification: LUKS On-Disk Format Specification, version 1.2.3.

structs.py   the header on disk           header.py  the header as values, parsed and checked
keyslots.py  passphrase to master key     volume.py  making, unlocking, adding and erasing passphrases
options.py   what may be chosen
"""
