"""Linux and the board: the power button, a reset, power-off, the clock, which interrupts and timers it takes."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime

from linux_guests import initramfs, kernel

from emulator.machine.config import LinuxBoot, PcConfig
from emulator.machine.pc import Pc
from tests.conftest import PATIENCE

LATE = 99
SCRIPT = """
echo $(cat /sys/class/rtc/rtc0/date /sys/class/rtc/rtc0/time) is the date
echo $(cat /sys/devices/system/clocksource/clocksource0/available_clocksource) are clocks
echo press the button
while read count rest < /sys/firmware/acpi/interrupts/ff_pwr_btn; [ $count = 0 ]; do sleep 0.1; done
cat /proc/interrupts
echo what now
read word
$word -f
"""


def test_power() -> None:
    """The button is pressed; then the system restarts, and powers off the next time."""
    cloud = kernel("cloud-amd64")
    disk = initramfs(cloud, ["button"], SCRIPT)
    said = bytearray()
    answers = [b"reboot\n", b"poweroff\n"]

    def listen(data: bytes) -> None:
        said.extend(data)
        if said.endswith(b"press the button\r\n"):
            machine.press_power_button()
        elif said.endswith(b"what now\r\n"):
            machine.type(answers.pop(0))

    boot = LinuxBoot(cloud.image.read_bytes(), disk, "console=ttyS0 quiet")
    with Pc(PcConfig(memory=256 << 20, serial=listen, linux=boot)) as machine:
        timer = threading.Timer(PATIENCE, lambda: machine.end(LATE))
        timer.start()
        machine.power_on()
        status = machine.run()
        timer.cancel()
    lines = said.decode("latin-1").splitlines()
    assert status == 0 and not answers, "\n".join(lines[-30:])
    dates = [line.removesuffix(" is the date") for line in lines if line.endswith("is the date")]
    shown = datetime.fromisoformat(dates[-1]).replace(tzinfo=UTC).timestamp()
    assert len(dates) == 2 and abs(time.time() - shown) < PATIENCE
    assert sum(line == "tsc hpet acpi_pm are clocks" for line in lines) == 2
    taken = [line.split() for line in lines if "IO-APIC" in line or line.startswith("LOC:")]
    assert ["9:", "1", "IO-APIC", "9-fasteoi", "acpi"] in taken
    assert any(words[0] == "LOC:" and int(words[1]) > 50 for words in taken)
