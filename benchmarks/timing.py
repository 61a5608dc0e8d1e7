"""Timing whole commands, ours and a peer's in turn, so that a change of the machine's speed hits both alike."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

Command = Sequence[str]
Setup = Callable[[], None]


@dataclass
class Sample:
    """One run of a command: seconds of wall time, and the most memory it held, in MiB."""

    seconds: float
    memory: float


@dataclass
class Row:
    """A line of the table: a ratio (ours / the peer's; lower is better) and the limit it is held to."""

    work: str
    ours: float
    peer: float
    limit: float
    note: str = ""
    ratios: list[float] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        return self.ours / self.peer

    def __str__(self) -> str:
        verdict = "ok" if self.ratio <= self.limit else "OVER"
        ours, peer = _seconds(self.ours), _seconds(self.peer)
        return f"| {self.work} | {peer} | {ours} | {self.ratio:.2f} | {self.limit:.2f} {verdict} | {self.note} |"


HEADER = "| work | peer | imgtools | ratio | at most | note |\n|---|---|---|---|---|---|"


def _seconds(value: float) -> str:
    if value < 0.0001:
        return f"{value * 1e6:.1f} us"
    return f"{value * 1000:.1f} ms" if value < 1 else f"{value:.2f} s"


PLAIN = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
"""Installed programs start from compiled files; so do ours here."""


def run(command: Command, *, accept: Sequence[int] = (0,), attempts: int = 10) -> Sample:
    """Run a command to its end, its output thrown away.

    One that fails is run again: qemu-img cannot always tell, on a busy machine, how long it stretches a passphrase.
    """
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=PLAIN)
    assert process.stderr is not None
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    code = process.returncode = os.waitstatus_to_exitcode(status)
    if code not in accept and attempts > 1:
        return run(command, accept=accept, attempts=attempts - 1)
    if code not in accept:
        raise SystemExit(f"{' '.join(command)} exited with {code}: {errors.decode(errors='replace')[:500]}")
    return Sample(seconds, usage.ru_maxrss / 1024)


def side_by_side(
    work: str,
    ours: Sequence[Command],
    peers: Sequence[Command],
    limit: float,
    *,
    runs: int = 5,
    before: Setup = lambda: None,
    accept: Sequence[int] = (0,),
) -> Row:
    """Each of our ways and of the peer's in turn, `runs` times after one warm-up; of both the fastest way counts."""
    samples: list[list[Sample]] = [[] for _ in range(len(ours) + len(peers))]
    for number in range(runs + 1 if runs > 1 else 1):
        for kept, command in zip(samples, [*ours, *peers], strict=True):
            before()
            sample = run(command, accept=accept)
            if number or runs == 1:
                kept.append(sample)
    medians = [statistics.median(sample.seconds for sample in kept) for kept in samples]
    memory = max(sample.memory for kept in samples[: len(ours)] for sample in kept)
    row = Row(work, min(medians[: len(ours)]), min(medians[len(ours) :]), limit, f"{memory:.0f} MiB")
    print(row, flush=True)
    return row


IMGTOOLS = [str(Path(sys.executable).parent / "imgtools")]
"""The program as it is installed beside the interpreter: what people start."""
