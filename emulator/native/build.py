"""Building units: the front end here, LLVM in several processes, the objects into the cache.

with progress_bar() as progress:
    build([mmu, decoder, interpreter], progress=progress)
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from .cache import ObjectCache
from .errors import BuildError
from .llvm import machine
from .unit import Unit

_WORKER = Path(__file__).with_name("worker.py")
_SHOWN_LINES = 12  # of what LLVM said; the rest is its stack dump


class Progress(NamedTuple):
    """How far a build is: at its begin, and when a unit is ready."""

    done: int
    total: int
    unit: str


Listener = Callable[[Progress], None]


def build(
    units: Iterable[Unit],
    *,
    cache: ObjectCache | None = None,
    jobs: int | None = None,
    progress: Listener | None = None,
) -> dict[str, bytes]:
    """The objects of these units and of those they use, by key; only what the cache lacks is compiled."""
    cache = cache or ObjectCache()
    wanted = {unit.key: unit for unit in with_used(units)}
    objects = _read(cache, wanted)
    if len(objects) == len(wanted):
        return objects
    if cache.problem:
        import logging

        logging.getLogger(__name__).warning("compiled code is not kept: %s", cache.problem)
    with cache.building():
        objects |= _read(cache, {key: unit for key, unit in wanted.items() if key not in objects})
        missing = {key: unit for key, unit in wanted.items() if key not in objects}
        done = len(objects)
        if missing and progress is not None:
            progress(Progress(done, len(wanted), ""))
        for key, compiled in _compile_all(missing, jobs or os.cpu_count() or 1):
            objects[key] = compiled
            cache.write(key, compiled)
            done += 1
            if progress is not None:
                progress(Progress(done, len(wanted), wanted[key].name))
        cache.prune()
    return objects


def with_used(units: Iterable[Unit]) -> list[Unit]:
    """These units and all they use, the used ones first."""
    ordered: dict[Unit, None] = {}
    for unit in units:
        for found in (*with_used(unit.uses), unit):
            ordered.setdefault(found)
    return list(ordered)


def _read(cache: ObjectCache, units: dict[str, Unit]) -> dict[str, bytes]:
    found = {key: cache.read(key) for key in units}
    return {key: data for key, data in found.items() if data is not None}


def _compile_all(units: dict[str, Unit], jobs: int) -> Iterator[tuple[str, bytes]]:
    """Compile in `jobs` processes at a time; the front end of one unit overlaps with LLVM on another."""
    from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

    with ThreadPoolExecutor(max(1, min(jobs, len(units)))) as pool:
        running: dict[Future[bytes], str] = {pool.submit(compile_unit, unit): key for key, unit in units.items()}
        try:
            while running:
                finished, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    yield running.pop(future), future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def compile_unit(unit: Unit) -> bytes:
    """One unit through LLVM in a process of its own."""
    import json
    import subprocess

    text = unit.ir()
    _, _, cpu, features = machine()
    request = json.dumps({"optimize": unit.optimize, "cpu": cpu, "features": features})
    command = [sys.executable, "-P", str(_WORKER)]
    finished = subprocess.run(command, input=f"{request}\n{text}".encode(), capture_output=True)
    if finished.returncode == 0 and finished.stdout:
        return finished.stdout
    said = finished.stderr.decode(errors="replace").strip().splitlines()[-_SHOWN_LINES:]
    how = f"ended with signal {-finished.returncode}" if finished.returncode < 0 else "failed"
    raise BuildError("\n".join([f"unit {unit.name}: LLVM {how}", *said]))


@contextlib.contextmanager
def progress_bar(title: str = "Compiling the emulator") -> Iterator[Listener]:
    """A listener that draws a bar on standard error, only once there is something to build."""
    bars: list[Any] = []

    def show(event: Progress) -> None:
        if not bars:
            bars.append(_new_bar(title))
        bars[0].update(bars[0].task_ids[0], completed=event.done, total=event.total, unit=event.unit)

    try:
        yield show
    finally:
        for bar in bars:
            bar.stop()


def _new_bar(title: str) -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    bar = Bar(*columns, TextColumn("{task.fields[unit]}"), console=Console(stderr=True))
    bar.add_task(title, total=None, unit="")
    bar.start()
    return bar
