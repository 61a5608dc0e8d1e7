"""What may be chosen of a new LUKS volume, and of one that is there; names and defaults are QEMU's.

Formats that hold a volume declare these options, with a prefix where they stand among others ("encrypt." in qcow2).
"""

from __future__ import annotations

from imgtools.block.options import Option
from imgtools.errors import BadOption, UnsupportedFeature

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from imgtools.crypto.cipher import CipherSpec

ALGORITHMS = {
    "aes-128": ("aes", 16),
    "aes-192": ("aes", 24),
    "aes-256": ("aes", 32),
    "cast5-128": ("cast5", 16),
    "serpent-128": ("serpent", 16),
    "serpent-192": ("serpent", 24),
    "serpent-256": ("serpent", 32),
    "twofish-128": ("twofish", 16),
    "twofish-192": ("twofish", 24),
    "twofish-256": ("twofish", 32),
}
"""The ciphers by the names that options have for them: LUKS's name, bytes of a key."""
NO_LUKS_CIPHERS = ("des", "3des")
"""Names that are known to have no place in LUKS."""
DEFAULT_MILLISECONDS = 2000
"""How long a passphrase is stretched."""


def create_options(prefix: str = "", secret: str = "ID of the secret that provides the keyslot passphrase") -> Any:
    """The options of a new volume."""
    return (
        Option(f"{prefix}key-secret", "text", secret),
        Option(f"{prefix}cipher-alg", "text", "Name of encryption cipher algorithm"),
        Option(f"{prefix}cipher-mode", "text", "Name of encryption cipher mode"),
        Option(f"{prefix}ivgen-alg", "text", "Name of IV generator algorithm"),
        Option(f"{prefix}ivgen-hash-alg", "text", "Name of IV generator hash algorithm"),
        Option(f"{prefix}hash-alg", "text", "Name of encryption hash algorithm"),
        Option(f"{prefix}iter-time", "int", "Time to spend in PBKDF in milliseconds"),
    )


def amend_options(prefix: str = "") -> tuple[Option, ...]:
    """The options of a change of key slots."""
    return (
        Option(f"{prefix}state", "text", "Select new state of affected keyslots (active/inactive)"),
        Option(f"{prefix}keyslot", "int", "Select a single keyslot to modify explicitly"),
        Option(f"{prefix}old-secret", "text", "Select all keyslots that match this password"),
        Option(f"{prefix}new-secret", "text", "New secret to set in the matching keyslots. Empty string to erase"),
        Option(f"{prefix}iter-time", "int", "Time to spend in PBKDF in milliseconds"),
    )


def given_below(options: dict[str, Any], prefix: str) -> dict[str, Any]:
    """The options of that prefix which have a value, without it."""
    return {
        name.removeprefix(prefix): value
        for name, value in options.items()
        if name.startswith(prefix) and value is not None
    }


def cipher_of(options: dict[str, Any]) -> tuple[CipherSpec, str]:
    """The cipher and the hash that are chosen for a new volume."""
    from imgtools.crypto.cipher import HASHES, IV_GENERATORS, MODES, CipherSpec, digest_size

    algorithm = _chosen(options, "cipher-alg", "aes-256", (*ALGORITHMS, *NO_LUKS_CIPHERS))
    mode = _chosen(options, "cipher-mode", "xts", MODES)
    ivgen = _chosen(options, "ivgen-alg", "plain64", IV_GENERATORS)
    hash = _chosen(options, "hash-alg", "sha256", HASHES)
    ivgen_hash = _chosen(options, "ivgen-hash-alg", "sha256" if ivgen == "essiv" else None, HASHES)
    if algorithm in NO_LUKS_CIPHERS:
        raise UnsupportedFeature(f"Algorithm '{algorithm}' not supported")
    name, key_bytes = ALGORITHMS[algorithm]
    cipher = CipherSpec(name, key_bytes * (2 if mode == "xts" else 1), mode, ivgen, ivgen_hash)
    cipher.check()
    digest_size(hash)
    return cipher, hash


def _chosen(options: dict[str, Any], name: str, default: Any, known: tuple[str, ...]) -> Any:
    value = options.get(name) or default
    if value is not None and value not in known:
        raise BadOption(f"Parameter '{name}' does not accept value '{value}'")
    return value
