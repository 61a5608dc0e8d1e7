"""nbdkit, as a subprocess: its plugins as sources of disks, and itself as the server of ours.

A source is an nbdkit with any plugin, on a socket that only we know; its exitlast filter ends it with our last
connection, however we come to our end.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from imgtools.errors import BadOption, InputOutput, UnsupportedFeature

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

PATIENCE = 30
"""Seconds for a plugin to be ready."""
PLUGIN_OF_OURS = os.path.join(os.path.dirname(__file__), "nbdkit_plugin.py")


def find() -> str:
    """The path of the program."""
    path = shutil.which("nbdkit")
    if path is None:
        raise UnsupportedFeature("nbdkit is not installed", hint="Debian, Ubuntu: apt install nbdkit")
    return path


def start(socket: str, plugin: str, parameters: Sequence[str], filters: Sequence[str]) -> None:
    """Start nbdkit in the background; it listens on `socket` when this returns."""
    for word in (plugin, *parameters):
        if word.startswith("-") or not word:
            raise BadOption(f"'{word}' is neither a plugin of nbdkit nor a parameter for one")
    words = [find(), "--unix", socket, "--filter=exitlast", *(f"--filter={name}" for name in filters)]
    try:
        done = subprocess.run(
            [*words, plugin, *parameters], stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE
        )
    except subprocess.TimeoutExpired:
        raise InputOutput(f"nbdkit's plugin '{plugin}' is not ready after {PATIENCE} seconds") from None
    if done.returncode:
        lines = done.stderr.decode(errors="replace").splitlines()
        errors = [line.partition("error: ")[2] for line in lines if "error: " in line]
        text = next(iter(errors or lines), f"it ended with status {done.returncode}")
        raise InputOutput(f"nbdkit could not be started: {text}")


def become_server(listening: Sequence[str], filters: Sequence[str], parameters: Sequence[str]) -> NoReturn:
    """Replace this process by an nbdkit that serves through our plugin; `listening` are options of its own."""
    if b"name=python" not in subprocess.run([find(), "python", "--dump-plugin"], capture_output=True).stdout:
        raise UnsupportedFeature(
            "nbdkit's Python plugin is not installed", hint="Debian, Ubuntu: apt install nbdkit-plugin-python"
        )
    words = [find(), *listening, *(f"--filter={name}" for name in filters), "python", PLUGIN_OF_OURS, *parameters]
    # nbdkit brings a Python of its own, which is to find what this one finds.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    os.execve(words[0], words, environment)
