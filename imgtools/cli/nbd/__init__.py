"""imgtools nbd: what there is to do with network block devices, a module a subcommand."""

from __future__ import annotations

from imgtools.cli.getopt import Command

COMMAND = Command(
    "nbd", "COMMAND [ARGUMENTS]", "Serve disks to NBD clients, and look at, copy and dump what NBD servers have.", ()
)
COMMAND.stops_at_operand = True
COMMAND.subcommands = {
    "copy": "imgtools.cli.nbd.copy",
    "dump": "imgtools.cli.nbd.dump",
    "info": "imgtools.cli.nbd.info",
    "list": "imgtools.cli.nbd.list",
    "map": "imgtools.cli.nbd.map",
    "serve": "imgtools.cli.nbd.serve",
}
