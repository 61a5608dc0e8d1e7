"""Encryption of disks: passphrases, ciphers of sectors, and LUKS.

    secret.py     what --object secret defines          cipher.py  a volume's cipher: sectors in, sectors out
    ecb.py        the block ciphers                     modes.py   XTS, CBC, CTR, ECB over many sectors at once
    encrypted.py  a storage whose sectors are encrypted
    luks/         LUKS version 1: header, key slots, what can be changed of them

Formats stand on it: `formats/luks` is a LUKS volume as a disk, `formats/qcow2/encryption.py` has encrypted clusters.
"""
