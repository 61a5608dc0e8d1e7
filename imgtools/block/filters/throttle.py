"""throttle: no more requests, or bytes, in a second than one allows.

    driver=throttle,throttle-group=slow,limits.bps-total=10M,file.driver=qcow2,file.file.filename=disk.qcow2

Limits belong to a group; disks of one group share them. A limit is a leaky bucket: each request pours its bytes (or
itself) in, the bucket leaks at the rate that is allowed, and who would make it overflow waits until there is
room. It holds a tenth of a second's worth, or, with "-max", what that rate gives in "-max-length" seconds.
"""

from __future__ import annotations

import time
from _thread import allocate_lock

from imgtools.align import div_up
from imgtools.block.driver import Driver, Option
from imgtools.block.node import Filter
from imgtools.errors import BadOption

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgtools.block.graph import Context
    from imgtools.block.node import Buffer, Node

DIRECTIONS = ("total", "read", "write")
LIMITS = tuple(f"{what}-{direction}" for what in ("bps", "iops") for direction in DIRECTIONS)
PATIENCE = 0.1
"""Seconds' worth that a bucket holds where no burst is allowed: shorter waits would cost more than they keep back."""


class Bucket:
    """One limit: `rate` units a second, with bursts of `burst` units a second for `length` seconds (0: none)."""

    def __init__(self, rate: int, burst: int = 0, length: int = 1) -> None:
        self.rate = rate
        self.capacity = burst * length if burst else rate * PATIENCE
        self.level = 0.0
        self.seen = 0.0

    def pour(self, units: int, now: float) -> float:
        """Put `units` in; answers for how many seconds whoever did so has to wait."""
        self.level = max(0.0, self.level - (now - self.seen) * self.rate) + units
        self.seen = now
        return max(0.0, self.level - self.capacity) / self.rate


class ThrottleGroup:
    """The limits of a group, by name as in LIMITS; `iops_size` bytes count as one request, larger ones as several."""

    def __init__(self, buckets: dict[str, Bucket], iops_size: int = 0) -> None:
        self.buckets = buckets
        self.iops_size = iops_size
        self.lock = allocate_lock()

    def wait(self, direction: str, length: int) -> None:
        """Return when a request may go on."""
        requests = div_up(length, self.iops_size) if self.iops_size else 1
        units = {"bps": length, "iops": max(1, requests)}
        now = time.monotonic()
        with self.lock:
            pause = 0.0
            for name, bucket in self.buckets.items():
                what, which = name.split("-")
                if which in ("total", direction):
                    pause = max(pause, bucket.pour(units[what], now))
        if pause:
            time.sleep(pause)


class Throttle(Filter):
    """`child`, whose requests wait for `group`."""

    driver = "throttle"

    def __init__(self, child: Node, group: ThrottleGroup) -> None:
        super().__init__(child)
        self.group = group

    def readinto(self, offset: int, buffer: memoryview) -> None:
        self.group.wait("read", len(buffer))
        self.child.readinto(offset, buffer)

    def write(self, offset: int, data: Buffer) -> None:
        self.group.wait("write", len(data))
        self.child.write(offset, data)

    def zero(self, offset: int, length: int, *, unmap: bool = True) -> None:
        self.group.wait("write", length)
        self.child.zero(offset, length, unmap=unmap)

    def discard(self, offset: int, length: int) -> None:
        self.group.wait("write", length)
        self.child.discard(offset, length)


def make_group(values: dict[str, int]) -> ThrottleGroup:
    """The group with the limits in `values`: "bps-total", "bps-total-max", "bps-total-max-length", "iops-size" ..."""
    for what in ("bps", "iops"):
        for suffix in ("", "-max"):
            if values.get(f"{what}-total{suffix}") and any(values.get(f"{what}-{d}{suffix}") for d in DIRECTIONS[1:]):
                raise BadOption("bps/iops/max total values and read/write values cannot be used at the same time")
    return ThrottleGroup(dict(_buckets(values)), values.get("iops-size", 0))


def _buckets(values: dict[str, int]) -> Iterator[tuple[str, Bucket]]:
    for name in LIMITS:
        rate, burst = values.get(name, 0), values.get(f"{name}-max", 0)
        length = values.get(f"{name}-max-length", 1)
        if burst and burst < rate:
            raise BadOption("bps_max/iops_max cannot be lower than bps/iops", hint=f"See {name}-max.")
        if burst and not rate:
            raise BadOption("bps_max/iops_max require corresponding bps/iops values", hint=f"See {name}-max.")
        if length != 1 and not burst:
            raise BadOption("the burst length cannot be greater than 1 without a maximum", hint=f"See {name}-max.")
        if not length:
            raise BadOption("the burst length cannot be 0")
        if rate:
            yield name, Bucket(rate, burst, length)


class ThrottleDriver(Driver):
    name = "throttle"
    open_options = (
        Option("throttle-group", "text", "the group whose limits hold", identity=True),
        *(
            option
            for name in LIMITS
            for option in (
                Option(f"limits.{name}", "size", f"{name}: the most in a second"),
                Option(f"limits.{name}-max", "size", "the most in a second of a burst"),
                Option(f"limits.{name}-max-length", "int", "for how many seconds a burst may last (1)"),
            )
        ),
        Option("limits.iops-size", "size", "how many bytes count as one request"),
    )

    def open_node(self, children: dict[str, Node], context: Context) -> Node:
        options = context.options
        if "throttle-group" not in options:
            raise BadOption("Please specify a throttle group")
        name = options["throttle-group"]
        limits = {key.removeprefix("limits."): value for key, value in options.items() if key.startswith("limits.")}
        if limits:
            context.objects[name] = make_group(limits)
        group = context.objects.get(name)
        if not isinstance(group, ThrottleGroup):
            raise BadOption(
                f"Throttle group '{name}' does not exist", hint="Give it limits: limits.bps-total=10M, for example."
            )
        return Throttle(children["file"], group)


DRIVERS = (ThrottleDriver(),)
