"""Linux on the display and the keyboard: its console is on the screen, its shell gets what is typed."""

from __future__ import annotations

from boot_screen import follow
from linux_guests import initramfs, kernel

from emulator.machine.config import LinuxBoot

SCRIPT = """
exec </dev/tty1 >/dev/tty1 2>&1
echo shell is ready
read line
echo "got <$line>"
read line
cat /proc/interrupts
read line
poweroff -f
"""


def test_console() -> None:
    chosen = kernel("amd64")
    modules = ["i8042", "atkbd", "psmouse"]
    linux = LinuxBoot(chosen.image.read_bytes(), initramfs(chosen, modules, SCRIPT), "console=tty0 panic=-1")
    steps = [("shell is ready", "Hello, World: {42}~\n"), ("got <Hello, World: {42}~>", "\n"), ("i8042", "")]
    follow([], steps, linux=linux)
