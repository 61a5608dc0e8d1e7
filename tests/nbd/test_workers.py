"""Several processes behind one socket: which disks allow it, and that they are one server all the same."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

import imgtools
from imgtools.block.filters.overlay import Overlay
from imgtools.nbd.server.export import Export
from imgtools.nbd.server.workers import can_be_divided
from tests.conftest import has_ended, wait_until
from tests.nbd.conftest import MIB, content_of
from tests.nbd.serving import Client, Server

Serve = Callable[..., Server]


def test_which_disks_can_be_divided(disk: Path, tmp_path: Path) -> None:
    with imgtools.open(str(disk), format=disk.suffix[1:]) as node:
        assert can_be_divided(Export(node))
        assert not can_be_divided(Export(Overlay(node)))
    with imgtools.open(str(disk), format=disk.suffix[1:], writable=True) as node:
        assert can_be_divided(Export(node)) == (disk.suffix == ".raw")
    uneven = tmp_path / "uneven.raw"
    uneven.write_bytes(bytes(1000))
    with imgtools.open(str(uneven), format="raw", writable=True) as node:
        assert not can_be_divided(Export(node))


def test_every_client_sees_what_another_wrote(disk: Path, serve: Serve) -> None:
    server = serve(disk)
    clients = [Client(server) for _ in range(5)]
    for number, client in enumerate(clients):
        assert client.ask(1, number * MIB, data=bytes([number + 1]) * 70000) == 0
    for client in clients:
        for number in range(5):
            assert client.read(number * MIB, 70000, simple=True) == bytes([number + 1]) * 70000
    assert server.stop() == 0
    assert content_of(disk)[4 * MIB] == 5


def test_no_process_outlives_the_server(disk: Path, serve: Serve) -> None:
    server = serve(disk)
    with Client(server) as client:
        processes = server.processes()
        server.stop(signal.SIGKILL)
        with pytest.raises((EOFError, ConnectionError)):
            client.receive(1)
    for process in processes:
        wait_until(lambda process=process: has_ended(process))
    assert server.said() == ""
