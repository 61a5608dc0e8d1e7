"""A disk with something of everything in it, in each format, and servers that end with their test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import imgtools
from tests.nbd.certificates import make
from tests.nbd.peers import Peer
from tests.nbd.serving import Server

MIB = 1 << 20
SIZE = 64 * MIB


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """`serve(path, "--read-only")`: a running server."""
    with ExitStack() as stack:
        yield lambda *words, **more: stack.enter_context(Server(tmp_path, *words, **more))


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[Callable[..., Peer]]:
    """`peer("nbdkit", "-f", "-U", "SOCKET", "memory", "1M")`: a running server of other people's."""
    with ExitStack() as stack:
        yield lambda *command: stack.enter_context(Peer(tmp_path, *command))


@pytest.fixture
def qemu_nbd(peer: Callable[..., Peer]) -> Callable[..., Peer]:
    """`qemu_nbd(path, "-r")`: the image, whose format is in its name, for up to eight clients."""
    return lambda image, *words: peer(
        "qemu-nbd", "-t", "-e", "8", "-k", "SOCKET", "-f", image.suffix[1:], *words, image
    )


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    """A directory with what TLS needs on both sides."""
    return make(tmp_path / "pki")


@pytest.fixture(params=["raw", "qcow2"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A disk of data large and small, zeroes and holes; `content_of` has its bytes."""
    path = tmp_path / f"disk.{request.param}"
    imgtools.create_image(str(path), SIZE, format=request.param)
    with imgtools.open(str(path), format=request.param, writable=True) as node:
        node.write(MIB, bytes(range(256)) * (3 * MIB // 256))
        node.write(5 * MIB + 1000, b"small" * 500)
        node.zero(6 * MIB, MIB)
        for number in range(64):  # many extents in one large read
            node.write(8 * MIB + number * 131072, bytes([number + 1]) * 65536)
        node.write(SIZE - 4096, b"end." * 1024)
    return path


def content_of(path: Path) -> bytes:
    with imgtools.open(str(path), format=path.suffix[1:], share=True) as node:
        return node.read(0, node.size)
