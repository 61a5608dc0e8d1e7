"""Secrets: what the user defines with `--object secret,id=ID,...`, and images refer to by the id.

A secret is text or a file's content, plain or in base64, and may itself be encrypted (AES-256-CBC, as `openssl enc`
does) with the key that another secret holds. Whoever opens an image from Python hands in the bytes themselves:
`imgtools.open("disk.luks", options={"key-secret": "sec0"}, objects={"sec0": b"passphrase"})`.
"""

from __future__ import annotations

from imgtools.errors import BadOption, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FORMATS = ("raw", "base64")
KEY_BYTES, IV_BYTES = 32, 16
MAX_FILE = 1 << 20
"""Bytes of a file with a secret: far more than any passphrase or key."""


def secret_of(properties: dict[str, str], objects: dict[str, Any]) -> bytes:
    """The bytes of a secret with these properties; `objects` are those defined before it."""
    if "data" in properties and "file" in properties:
        raise BadOption("'file' and 'data' are mutually exclusive")
    if properties.get("format", "raw") not in FORMATS:
        raise BadOption(f"Parameter 'format' does not accept value '{properties['format']}'")
    if "data" in properties:
        content = properties["data"].encode(errors="surrogateescape")
    elif "file" in properties:
        content = _read(properties["file"])
    else:
        raise BadOption("Either 'file' or 'data' must be provided")
    is_base64 = properties.get("format") == "base64"
    if "keyid" in properties:
        return _decrypt(content, is_base64, properties, objects)
    return _from_base64(content) if is_base64 else content


def find_secret(objects: dict[str, Any], id: str) -> bytes:
    """The secret of that id. Raises NotFound and BadOption; no message holds a secret's content."""
    if id not in objects:
        raise NotFound(f"No secret with id '{id}'")
    secret = objects[id]
    if not isinstance(secret, (bytes, bytearray)):
        raise BadOption(f"Object with id '{id}' is not a secret")
    return bytes(secret)


def find_passphrase(objects: dict[str, Any], id: str) -> bytes:
    """The secret of that id, which is to be text."""
    passphrase = find_secret(objects, id)
    try:
        passphrase.decode()
    except UnicodeDecodeError:
        raise BadOption(f"Data from secret {id} is not valid UTF-8") from None
    return passphrase


def _read(path: str) -> bytes:
    from imgtools.errors import from_os_error

    try:
        with open(path, "rb") as file:
            content = file.read(MAX_FILE + 1)
    except OSError as error:
        raise from_os_error(error, f"Unable to read {path}", path) from error
    if len(content) > MAX_FILE:
        raise BadOption(f"{path} is too large for a secret", path=path, hint=f"At most {MAX_FILE} bytes are read.")
    return content


def _from_base64(content: bytes) -> bytes:
    import base64
    import binascii

    try:
        return base64.b64decode(content.translate(None, b" \t\r\n"), validate=True)
    except binascii.Error:
        raise BadOption("Base64 data contains invalid characters") from None


def _decrypt(content: bytes, is_base64: bool, properties: dict[str, str], objects: dict[str, Any]) -> bytes:
    key = _from_base64(find_secret(objects, properties["keyid"]))
    if "iv" not in properties:
        raise BadOption("IV is required to decrypt secret")
    iv = _from_base64(properties["iv"].encode())
    if len(key) != KEY_BYTES:
        raise BadOption(f"Master key needs to be {KEY_BYTES} bytes, not {len(key)}")
    if len(iv) != IV_BYTES:
        raise BadOption(f"IV should be {IV_BYTES} bytes in length not {len(iv)}")
    content = _from_base64(content) if is_base64 else content
    from imgtools.crypto.cipher import decrypt_cbc

    plain = decrypt_cbc(key, iv, content) if content and len(content) % IV_BYTES == 0 else b""
    padding = plain[-1] if plain else 0
    if not 1 <= padding <= IV_BYTES:
        raise BadOption("Incorrect number of padding bytes found on decrypted data")
    return plain[:-padding]
