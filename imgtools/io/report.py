"""What commands say about the requests that they made: sizes, times and rates."""

from __future__ import annotations

UNITS = ((60, "EiB"), (50, "PiB"), (40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB"))


def human(value: float) -> str:
    """A number of bytes: "4 KiB", "1.938 MiB", "5.693662 bytes"."""
    for shift, unit in UNITS:
        if value >= 1 << shift:
            text, suffix = f"{value / (1 << shift):.3f}", unit
            break
    else:
        text, suffix = f"{value:f}", "bytes"
    return f"{text.partition('.000')[0]} {suffix}"


def duration(seconds: float, terse: bool) -> str:
    """A time: "00.01 sec", from one second on "0:00:01.20"."""
    if seconds < 1 and not terse:
        return f"{seconds:05.2f} sec"
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes) // 60}:{int(minutes) % 60:02}:{rest:05.2f}"


def statistics(verb: str, offset: int, length: int, seconds: float, terse: bool) -> str:
    """The lines about one request: `verb` is "read", "wrote" or "discard"."""
    rate, requests = (length / seconds, 1 / seconds) if seconds else (0.0, 0.0)
    if terse:
        return f"{length},1,{duration(seconds, True)},{rate:.3f},{requests:.3f}\n"
    return (
        f"{verb} {length}/{length} bytes at offset {offset}\n"
        f"{human(length)}, 1 ops; {duration(seconds, False)} ({human(rate)}/sec and {requests:.4f} ops/sec)\n"
    )
