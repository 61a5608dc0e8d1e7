"""blkdebug: the same faults at the same moments as under qemu-io, breakpoints, and what is refused."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import imgtools
from imgtools.block.filters.blkdebug import BlkDebug, find_blkdebug
from imgtools.block.filters.fault_rules import EVENTS
from imgtools.block.node import Node
from imgtools.block.protocols.memory import MemoryNode
from imgtools.errors import BadOption, ImageError, NotFound, OutOfBounds
from imgtools.sizes import parse_size
from tests.conftest import PATIENCE, Runner, require_tool, run, wait_until

ONCE = 'once = "on"\n'


def inject(event: str, *more: str) -> str:
    return f'[inject-error]\nevent = "{event}"\n' + "".join(more)


# name -> (configuration, commands). The image has 256 KiB of data at its start.
SCENARIOS = {
    "every read of data": (inject("read_aio"), ["read 0 4k", "read 64k 4k"]),
    "one read of data": (inject("read_aio", ONCE), ["read 0 4k", "read 0 4k"]),
    "one write of data": (inject("write_aio", ONCE), ["write -P 3 1M 64k", "write -P 3 1M 64k", "read 1M 64k"]),
    "loading an L2 table": (inject("l2_load", ONCE), ["read 0 4k", "read 0 4k"]),
    "no space": (inject("cluster_alloc", 'errno = "28"\n', ONCE), ["write 2M 64k", "write -P 3 2M 64k", "read 2M 64k"]),
    "a write within a cluster": (inject("cow_write", ONCE), ["write -P 3 2050k 512", "read 2M 64k"]),
    "a sector": (inject("none", 'sector = "700"\n'), ["read 0 64k", "read 64k 64k"]),
    "a sector, for reads": (inject("none", 'sector = "650"\n', 'iotype = "read"\n'), ["read 0 64k", "write 0 64k"]),
    "every write": (inject("none", 'iotype = "write"\n'), ["read 0 64k", "write 0 64k"]),
    "after a write": (inject("pwritev", 'iotype = "read"\n'), ["read 0 64k", "write 0 64k", "read 0 64k"]),
    "states": (
        '[set-state]\nevent = "read_aio"\nstate = "1"\nnew_state = "2"\n' + inject("read_aio", 'state = "2"\n'),
        ["read 0 4k", "read 0 4k", "read 0 4k"],
    ),
    "comments and spaces": (
        '# nothing\n\n[inject-error "named"]\n  event   =  "read_aio"\n\n',
        ["read 0 4k"],
    ),
}


def in_qemu_io(image: Path, config: Path, commands: list[str]) -> list[str]:
    """What each command ends with: "ok", or the error."""
    words = [word for command in commands for word in ("-c", command)]
    done = run(require_tool("qemu-io"), *words, f"blkdebug:{config}:{image}", check=False)
    lines = [line for line in (done.stdout + done.stderr).splitlines() if "ops;" not in line]
    assert not any("can't open" in line for line in lines), lines
    return [line.partition("failed: ")[2] or "ok" for line in lines]


def in_ours(image: Path, config: Path, commands: list[str]) -> list[str]:
    outcomes = []
    with imgtools.open(f"blkdebug:{config}:{image}", writable=True) as disk:
        for command in commands:
            try:
                do(disk, command)
                outcomes.append("ok")
            except ImageError as error:
                outcomes.append(str(error))
    return outcomes


def do(disk: Node, command: str) -> None:
    verb, *words = command.split()
    fill = 0xCD
    if words[0] == "-P":
        fill, words = int(words[1]), words[2:]
    offset, length = map(parse_size, words)
    if verb == "read":
        disk.read(offset, length)
    else:
        disk.write(offset, bytes([fill]) * length)


@pytest.mark.parametrize("name", SCENARIOS)
def test_faults_are_those_of_qemu(name: str, tmp_path: Path, qemu_img: Runner, qemu_io: Runner) -> None:
    text, commands = SCENARIOS[name]
    (config := tmp_path / "faults.conf").write_text(text)
    images = tmp_path / "theirs.qcow2", tmp_path / "ours.qcow2"
    for image in images:
        qemu_img("create", "-q", "-f", "qcow2", image, "1G")
        qemu_io(image, "write 0 256k", format="qcow2")
    theirs, ours = in_qemu_io(images[0], config, commands), in_ours(images[1], config, commands)
    assert ours == theirs
    assert any(outcome != "ok" for outcome in ours) or name == "a write within a cluster"
    qemu_img("compare", *images)
    qemu_img("check", images[1])


def test_every_event_is_one_of_qemu(tmp_path: Path, qemu_img: Runner) -> None:
    rules = ",".join(f"set-state.{number}.event={event}" for number, event in enumerate(EVENTS))
    (tmp_path / "disk").write_bytes(bytes(512))
    qemu_img("info", "--image-opts", f"driver=blkdebug,image.filename={tmp_path}/disk,{rules}")


def test_rules_as_options(tmp_path: Path) -> None:
    (tmp_path / "disk").write_bytes(bytes(4096))
    rule = {"event": "none", "sector": 1, "errno": 28, "once": True}
    tree = {"driver": "blkdebug", "image": {"filename": str(tmp_path / "disk")}, "inject-error": [rule]}
    with imgtools.open(tree) as disk:
        disk.read(0, 512)
        with pytest.raises(ImageError, match="No space left on device") as caught:
            disk.read(0, 4096)
        assert caught.value.errno == 28
        disk.read(0, 4096)


def test_breakpoints_hold_a_request_until_it_is_resumed(tmp_path: Path) -> None:
    imgtools.create_image(str(tmp_path / "disk"), 1 << 20, format="qcow2")
    said: list[str] = []
    with imgtools.open(f"blkdebug::{tmp_path}/disk", writable=True) as disk, ThreadPoolExecutor(2) as pool:
        debug = find_blkdebug(disk)
        assert debug is not None
        debug.report = said.append
        debug.break_at("write_aio", "A")
        write = pool.submit(disk.write, 0, b"x" * 512)
        wait_until(lambda: debug.is_suspended("A"))
        assert not write.done() and disk.size == 1 << 20
        debug.resume("A")
        write.result(PATIENCE)
        assert said == ["blkdebug: Suspended request 'A'", "blkdebug: Resuming request 'A'"]
        disk.write(0, b"y" * 512)  # a breakpoint holds once
        assert disk.read(0, 512) == b"y" * 512


def test_requests_under_one_name_are_resumed_one_at_a_time() -> None:
    debug = BlkDebug(MemoryNode(content=bytes(4096)), [])
    with ThreadPoolExecutor(2) as pool:
        debug.break_at("pwritev", "A")
        first = pool.submit(debug.write, 0, b"1")
        wait_until(lambda: debug.is_suspended("A"))
        debug.break_at("pwritev", "A")
        second = pool.submit(debug.write, 1, b"2")
        wait_until(lambda: len(debug._suspended) == 2)
        debug.resume("A")
        first.result(PATIENCE)
        assert not second.done() and debug.is_suspended("A")
        debug.remove_break("A")
        second.result(PATIENCE)
    assert debug.read(0, 2) == b"12"


def test_breakpoints_that_are_not_there() -> None:
    debug = BlkDebug(MemoryNode(), [])
    with pytest.raises(NotFound, match="no request is suspended as 'A'"):
        debug.resume("A")
    with pytest.raises(NotFound, match="no breakpoint 'A'"):
        debug.remove_break("A")
    with pytest.raises(BadOption, match="no event 'lunch'"):
        debug.break_at("lunch", "A")
    debug.break_at("pwritev", "A")
    debug.remove_break("A")
    debug.write(0, b"x")


def test_large_requests_are_cut() -> None:
    class Counting(MemoryNode):
        lengths: list[int] = []

        def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
            self.lengths.append(len(data))
            super().write(offset, data)

    below = Counting()
    debug = BlkDebug(below, [], {"max-transfer": 1000, "align": 4096})
    assert debug.limits()["max-transfer"] == 1000 and debug.limits()["request-alignment"] == 4096
    debug.write(0, b"x" * 2500)
    assert below.lengths == [1000, 1000, 500] and below.content == b"x" * 2500


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('[inject-error]\nevent = "lunch"\n', "invalid parameter value: lunch"),
        ('[inject-error]\nstate = "1"\n', "Missing event name for rule"),
        ('[inject-errr]\nevent = "read_aio"\n', "There is no option group 'inject-errr'"),
        ('[inject-error]\nevent = "read_aio"\nfoo = "1"\n', "Invalid parameter 'foo'"),
        ('[inject-error]\nevent = "read_aio"\nerrno = "x"\n', "Parameter 'errno' expects a number"),
        ('[inject-error]\nevent = "read_aio"\nonce = "x"\n', "Parameter 'once' expects 'on' or 'off'"),
        ('event = "read_aio"\n', "no group defined"),
    ],
)
def test_configurations_are_refused_in_qemus_words(text: str, complaint: str, tmp_path: Path, qemu_img: Runner) -> None:
    (tmp_path / "c").write_text(text)
    (tmp_path / "disk").write_bytes(bytes(512))
    name = f"blkdebug:{tmp_path}/c:{tmp_path}/disk"
    theirs: subprocess.CompletedProcess[str] = qemu_img("info", name, check=False)
    assert theirs.stderr.strip().endswith(f": {complaint}")
    with pytest.raises(BadOption) as caught:
        imgtools.open(name)
    assert str(caught.value) == complaint


def test_a_line_that_is_no_option(tmp_path: Path) -> None:
    (tmp_path / "c").write_text("[inject-error]\nevent = read_aio\n")
    with pytest.raises(BadOption, match=":2: parse error"):
        imgtools.open(f"blkdebug:{tmp_path}/c:{tmp_path}/c")


def test_towers_of_filters_are_bounded(tmp_path: Path) -> None:
    (tmp_path / "disk").write_bytes(bytes(512))
    with imgtools.open("blkdebug::" * 20 + str(tmp_path / "disk"), format="raw") as disk:
        assert disk.size == 512
    with pytest.raises(OutOfBounds, match="more than 32 nodes"):
        imgtools.open("blkdebug::" * 5000 + str(tmp_path / "disk"))
