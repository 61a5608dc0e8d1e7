"""What `nbd serve` and qemu-nbd's command line have in common, once each has read its own options."""

from __future__ import annotations

import os
import signal
import sys

from imgtools.block.filters.overlay import Overlay, temporary_directory
from imgtools.block.filters.window import Window
from imgtools.block.graph import Context, open_tree
from imgtools.cli import console
from imgtools.cli.arguments import Complaint
from imgtools.cli.background import in_background
from imgtools.cli.objects import objects_of
from imgtools.cli.opening import gate_of
from imgtools.cli.snapshots import load_snapshot
from imgtools.errors import ImageError, OutOfBounds, from_os_error
from imgtools.nbd import protocol
from imgtools.nbd.server.connections import HANDSHAKE_LIMIT
from imgtools.nbd.server.export import Export
from imgtools.nbd.server.listen import activated
from imgtools.nbd.server.server import Server
from imgtools.nbd.server.status import Context as StatusContext
from imgtools.nbd.server.status import Depth, DirtyBitmap
from imgtools.operations.bitmap import bitmaps_of, keeps_bitmaps
from imgtools.operations.pipeline import processors

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Sequence
    from typing import Any

    from imgtools.block.node import Node
    from imgtools.cli.opening import Target
    from imgtools.nbd.server.listen import Listener

ADDRESSES = (("socket", "Unix socket"), ("bind", "The interface"), ("port", "TCP port number"))
"""Options of both command lines that say where to listen, and how qemu-nbd calls them."""
SIGNALLED = 128
"""A shell's exit status for a command that a signal ended is this and the signal's number."""


class Plan:
    """What is to be served, where, and to whom."""

    def __init__(self, target: Target, arguments: Any) -> None:
        self.target = target
        self.arguments = arguments
        self.cannot_open = "Could not open"
        """How the complaint begins where that fails."""
        self.read_only = False
        self.temporary = False
        """Whether writes go to a temporary file, and the image stays as it is."""
        self.snapshot: str | None = None
        self.cache = "writeback"
        self.aio = "threads"
        self.discards = True
        self.detect_zeroes = "off"
        self.offset = 0
        self.name = ""
        self.description = ""
        self.bitmaps: Sequence[str] = ()
        self.depth = False
        self.tls: ssl.SSLContext | None = None
        self.listen: Callable[[], Sequence[Listener]] = tuple
        """Gives the sockets to listen on."""
        self.clients = 1
        self.persistent = False
        self.handshake_limit = HANDSHAKE_LIMIT
        self.background = False
        self.pid_file: str | None = None
        self.run: str | None = None
        """A command that uses the server, which ends with it."""


def carry_out(plan: Plan) -> int:
    """Serve, here or in the background."""
    if inherited := activated():  # asked before there is another process: they are for this one
        for option, shown in ADDRESSES:
            if getattr(plan.arguments, option) is not None:
                raise Complaint(f"{shown} can't be set when using socket activation")
        plan.listen = lambda: inherited
    if plan.background:
        return in_background(lambda ready: serve(plan, ready))
    return serve(plan, lambda: None)


def serve(plan: Plan, ready: Callable[[], None]) -> int:
    """Serve until the plan or a signal ends it; the exit status."""
    listeners = plan.listen()
    try:
        with open_disk(plan) as disk:
            export = export_of(plan, disk)
            server = Server(
                [export],
                listeners,
                clients=plan.clients,
                persistent=plan.persistent,
                tls=plan.tls,
                handshake_limit=plan.handshake_limit,
                workers=workers_for(plan, export),
                log=log,
            )
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, lambda *_: server.stop())
            if plan.pid_file is not None:
                write_pid(plan.pid_file)
            ready()
            if plan.run is None:
                server.run()
                return 0
            return run_beside(server, plan.run, listeners[0], listeners[0].uri(plan.name, tls=plan.tls is not None))
    finally:
        for listener in listeners:
            listener.close()


def log(line: str) -> None:
    """Tell of a client, on standard error. Where that is closed or full the server goes on all the same."""
    if sys.stderr is not None:
        try:
            console.complain(line)
        except OSError:
            pass


def workers_for(plan: Plan, export: Export) -> int:
    """How many processes serve: as many as there are processors, if several clients may come and the disk allows it."""
    from imgtools.nbd.server.workers import can_be_divided

    return processors() if plan.clients != 1 and plan.run is None and can_be_divided(export) else 0


def open_disk(plan: Plan) -> Node:
    """The disk as it is to be seen: the image, or its snapshot, behind an overlay, from an offset on."""
    writable = not (plan.read_only or plan.temporary or plan.snapshot)
    options = {} if plan.detect_zeroes == "off" else {"discard": "unmap", "detect-zeroes": plan.detect_zeroes}
    context = Context(
        writable=writable,
        gate=gate_of(plan.arguments),
        cache=plan.cache,
        aio=plan.aio,
        options=options,
        objects=objects_of(plan.arguments),
        warn=lambda message: console.note(f"WARNING: {message}"),
    )
    try:
        disk = open_tree(plan.target.name, plan.target.format, context)
    except ImageError as error:
        error.message = f"{plan.cannot_open} '{plan.target.shown}': {error.message}"
        raise
    try:
        load_snapshot(disk, plan.snapshot)
        if plan.temporary:
            disk = Overlay(disk, temporary_directory())
        if plan.offset > disk.size:
            text = f"Offset ({plan.offset}) cannot be greater than size of the containing file ({disk.size})"
            raise OutOfBounds(text, path=disk.filename)
        return Window(disk, plan.offset) if plan.offset else disk
    except BaseException:
        disk.close()
        raise


def write_pid(path: str) -> None:
    """Leave the number of this process where scripts look for it."""
    try:
        with open(path, "w") as file:
            file.write(f"{os.getpid()}\n")
    except OSError as error:
        raise from_os_error(error, f"Could not create '{path}'", path) from error


def run_beside(server: Server, command: str, listener: Listener, uri: str) -> int:
    """Serve while a shell command runs, which finds the server in $uri; the command's exit status."""
    import subprocess

    with server:
        status = subprocess.call(command, shell=True, env={**os.environ, "uri": uri, "unixsocket": listener.path or ""})
    return status if status >= 0 else SIGNALLED - status


def find_bitmap(disk: Node, name: str) -> Any:
    """A persistent bitmap of the disk, if it is one that can be told of."""
    found = [bitmap for bitmap in bitmaps_of(disk) if bitmap.name == name] if keeps_bitmaps(disk) else []
    if not found:
        raise Complaint(f"Bitmap '{name}' is not found")
    found[0].refuse_inconsistent()
    return found[0]


def export_of(plan: Plan, disk: Node) -> Export:
    """The disk under its name, with what else is told of it."""
    contexts: list[StatusContext] = [Depth(protocol.ALLOCATION_DEPTH, disk)] if plan.depth else []
    contexts += [DirtyBitmap(disk, find_bitmap(disk, name), plan.offset) for name in plan.bitmaps]
    return Export(
        disk,
        plan.name,
        description=plan.description,
        read_only=plan.read_only,
        discards=plan.discards,
        multi_conn=plan.clients != 1,
        contexts=contexts,
    )
