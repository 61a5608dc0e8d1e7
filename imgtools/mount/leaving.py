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

from imgtools.errors import BadOption, InputOutput, UnsupportedFeature

SERVER_LINK = ".imgtools-server"
"""A link in a mounted directory, which is not listed: it leads to the number of the process that serves it."""
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
        _take_away(directory)
        if not select.select([server], [], [], patience)[0]:
            raise InputOutput(f"'{directory}' is unmounted, but its image is still being closed", path=directory)
    finally:
        os.close(server)


def _take_away(directory: str) -> None:
    program = next((words for words in PROGRAMS if which(words[0])), None)
    if program is None:
        raise UnsupportedFeature(
            "fusermount3 is needed to unmount", path=directory, hint="Debian, Ubuntu: apt install fuse3"
        )
    done = subprocess.run([*program, directory], capture_output=True, text=True)
    if done.returncode:
        raise InputOutput(f"could not unmount '{directory}': {done.stderr.strip()}", path=directory)
