"""Fixtures for every test: the peers' tools, which are compared with where they are installed.

A test that needs a tool which is missing is skipped with that reason; with IMGTOOLS_TESTS_NO_SKIP=1, as in
continuous integration, it fails instead.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import HealthCheck, settings

from imgtools.block.protocols.file import open_file
from imgtools.errors import Locked

Runner = Callable[..., subprocess.CompletedProcess[str]]

PATIENCE = 300
"""Seconds until a test gives up what has to happen: it ends a hang, and is no claim. A machine that others use, too,
may stand still for seconds at any moment, and then a test is late, but it does not fail."""

# Deterministic and without a deadline: two cores that other work shares make any time limit a coin toss.
settings.register_profile(
    "imgtools",
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("imgtools")

# Who starts the tests as a shell's background job has them, and all programs that they start, ignore Ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def cannot_run(reason: str) -> NoReturn:
    """Skip the running test, or fail it where nothing may be skipped."""
    if os.environ.get("IMGTOOLS_TESTS_NO_SKIP") == "1":
        pytest.fail(f"IMGTOOLS_TESTS_NO_SKIP=1, but {reason}")
    pytest.skip(reason)


def require_tool(name: str) -> str:
    """The path of a peer's program."""
    return shutil.which(name) or cannot_run(f"{name} is not installed")


@pytest.fixture
def telling(tmp_path: Path) -> Path:
    """A folder on a file system that tells what is cached: not tmpfs, which /tmp may be."""
    (tmp_path / "probe").write_bytes(b"x")
    with (tmp_path / "probe").open("rb") as probe:
        try:
            os.preadv(probe.fileno(), [bytearray(1)], 0, os.RWF_NOWAIT)
        except BlockingIOError:
            pass  # it has dropped the file already, and tells
        except OSError:
            cannot_run(f"the file system of {tmp_path} does not tell what is cached (give pytest a --basetemp)")
    return tmp_path


TRIES = 100
"""How often something is done that the system may thwart by chance."""
CANNOT_TIME = "Unable to get accurate CPU usage"
"""QEMU says so where the kernel's clock ticks told it nothing of how long deriving a key took: at once, and in every
fourth run even of an idle machine. It is asked again, often enough that a busy one gets there, too."""


def run(*command: str | Path, check: bool = True, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, with text output in English. `check` asserts that it succeeded."""
    for _ in range(TRIES):
        done = subprocess.run(
            [str(word) for word in command],
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            env={**os.environ, "LC_ALL": "C"},
        )
        if CANNOT_TIME not in done.stderr:
            break
    assert not check or done.returncode == 0, f"{command} exited with {done.returncode}: {done.stdout}{done.stderr}"
    return done


def wait_until(happens: Callable[[], object]) -> None:
    """Wait for an event; what fails in `happens` ends the wait, too."""
    deadline = time.monotonic() + PATIENCE
    while not happens():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.005)


def has_ended(pid: int | str) -> bool:
    """Whether a process and its threads are no more and all files closed, though its parent may not have looked yet."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state in ("Z", "X") and len(threads) == 1


def is_locked(path: Path, *, write: bool) -> bool:
    """Whether someone's lock keeps us from opening the image so."""
    try:
        open_file(str(path), writable=write).close()
    except Locked:
        return True
    return False


def hold_port() -> socket.socket:
    """A TCP port of this host that nobody else is given. Nobody listens there, but who reuses addresses may."""
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", 0))
    return held


@pytest.fixture
def qemu_img() -> Runner:
    """`qemu_img("info", path)`: run qemu-img; `check=False` lets it fail."""
    tool = require_tool("qemu-img")
    return lambda *args, **kwargs: run(tool, *args, **kwargs)


@pytest.fixture
def qemu_io() -> Runner:
    """`qemu_io(path, "write -P 7 0 64k", "flush", format="vdi")`: run commands of qemu-io on an image."""
    tool = require_tool("qemu-io")

    def run_commands(
        path: str | Path, *commands: str, format: str = "raw", check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        words = [word for command in commands for word in ("-c", command)]
        done = run(tool, "-f", format, *words, path, check=check)
        assert not check or "failed" not in done.stdout + done.stderr, done.stdout + done.stderr
        return done

    return run_commands


@pytest.fixture
def qemu_nbd_path() -> str:
    """The path of qemu-nbd, which stays in the foreground and holds an image as long as it runs."""
    return require_tool("qemu-nbd")


@pytest.fixture
def busy_threads() -> Iterator[None]:
    """Threads take turns thousands of times as often as usual, so that what they share is caught half-done."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)
