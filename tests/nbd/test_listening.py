"""Where a server listens: on a socket's path that others have used or use, and on what a service manager hands over."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from imgtools.errors import ImageError
from imgtools.nbd.server.listen import listen_unix
from tests.conftest import PATIENCE, has_ended, require_tool, run, wait_until
from tests.nbd.conftest import SIZE
from tests.nbd.serving import Client, Server

Serve = Callable[..., Server]


def test_a_socket_that_was_left_over_is_replaced(tmp_path: Path) -> None:
    path = str(tmp_path / "a.sock")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
    assert os.path.exists(path)
    listen_unix(path).close()
    assert not os.path.exists(path)


def test_a_socket_that_is_in_use_is_not(disk: Path, serve: Serve) -> None:
    server = serve(disk, "-r")
    words = ("nbd", "serve", "-r", "-f", disk.suffix[1:], "-k", server.socket, disk)
    done = run(sys.executable, "-m", "imgtools", *words, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"imgtools: Failed to bind socket to {server.socket}: Address already in use\n"
    with Client(server) as client:
        assert client.size == SIZE
    assert server.stop() == 0


def test_only_its_own_socket_goes_with_a_server(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    first = listen_unix(str(path))
    path.unlink()
    second = listen_unix(str(path))
    first.close()
    assert path.exists()
    second.close()
    assert not path.exists()


@pytest.mark.parametrize("name", ["x" * 108, "no such directory/a.sock", ""])
def test_paths_that_cannot_be(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ImageError):
        listen_unix(name)
    assert not list(tmp_path.iterdir())


STARTER = """
import os, socket, sys
listening = socket.socket(socket.AF_UNIX)
listening.bind(sys.argv[1])
if sys.argv[2] != "deaf":
    listening.listen()
print("listening", flush=True)
os.dup2(listening.fileno(), 3)
os.set_inheritable(3, True)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": sys.argv[2].replace("deaf", "1")}
os.execv(sys.executable, [sys.executable, "-m", "imgtools", "nbd", "serve", *sys.argv[3:]])
"""


def activate(path: Path, count: str, *words: str | Path) -> subprocess.Popen[str]:
    """The server, started as a service manager does it: file descriptor 3 is a socket, LISTEN_PID names the process."""
    command = [sys.executable, "-c", STARTER, path, count, *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "listening\n"
    return process


def test_socket_activation(disk: Path, tmp_path: Path) -> None:
    path = tmp_path / "activated.sock"
    server = activate(path, "1", "--once", "-f", disk.suffix[1:], disk)
    assert run(require_tool("nbdinfo"), "--size", f"nbd+unix:///?socket={path}").stdout == f"{SIZE}\n"
    assert server.communicate(timeout=PATIENCE) == ("", "") and server.returncode == 0
    assert path.exists()


def test_socket_activation_by_nbdkit(disk: Path, tmp_path: Path) -> None:
    require_tool("nbdkit")
    path = tmp_path / "activated.sock"
    server = activate(path, "1", "--engine", "nbdkit", "--filter", "exitlast", "-f", disk.suffix[1:], disk)
    assert run(require_tool("nbdinfo"), "--size", f"nbd+unix:///?socket={path}").stdout == f"{SIZE}\n"
    assert server.communicate(timeout=PATIENCE) == ("", "") and server.returncode == 0


def test_socket_activation_in_the_background(disk: Path, tmp_path: Path) -> None:
    """The process that serves is another one than the service manager's."""
    path, pid_file = tmp_path / "activated.sock", tmp_path / "pid"
    words = ("--background", "--once", "--pid-file", pid_file, "-f", disk.suffix[1:], disk)
    server = activate(path, "1", *words)
    assert server.communicate(timeout=PATIENCE) == ("", "") and server.returncode == 0
    pid = int(pid_file.read_text())
    try:
        assert run(require_tool("nbdinfo"), "--size", f"nbd+unix:///?socket={path}").stdout == f"{SIZE}\n"
        wait_until(lambda: has_ended(pid))
    finally:
        if not has_ended(pid):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize(
    ("count", "words", "complaint"),
    [
        ("1", ["--socket", "other.sock"], "Unix socket can't be set when using socket activation"),
        ("1", ["--bind", ""], "The interface can't be set when using socket activation"),
        ("1", ["--port", "0"], "TCP port number can't be set when using socket activation"),
        ("some", [], "Socket activation failed: LISTEN_FDS is 'some', no number of sockets"),
        ("deaf", [], "Socket activation failed: file descriptor 3 is not a listening socket"),
        ("64", [], "Socket activation failed: file descriptor "),
    ],
)
def test_what_cannot_be_activated(count: str, words: list[str], complaint: str, disk: Path, tmp_path: Path) -> None:
    server = activate(tmp_path / "a.sock", count, *words, "-f", disk.suffix[1:], disk)
    said, complained = server.communicate(timeout=PATIENCE)
    assert (server.returncode, said) == (1, "")
    assert complained.startswith(f"imgtools: {complaint}") and complained.count("\n") == 1
