"""Floppy disks: `controller.py` is the 82078, `transfer.py` its commands with data, `drive.py` drives and formats."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from imgtools import Node
from imgtools.errors import BadOption

from ..device import Bus, Line
from ..dma import DmaControllers
from ..medium import Medium, OnError, report
from .drive import DRIVES, FloppyDrive
from .transfer import FloppyController

IRQ, DMA_CHANNEL = 6, 2


class Drive(Protocol):
    """What is attached."""

    node: Node

    @property
    def read_only(self) -> bool: ...


def attach(
    bus: Bus, line: Line, dma: DmaControllers, drives: Iterable[Drive], on_error: OnError = report
) -> FloppyController:
    """Put the controller onto the bus, with a drive for each disk."""
    mediums = [Medium(drive.node, read_only=drive.read_only, on_error=on_error) for drive in drives]
    if len(mediums) > DRIVES:
        raise BadOption(f"{len(mediums)} floppy disks, and a PC has {DRIVES} drives")
    controller = FloppyController(line, dma, DMA_CHANNEL, [FloppyDrive(medium) for medium in mediums])
    bus.add(controller)
    return controller
