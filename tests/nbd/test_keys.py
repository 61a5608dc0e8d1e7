"""TLS by pre-shared keys, both ways beside the peers; where a Python's ssl knows none, that is said in one line."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import require_tool, run, wait_until
from tests.nbd.peers import Peer
from tests.nbd.serving import PROGRAM, ROOT

Peers = Callable[..., Peer]
ASKS = "import ssl, sys; sys.exit(not getattr(ssl, 'HAS_PSK', False))"
SIZE = 1 << 20


def pythons() -> list[str]:
    """The Python that runs the tests, and a newer one whose ssl knows keys, if there is one."""
    found = [sys.executable, *filter(None, map(shutil.which, ("python3.13", "python3.14")))]
    return [found[0], *(each for each in found[1:] if knows_keys(each))]


def knows_keys(python: str) -> bool:
    return subprocess.run([python, "-c", ASKS], capture_output=True).returncode == 0


@pytest.fixture(params=pythons())
def ours(request: pytest.FixtureRequest) -> list[str]:
    """The program under one of the Pythons."""
    return [request.param, "-c", PROGRAM, str(ROOT)]


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A file of keys by GnuTLS' own tool, in a directory of its own."""
    path = tmp_path / "psk" / "keys.psk"
    path.parent.mkdir()
    for user in ("alice", "qemu"):
        run(require_tool("psktool"), "-u", user, "-p", path)
    return path


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "disk.raw"
    path.write_bytes(b"secret" + bytes(SIZE - 6))
    return path


def other(keys: Path) -> Path:
    """The same users with other keys."""
    path = keys.with_name("other.psk")
    path.write_text("".join(f"{user}:{'5a' * 32}\n" for user in ("alice", "qemu")))
    return path


def uri(socket: Path, keys: Path, user: str = "alice") -> str:
    return f"nbds+unix://{user}@/?socket={socket}&tls-psk-file={keys}"


def refused(ours: list[str], *words: str | Path) -> str:
    """What a command says that fails: one line, and perhaps what to do."""
    done = run(*ours, *words, check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr and len(done.stderr.splitlines()) <= 2, done.stderr
    return done.stderr


@contextmanager
def served(ours: list[str], image: Path, keys: Path) -> Iterator[Path]:
    """Our server's socket."""
    socket, pid = image.with_name("ours.sock"), image.with_name("pid")
    words = ["nbd", "serve", "--tls-psk", keys, "-k", socket, "--pid-file", pid, "-f", "raw", image]
    with subprocess.Popen([*ours, *map(str, words)], stderr=subprocess.DEVNULL) as process:
        wait_until(lambda: process.poll() is not None or pid.exists())
        yield socket
        process.terminate()


def test_server(ours: list[str], image: Path, keys: Path) -> None:
    if not knows_keys(ours[0]):
        assert "needs Python 3.13" in refused(ours, "nbd", "serve", "--tls-psk", keys, "-f", "raw", image)
        return
    with served(ours, image, keys) as socket:
        assert run(require_tool("nbdinfo"), "--size", uri(socket, keys)).stdout == f"{SIZE}\n"
        assert run("nbdinfo", "--size", uri(socket, other(keys)), check=False).returncode == 1
        assert run("nbdinfo", "--size", f"nbd+unix:///?socket={socket}", check=False).returncode == 1
        client = ["--image-opts", f"driver=nbd,server.type=unix,server.path={socket},tls-creds=t"]
        credentials = f"tls-creds-psk,id=t,endpoint=client,dir={keys.parent}"
        run(require_tool("qemu-img"), "info", "--object", credentials, *client)
        run("qemu-img", "info", "--object", f"{credentials},username=alice", *client)
        assert run(*ours, "nbd", "info", "--size", uri(socket, keys)).stdout == f"{SIZE}\n"
        assert "TLS handshake" in refused(ours, "nbd", "info", uri(socket, other(keys)))


@pytest.mark.parametrize("server", ["qemu-nbd", "nbdkit"])
def test_client(server: str, ours: list[str], image: Path, keys: Path, peer: Peers) -> None:
    if not knows_keys(ours[0]):
        assert "needs Python 3.13" in refused(ours, "info", uri(image, keys))
        return
    if server == "qemu-nbd":
        credentials = ["--object", f"tls-creds-psk,id=t,endpoint=server,dir={keys.parent}", "--tls-creds", "t"]
        found = peer("qemu-nbd", "-t", "-e", "8", *credentials, "-k", "SOCKET", "-f", "raw", image)
    else:
        found = peer("nbdkit", "-f", "-U", "SOCKET", "--tls=require", f"--tls-psk={keys}", "file", image)
    assert run(*ours, "nbd", "info", "--size", uri(found.socket, keys)).stdout == f"{SIZE}\n"
    assert "secret" in run(*ours, "nbd", "dump", "--length=16", uri(found.socket, keys)).stdout
    client = ["--image-opts", f"driver=nbd,server.type=unix,server.path={found.socket},tls-creds=t"]
    run(*ours, "info", "--object", f"tls-creds-psk,id=t,endpoint=client,dir={keys.parent}", *client)
    assert "TLS handshake" in refused(ours, "info", uri(found.socket, other(keys)))
    assert "bob not found in PSK file" in refused(ours, "info", uri(found.socket, keys, "bob"))


def test_a_certificate_is_no_substitute_for_the_key(
    ours: list[str], image: Path, keys: Path, certificates: Path, peer: Peers
) -> None:
    """A server that only shows a certificate, whoever has signed it, has not shown that it knows the key."""
    if not knows_keys(ours[0]):
        return  # refused before anybody is asked
    found = peer("nbdkit", "-f", "-U", "SOCKET", "--tls=require", f"--tls-certificates={certificates}", "file", image)
    assert "TLS handshake" in refused(ours, "info", uri(found.socket, keys))


def test_files_that_have_no_keys(ours: list[str], image: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.psk"
    bad.write_text("no keys at all\n")
    for path, said in ((bad, "USER:KEY"), (tmp_path / "nowhere", "Unable to access credentials")):
        assert said in refused(ours, "info", uri(image, path))
        assert said in refused(ours, "nbd", "serve", "--tls-psk", path, "-f", "raw", image)
