"""imgtools nbd: what there is to do with network block devices, a module a subcommand."""

from __future__ import annotations

from imgtools.cli.getopt import Command

COMMAND = Command("nbd", "COMMAND [ARGUMENTS]", "Serve disks to NBD clients.", ())
COMMAND.stops_at_operand = True
COMMAND.subcommands = {
    "serve": "imgtools.cli.nbd.serve",
}
