"""Taking a mounted directory away.

The process that serves it flushes and closes its image after that. Whoever unmounts wants to use the image, so
this waits for it.
"""

from __future__ import annotations

import errno
import os
import select
import subprocess
from shutil import which

from imgtools.errors import BadOption, InputOutput, UnsupportedFeature, from_os_error

SERVER_LINK = ".imgtools-server"
"""A link in a mounted directory, which is not listed: it leads to the number of the process that serves it."""
DISK = "disk"
"""The file that every mounted directory has: the whole disk."""
PROGRAMS = (("fusermount3", "-u"), ("fusermount", "-u"), ("umount",))
"""What takes a directory away: the first that is installed."""


def unmount(directory: str, patience: float = 60) -> None:
    """Unmount `directory` and wait, for `patience` seconds, until its image is closed."""
    try:
        server = os.pidfd_open(int(os.readlink(os.path.join(directory, SERVER_LINK))))
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno == errno.ENOTCONN:
            _take_away(directory)  # the process that served it was killed
            return
        raise BadOption(f"'{directory}' is not a directory that imgtools has mounted", path=directory) from None
    try:
        _write_back(directory)
        _take_away(directory)
        if not select.select([server], [], [], patience)[0]:
            raise InputOutput(f"'{directory}' is unmounted, but its image is still being closed", path=directory)
    finally:
        os.close(server)


def _write_back(directory: str) -> None:
    """Have all that was written on stable storage while there is still somebody to tell where that fails."""
    try:
        disk = os.open(os.path.join(directory, DISK), os.O_RDONLY)
        try:
            os.fsync(disk)
        finally:
            os.close(disk)
    except OSError as error:
        failure = from_os_error(error, f"could not write back what was written in '{directory}'", directory)
        failure.hint = "It is still mounted: mend that and try again, or give it up by fusermount3 -u."
        raise failure from error


def _take_away(directory: str) -> None:
    program = next((words for words in PROGRAMS if which(words[0])), None)
    if program is None:
        raise UnsupportedFeature(
            "fusermount3 is needed to unmount", path=directory, hint="Debian, Ubuntu: apt install fuse3"
        )
    place = os.path.realpath(directory)  # they follow no links
    done = subprocess.run([*program, place], capture_output=True, text=True)
    if done.returncode:
        raise InputOutput(f"could not unmount '{directory}': {done.stderr.strip()}", path=directory)
