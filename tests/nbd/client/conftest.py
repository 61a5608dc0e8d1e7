"""Peers' servers that end with their test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.nbd.client.peers import Peer

StartPeer = Callable[..., Peer]


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[StartPeer]:
    """`peer("nbdkit", "memory", "1M")`: a running server."""
    with ExitStack() as stack:
        yield lambda *words, **more: stack.enter_context(Peer(tmp_path, *words, **more))
