"""The PC: an i440FX with a PIIX3, as QEMU's `pc` machine has it, so that systems find what they know.

Memory: RAM from 0 to at most 3 GiB, the rest of it from 4 GiB on; A0000h to FFFFFh is the display's and the firmware's;
from 3 GiB to 4 GiB are devices. Interrupts: `irq(n)` is line n of the ISA bus, and pin n of the I/O APIC.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path

from emulator.hw import floppy, ide, net, virtio
from emulator.hw.debug_console import DebugConsole
from emulator.hw.debug_exit import DebugExit
from emulator.hw.device import Line
from emulator.hw.dma import DmaControllers
from emulator.hw.i8042 import KeyboardController
from emulator.hw.uart import SerialPort
from emulator.hw.vga.card import Vga
from emulator.hw.vga.picture import save as save_picture
from emulator.hw.virtio.console import VirtioConsole
from emulator.hw.virtio.device import DRIVER_OK
from emulator.hw.virtio.mmio import VirtioMmio
from emulator.x86.cpuid import SYSTEM_FEATURES

from . import acpi
from .bios.pc import Bios
from .chipset import Chipset
from .config import FLOPPY, IDE, PcConfig
from .errors import GuestError
from .firmware_files import configuration
from .kernels import load_kernel
from .machine import Machine
from .rom import add_firmware, display_rom

LOW_LIMIT = 3 << 30  # RAM below 4 GiB ends here at the latest
HIGH_START = 4 << 30
LOW_MEMORY, VIDEO, BIOS_ROM, HIGH_MEMORY = 0x9FC00, 0xA0000, 0xE0000, 1 << 20
TABLES = 1 << 16  # at the end of low RAM, for ACPI
USABLE, RESERVED = 1, 2
MANY, SECOND = 5, 1_000_000_000  # so many triple faults in a second are endless
SERIAL_IRQ, MOUSE_IRQ = 4, 12
FEATURES = {"APIC", "TSC_DEADLINE", "ARAT", "HYPERVISOR", "INVARIANT_TSC", "MTRR", "MCE", "MCA", "ARCH_CAPABILITIES"}
FEATURES |= {"SPEC_CTRL", "BHI_CTRL"}


class Pc(Machine):
    """A PC with what `config` says. The disks' nodes stay whoever's they are."""

    features = frozenset(SYSTEM_FEATURES) | FEATURES

    def __init__(self, config: PcConfig, *, native: bool = True) -> None:
        super().__init__(native=native, icount=config.icount, accelerator=config.accelerator)
        self.config = config
        self.a20 = True
        self._faults: deque[int] = deque(maxlen=MANY)  # when the processor shut down
        self.low_memory = min(config.memory, LOW_LIMIT)
        self.ram = self.space.add_ram(0, self.low_memory)
        self.high_ram = None
        if config.memory > LOW_LIMIT:
            self.high_ram = self.space.add_ram(HIGH_START, config.memory - LOW_LIMIT, name="ram above 4 GiB")
        self._add_board()
        self._add_cards()
        self.bus.add(configuration(self))
        self.firmware = None if config.bios else Bios(self)

    # -- what is on the board -------------------------------------------------------------------------------

    def _add_board(self) -> None:
        self.chipset = Chipset(self)
        self.pci = self.chipset.pci
        self.serial = SerialPort(self.config.serial, self.irq(SERIAL_IRQ))
        self.keyboard = KeyboardController(self.irq(1), self.irq(MOUSE_IRQ), self.set_a20, self.reset, self.now)
        for device in (self.serial, self.keyboard, DebugConsole(self.config.console), DebugExit(self.end)):
            self.bus.add(device)

    def _add_cards(self) -> None:
        """Disks, network and what else is in a slot."""
        self.vga = Vga(self.now, display_rom() if self.config.bios else None)
        self.vga.connect(self.pci)
        on_error = self.config.on_error
        self.dma = DmaControllers(self.space)
        self.bus.add(self.dma)
        floppy.attach(self.bus, self.irq(floppy.IRQ), self.dma, self.config.drives_on(FLOPPY), on_error)
        ide.attach(self.pci, self.irq, self.config.drives_on(IDE), on_error)
        self.virtio = virtio.attach(self.pci, self.config, self.irq, on_error)
        self.network = net.attach(self.pci, self.config, self.now, self.post)

    def close(self) -> None:
        """End the network's thread, and close its sockets."""
        if self.network is not None:
            self.network.close()
        super().close()

    # -- interrupts -----------------------------------------------------------------------------------------

    def irq(self, number: int) -> Line:
        """A line of the ISA bus, for a chip."""
        return self.chipset.interrupts.line(number)

    def press_power_button(self) -> None:
        """From any thread: the system is asked to shut down."""
        self.post(self.chipset.power.press_power_button)

    def power_on(self) -> None:
        """Start the firmware, or the kernel that is to be started without one."""
        if self.config.bios is not None:
            add_firmware(self.space, self.config.bios)
        self._start()

    def _start(self) -> None:
        """After power-on and after each reset."""
        if self.config.bios is None:
            self.chipset.set_up()
        if self.config.bios is None or self.config.linux is not None:  # else the firmware puts them where it wants
            self.space.write(self.acpi_root, self.acpi_tables().at(self.acpi_root))
        if self.config.linux is not None:
            if self.firmware is not None:
                self.firmware.post.prepare()
            load_kernel(self, self.config.linux)

    # -- memory ---------------------------------------------------------------------------------------------

    def memory_map(self) -> list[tuple[int, int, int]]:
        """What the firmware tells of memory (ACPI 6.4, section 15): first byte, size, 1 for RAM and 2 for reserved."""
        entries = [
            (0, LOW_MEMORY, USABLE),
            (LOW_MEMORY, VIDEO - LOW_MEMORY, RESERVED),
            (BIOS_ROM, HIGH_MEMORY - BIOS_ROM, RESERVED),
            (HIGH_MEMORY, self.usable_low_memory() - HIGH_MEMORY, USABLE),
            (self.usable_low_memory(), TABLES, RESERVED),
        ]
        if self.high_ram is not None:
            entries.append((HIGH_START, self.high_ram.size, USABLE))
        return entries

    def usable_low_memory(self) -> int:
        """Where the RAM below 4 GiB that is the guest's own ends; behind it are the firmware's tables."""
        return self.low_memory - TABLES

    @property
    def acpi_root(self) -> int:
        """The address of the ACPI tables, which begin with the root pointer, unless a firmware has placed them."""
        return self.usable_low_memory()

    def acpi_tables(self) -> acpi.Tables:
        """As the machine is now."""
        floppy = any(drive.interface == FLOPPY for drive in self.config.drives)
        in_memory = sum(isinstance(device.transport, VirtioMmio) for device in self.virtio)
        return acpi.build(self.low_memory, self.chipset.power.base, floppy=floppy, virtio=in_memory)

    # -- what the processor asks for ------------------------------------------------------------------------

    def acknowledge(self) -> int:
        return self.chipset.interrupts.local.acknowledge()

    def priority_changed(self, priority: int) -> None:
        self.chipset.interrupts.local.set_priority(priority)

    def time_stamp(self) -> int:
        """The guest's time stamp counter."""
        return self.clock() + self.processor.cpu.tsc_offset & (1 << 64) - 1

    def read_msr(self, number: int) -> int | None:
        return self.chipset.msrs.read(number)

    def write_msr(self, number: int, value: int) -> bool:
        return self.chipset.msrs.write(number, value)

    # -- reset ----------------------------------------------------------------------------------------------

    def set_a20(self, enabled: bool) -> None:
        """The A20 gate; the port that was written last decides."""
        if enabled != self.a20:
            self.a20 = enabled
            self.processor.set_a20(enabled)

    def reset(self) -> None:
        """Reset the machine, as soon as the current instruction is over; without `config.reboot` that is its end."""
        self.post(self._reset)

    def _reset(self) -> None:
        if not self.config.reboot:
            self.end(0)
            return
        self.processor.reset()
        self.chipset.msrs.reset()
        self.bus.reset()
        self._start()

    def triple_fault(self) -> None:
        """The board resets. A machine that shall not start anew ends, and one that gets no further than this."""
        self._faults.append(self.now())
        endless = len(self._faults) == MANY and self._faults[-1] - self._faults[0] < SECOND
        try:
            super().triple_fault()
        except GuestError as error:
            if endless or not self.config.reboot:
                raise
            self.config.warn(f"{error}\nthe machine resets")
        self.reset()

    def type(self, data: bytes) -> None:
        """What is typed on the terminal, from any thread: for the console that the guest uses, else the keyboard."""
        self.post(lambda: self._terminal()(data))

    def _terminal(self) -> Callable[[bytes], None]:
        """The virtio console with a driver, the serial port once the guest has sent something, else the keyboard."""
        for device in self.virtio:
            if isinstance(device, VirtioConsole) and device.status & DRIVER_OK:
                return device.receive
        return self.serial.receive if self.serial.has_sent else lambda data: self._press(data.decode(errors="ignore"))

    def type_text(self, text: str) -> None:
        """Press the keys for a text, from any thread."""
        self.post(lambda: self._press(text))

    def _press(self, text: str) -> None:
        self.keyboard.type_text(text)
        self.bus.update(self.keyboard)

    def screenshot(self, path: str) -> None:
        """What the display shows, as text for a name that ends in .txt, as PNG for any other."""
        save_picture(self.vga, Path(path))
