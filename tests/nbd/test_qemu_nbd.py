"""Under the name qemu-nbd: the peer's command line, its complaints and its exit statuses, beside the peer itself."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

import imgtools
from tests.cli.launch import PROGRAM
from tests.conftest import PATIENCE, has_ended, require_tool, run, wait_until

MIB = 1 << 20

REFUSED = """
qemu-nbd
qemu-nbd --foo x
qemu-nbd -p
qemu-nbd --aio
qemu-nbd --image
qemu-nbd a.raw b.raw
qemu-nbd -e -1 a.raw
qemu-nbd -e x a.raw
qemu-nbd -e 5000000000 a.raw
qemu-nbd -o x a.raw
qemu-nbd -o 100M a.raw
qemu-nbd -k rel.sock nothing
qemu-nbd -k rel.sock -f raw
qemu-nbd -k $PWD/x.sock nothing
qemu-nbd -k $PWD/x.sock -f raw nothing
qemu-nbd -k $PWD/x.sock -f foo a.raw
qemu-nbd -k $PWD/x.sock -f qcow2 a.raw
qemu-nbd -k $PWD/x.sock -o 0x10000000 -f raw a.raw
qemu-nbd -k $PWD/x.sock -l foo b.qcow2
qemu-nbd -k $PWD/x.sock -B foo b.qcow2
qemu-nbd -k $PWD/x.sock --pid-file=nowhere/pid -f raw a.raw
qemu-nbd -k $PWD/nowhere/x.sock -f raw a.raw
qemu-nbd --fork -k $PWD/nowhere/x.sock -f raw a.raw
qemu-nbd --fork -k $PWD/x.sock -f raw nothing
qemu-nbd -p x -f raw a.raw
qemu-nbd -b a..b -f raw a.raw
qemu-nbd --cache=foo a.raw
qemu-nbd --cache=none -n a.raw
qemu-nbd --cache=none --cache=none a.raw
qemu-nbd --discard=foo a.raw
qemu-nbd --discard=unmap --discard=unmap a.raw
qemu-nbd --detect-zeroes=foo a.raw
qemu-nbd --detect-zeroes=unmap --discard=ignore a.raw
qemu-nbd --aio=foo a.raw
qemu-nbd --aio=threads --aio=threads a.raw
qemu-nbd --aio=native -k $PWD/x.sock -f raw a.raw
qemu-nbd --aio=native -k $PWD/x.sock -f raw nothing
qemu-nbd -L a.raw
qemu-nbd -L --fork
qemu-nbd -L -x foo
qemu-nbd -L --cache=none
qemu-nbd --image-opts -k $PWD/x.sock -f raw driver=raw,file.filename=a.raw
qemu-nbd --tls-creds=foo -k $PWD/x.sock a.raw
qemu-nbd --tls-creds=x -c /dev/x nothing
qemu-nbd --tls-authz=x a.raw
qemu-nbd --tls-hostname=x a.raw
qemu-nbd --selinux-label=x -f raw a.raw
qemu-nbd --object=foo,id=x a.raw
qemu-nbd --object=tls-creds-x509 a.raw
qemu-nbd --object=tls-creds-x509,id=t a.raw
qemu-nbd --object=secret,id=t a.raw
qemu-nbd --object=secret,id=t,data=x --tls-creds=t a.raw
qemu-nbd --object=tls-creds-anon,id=t --tls-creds=t a.raw
qemu-nbd -T foo -k $PWD/x.sock -f raw nothing
"""


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    """The program under the peer's name."""
    program = tmp_path / "programs" / "qemu-nbd"
    program.parent.mkdir()
    program.write_text(PROGRAM)
    program.chmod(0o755)
    return program


@pytest.fixture
def work(tmp_path: Path) -> Path:
    directory = tmp_path / "work"
    directory.mkdir()
    imgtools.create_image(str(directory / "a.raw"), MIB, format="raw")
    imgtools.create_image(str(directory / "b.qcow2"), MIB, format="qcow2")
    return directory


def outcome(program: str, line: str, work: Path) -> tuple[int, str, str]:
    """Exit status and output of a command line that is refused at once."""
    words = [word.replace("$PWD", str(work)) for word in shlex.split(line)[1:]]
    done = subprocess.run(
        [program, *words], cwd=work, capture_output=True, text=True, timeout=PATIENCE, stdin=subprocess.DEVNULL
    )
    return done.returncode, done.stdout, done.stderr


def test_command_lines_that_are_refused(ours: Path, work: Path) -> None:
    require_tool("qemu-nbd")
    differing = []
    for line in REFUSED.strip().splitlines():
        expected, found = outcome("qemu-nbd", line, work), outcome(str(ours), line, work)
        # Ours may say more behind it: what to do.
        if found[:2] != expected[:2] or not found[2].startswith(expected[2]):
            differing.append(f"{line}\n  {expected}\n  {found}")
    assert not differing, "\n".join(differing)


def test_version_and_help(ours: Path) -> None:
    assert run(ours, "--version").stdout.startswith("qemu-nbd ")
    text = run(ours, "--help").stdout
    for option in ("--port", "--load-snapshot", "--detect-zeroes", "--tls-creds"):
        assert option in text


def test_in_the_background_until_the_client_leaves(ours: Path, work: Path) -> None:
    socket, pid = work / "s.sock", work / "pid"
    run(ours, "--fork", f"--pid-file={pid}", "-x", "here", "-D", "text", "-k", socket, "-f", "qcow2", work / "b.qcow2")
    told = json.loads(run(require_tool("nbdinfo"), "--json", f"nbd+unix:///here?socket={socket}").stdout)
    assert told["exports"][0]["description"] == "text"
    assert not told["exports"][0]["can_multi_conn"]  # for one client at a time
    wait_until(lambda: has_ended(pid.read_text().strip()))
    assert not socket.exists()


def test_what_clients_are_told_is_what_the_peer_tells(ours: Path, work: Path) -> None:
    """All of nbdinfo's answers, for each way of serving."""
    told = []
    for program in (str(ours), require_tool("qemu-nbd")):
        answers = []
        for words in ("-f qcow2 b.qcow2", "-r -f raw a.raw", "-e 4 -t -A -f qcow2 b.qcow2", "-o 65536 -f raw a.raw"):
            socket = work / f"s{len(answers)}.sock"
            process = subprocess.Popen([program, "-k", socket, "--pid-file=pid", *words.split()], cwd=work)
            wait_until(lambda process=process: process.poll() is not None or (work / "pid").exists())
            done = run("nbdinfo", "--json", f"nbd+unix:///?socket={socket}")
            answers.append(json.loads(done.stdout)["exports"][0] | {"uri": ""})
            process.terminate()
            process.wait()
            (work / "pid").unlink()
        told.append(answers)
    for mine, theirs in zip(*told, strict=True):
        assert mine == theirs


def test_a_file_that_is_no_socket_is_not_replaced(ours: Path, work: Path) -> None:
    before = (work / "b.qcow2").read_bytes()
    done = run(ours, "-f", "raw", "-k", work / "b.qcow2", work / "a.raw", check=False)
    assert done.returncode == 1 and "Address already in use" in done.stderr
    assert (work / "b.qcow2").read_bytes() == before


def test_kernel_devices(ours: Path, work: Path) -> None:
    done = run(ours, "-c", "/dev/nbd0", "-f", "raw", work / "a.raw", check=False)
    assert done.returncode == 1 and "nbd-client" in done.stderr and len(done.stderr.splitlines()) == 1


WAYS = """
-f qcow2 b.qcow2
-f qcow2 -s b.qcow2
-f qcow2 -r b.qcow2
-f qcow2 -l snap b.qcow2
-f qcow2 -l snapshot.name=snap b.qcow2
-f qcow2 -l snapshot.id=1 b.qcow2
-f qcow2 --discard=ignore b.qcow2
-f qcow2 --discard=unmap b.qcow2
-f qcow2 --detect-zeroes=on b.qcow2
-f qcow2 --discard=unmap --detect-zeroes=unmap b.qcow2
-f qcow2 -o 65536 b.qcow2
-f qcow2 -n b.qcow2
-f qcow2 --cache=writethrough --aio=threads -v b.qcow2
-f qcow2 --cache=directsync b.qcow2
-f qcow2 --cache=unsafe b.qcow2
-t -e 0 -x name -D text b.qcow2
-t -e 3 -A -f qcow2 -B bits b.qcow2
-f raw --discard=unmap a.raw
-f raw --discard=unmap --detect-zeroes=unmap a.raw
--image-opts driver=qcow2,file.filename=b.qcow2
--image-opts driver=raw,offset=65536,size=524288,file.driver=file,file.filename=a.raw
"""
COMMANDS = (
    *("read -v 0 32", "read -v 512k 16", "write -P 7 0 64k", "write -P 0 256k 64k", "write -z -u 512k 64k"),
    *("discard 384k 64k", "write -f -P 9 1000 3", "flush", "read -P 7 2k 1k", "read -P 0 256k 64k", "length"),
)


@pytest.mark.parametrize("way", WAYS.strip().splitlines())
def test_what_clients_do_has_the_peers_effect(way: str, ours: Path, work: Path, tmp_path: Path) -> None:
    """The same commands of qemu-io by our server and by the peer's: their output, and what the image is like then."""
    name = "a.raw" if "a.raw" in way else "b.qcow2"
    run("qemu-io", "-f", "raw", "-c", "write -P 5 0 768k", work / "a.raw")
    run("qemu-io", "-f", "qcow2", "-c", "write -P 5 0 768k", work / "b.qcow2")
    run("qemu-img", "snapshot", "-c", "snap", work / "b.qcow2")
    run("qemu-img", "bitmap", "--add", work / "b.qcow2", "bits")
    run("qemu-io", "-f", "qcow2", "-c", "write -P 6 512k 64k", work / "b.qcow2")
    found = []
    for program in (require_tool("qemu-nbd"), str(ours)):
        directory = tmp_path / f"by{len(found)}"
        shutil.copytree(work, directory)
        socket = directory / "socket"
        run(
            "sh", "-c", f'cd {directory} && "$@"', "sh", program, "--fork", "--pid-file=pid", "-k", socket, *way.split()
        )
        export = "name" if "-x" in way else ""
        words = [word for command in COMMANDS for word in ("-c", command)]
        read_only = ["-r"] if {"-r", "-l"} & set(way.split()) else []
        uri = f"nbd+unix:///{export}?socket={socket}"
        done = run("qemu-io", *read_only, "-f", "raw", *words, uri, check=False)
        said = re.sub(r"\n.*ops;.*sec.*", "", done.stdout + done.stderr).replace(str(directory), "")
        if "-t" in way:
            told = json.loads(run("nbdinfo", "--json", uri).stdout)["exports"][0]
            said += str(told["contexts"]) + str(told.get("description"))
            os.kill(int((directory / "pid").read_text()), signal.SIGTERM)
        wait_until(lambda path=socket: not path.exists())
        format = name.rpartition(".")[2]
        mapped = json.loads(run("qemu-img", "map", "-U", "--output=json", "-f", format, directory / name).stdout)
        kinds = [(each["start"], each["length"], each["zero"], each["data"], each["present"]) for each in mapped]
        found.append((said, kinds, imgtools.open(str(directory / name), format=format, share=True).read(0, MIB)))
    assert found[0] == found[1]
