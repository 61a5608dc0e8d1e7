"""Secrets: the forms they come in, and the words for those that are wrong."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from imgtools.crypto.secret import find_passphrase, secret_of
from imgtools.errors import ImageError
from tests.conftest import Runner, require_tool, run


def test_secrets_are_text_files_or_base64(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"from a file")
    assert secret_of({"data": "text"}, {}) == b"text"
    assert secret_of({"file": str(tmp_path / "file")}, {}) == b"from a file"
    assert secret_of({"data": base64.b64encode(b"\0\xff").decode(), "format": "base64"}, {}) == b"\0\xff"


def test_a_secret_may_be_encrypted_with_another(tmp_path: Path) -> None:
    key, iv = bytes(range(32)), bytes(range(16))
    openssl = require_tool("openssl")
    command = [openssl, "enc", "-aes-256-cbc", "-a", "-A", "-K", key.hex(), "-iv", iv.hex()]
    content = run(*command, stdin="letmein").stdout.strip()
    properties = {"data": content, "format": "base64", "keyid": "key", "iv": base64.b64encode(iv).decode()}
    assert secret_of(properties, {"key": base64.b64encode(key)}) == b"letmein"


BAD = [
    "id=s,data=a,file=b",
    "id=s,data=a,format=x",
    "id=s,file=/nonexistent",
    "id=s,data=a,keyid=k",
    "id=s,data=a!,format=base64",
]


@pytest.mark.parametrize("text", BAD)
def test_bad_secrets_are_refused_in_the_same_words(text: str, tmp_path: Path, qemu_img: Runner) -> None:
    properties = dict(part.split("=", 1) for part in text.split(","))
    with pytest.raises(ImageError) as caught:
        secret_of(properties, {})
    theirs = qemu_img("info", "--object", f"secret,{text}", "x", check=False).stderr.splitlines()[0]
    assert theirs.split(": Failed to open")[0] == f"qemu-img: {caught.value.message}".split(": No such")[0]


def test_messages_do_not_tell_secrets() -> None:
    for objects, id in (({"s": b"\xff\xfehidden"}, "s"), ({"s": "hidden"}, "s"), ({"t": b"hidden"}, "s")):
        with pytest.raises(ImageError) as caught:
            find_passphrase(objects, id)
        assert "hidden" not in str(caught.value)
