"""The command `imgtools boot`: what it prints, its exit statuses, its consoles, and what becomes of the image."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest
from boot_command import boot

from imgtools import create_image
from tests.conftest import PATIENCE, require_tool, run, wait_until

SOURCE = Path(__file__).with_name("guests") / "disk.S"
SIZE = 1 << 20
ENDED = 11  # the guest's exit status
CTRL_A = "\x01"


def build(folder: Path, *options: str) -> Path:
    """A raw disk whose boot sector is the program."""
    image = folder / "disk"
    objects = folder / "disk.o"
    run(require_tool("gcc"), "-m32", "-c", "-o", objects, *options, SOURCE)
    run(require_tool("objcopy"), "-O", "binary", "-j", ".text", objects, image)
    with image.open("r+b") as file:
        file.truncate(SIZE)
    return image


def as_qcow2(image: Path) -> Path:
    target = image.with_suffix(".qcow2")
    run(sys.executable, "-m", "imgtools", "convert", "-f", "raw", "-O", "qcow2", image, target)
    return target


def test_writes_are_forgotten(tmp_path: Path) -> None:
    image = build(tmp_path)
    before = image.read_bytes()
    done = boot("-f", "raw", image)
    assert (done.status, done.output.strip(), done.errors) == (ENDED, "W", "")
    assert image.read_bytes() == before


@pytest.mark.parametrize("interface", ["ide", "virtio"])
def test_writes_are_kept(interface: str, tmp_path: Path) -> None:
    image = build(tmp_path)
    assert boot("-f", "raw", "--write", "--if", interface, image).status == ENDED
    content = image.read_bytes()
    assert content[512:1024] == content[:512]


def test_snapshot_of_one_drive(tmp_path: Path) -> None:
    image = build(tmp_path)
    before = image.read_bytes()
    assert boot("--write", "--drive", f"{image},format=raw,snapshot=on").status == ENDED
    assert image.read_bytes() == before
    assert boot("--drive", f"{image},format=raw,snapshot=off").status == ENDED
    assert image.read_bytes() != before


@pytest.mark.parametrize(
    ("error", "once", "output", "message"),
    [(28, "on", "W", "the guest is paused until there is space"), (5, "off", "E", "the guest is told of a disk error")],
)
def test_host_errors(error: int, once: str, output: str, message: str, tmp_path: Path) -> None:
    image = as_qcow2(build(tmp_path))
    injected = "".join(
        f",file.inject-error.0.{name}={value}"
        for name, value in (("event", "write_aio"), ("errno", error), ("once", once))
    )
    tree = f"driver=qcow2,file.driver=blkdebug,file.image.driver=file,file.image.filename={image}{injected}"
    done = boot("--write", "--image-opts", tree)
    assert (done.status, done.output.strip()) == (ENDED, output) and message in done.errors
    run(sys.executable, "-m", "imgtools", "check", image)


def test_each_pause_is_told(tmp_path: Path) -> None:
    """The host has no space, then some, and then none again."""
    image = as_qcow2(build(tmp_path, "-DTWICE"))
    rules = [
        "inject-error.0.event=write_aio,inject-error.0.state=1,inject-error.0.errno=28,inject-error.0.once=on",
        "set-state.0.event=write_aio,set-state.0.state=1,set-state.0.new_state=2",
        "set-state.1.event=write_aio,set-state.1.state=2,set-state.1.new_state=3",
        "inject-error.1.event=write_aio,inject-error.1.state=3,inject-error.1.errno=28,inject-error.1.once=on",
    ]
    injected = ",".join(f"file.{rule}" for rule in ",".join(rules).split(","))
    tree = f"driver=qcow2,file.driver=blkdebug,file.image.driver=file,file.image.filename={image},{injected}"
    done = boot("--write", "--image-opts", tree)
    assert (done.status, done.output.strip()) == (ENDED, "W")
    assert done.errors.count("the guest is paused until there is space") == 2


def test_script(tmp_path: Path) -> None:
    image = build(tmp_path, "-DWAITS")
    done = boot("-f", "raw", image, "--expect", "W", "--send", "x", "--expect", "x")
    assert (done.status, done.errors) == (0, "")
    early = boot("-f", "raw", image, "--send", "x", "--expect", "Wx")  # before the firmware has looked at the keyboard
    assert (early.status, early.errors) == (0, "")
    missing = boot("-f", "raw", image, "--expect", "W", "--send", "x", "--expect", "never")
    assert missing.status == 1 and "the machine ended before 'never' came" in missing.errors
    late = boot("-f", "raw", image, "--timeout", "2", "--expect", "never")
    assert late.status == 1 and "the time of 2 s is over, and 'never' had not come" in late.errors


def test_triple_fault(tmp_path: Path) -> None:
    done = boot("-f", "raw", "--no-reboot", build(tmp_path, "-DFAULTS"))
    assert done.status == 124 and "triple fault: #GP could not be delivered" in done.errors
    assert "CS=0000:0" in done.errors and "int3" in done.errors
    endless = boot("-f", "raw", build(tmp_path, "-DFAULTS"))
    assert endless.status == 124 and "the machine resets" in endless.errors


def test_no_reboot(tmp_path: Path) -> None:
    assert boot("-f", "raw", "--no-reboot", build(tmp_path, "-DRESETS")).status == 0


def test_serial_port_to_a_file_and_the_screen(tmp_path: Path) -> None:
    image = build(tmp_path)
    picture, text = tmp_path / "screen.png", tmp_path / "screen.txt"
    done = boot("-f", "raw", "--serial", f"file:{tmp_path / 'log'}", "--screenshot", picture, image)
    assert (done.status, done.output) == (ENDED, "") and (tmp_path / "log").read_bytes().strip() == b"W"
    assert picture.read_bytes().startswith(b"\x89PNG")
    boot("-f", "raw", "--screenshot", text, image)
    assert "W" in text.read_text()


def test_the_screen_in_a_file(tmp_path: Path) -> None:
    """It is there while the guest waits, and nothing else is."""
    image = build(tmp_path, "-DWAITS")
    picture = tmp_path / "pictures" / "screen.png"
    picture.parent.mkdir()
    command = [
        sys.executable,
        "-m",
        "imgtools",
        "boot",
        "-f",
        "raw",
        "--display",
        "png",
        "--screenshot",
        picture,
        image,
    ]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    assert process.stdin is not None
    wait_until(lambda: process.poll() is not None or picture.exists())
    process.stdin.write(b"x")
    process.stdin.close()
    assert process.wait(PATIENCE) == ENDED and picture.read_bytes().startswith(b"\x89PNG")
    assert list(picture.parent.iterdir()) == [picture]


def test_first_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the emulator is compiled, a terminal shows how far that is."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    terminal = on_a_terminal(build(tmp_path))
    terminal.expect("Compiling the emulator")
    terminal.expect("W")
    terminal.expect(pexpect.EOF)


def test_trace(tmp_path: Path) -> None:
    done = boot("-f", "raw", "--trace", "ports", "--trace", "disks", build(tmp_path))
    events = [json.loads(line) for line in done.errors.splitlines()]
    assert {"verb": "write", "offset": 512, "length": 512}.items() <= next(
        event.items() for event in events if event.get("verb") == "write"
    )
    last = events[-1]
    assert (last["event"], last["port"], last["value"], last["size"]) == ("out", "0xf4", "0x5", 1)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals(number: int, status: int, tmp_path: Path) -> None:
    """The image is closed as it should be: what was written is there, and it checks clean."""
    image = as_qcow2(build(tmp_path, "-DWAITS"))
    process = subprocess.Popen(
        [sys.executable, "-m", "imgtools", "boot", "--write", image], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    shown = b""
    while b"W" not in shown:
        shown += os.read(process.stdout.fileno(), 100)
    process.send_signal(number)
    assert process.wait(PATIENCE) == status
    run(sys.executable, "-m", "imgtools", "check", image)
    back = tmp_path / "back"
    run(sys.executable, "-m", "imgtools", "convert", "-O", "raw", image, back)
    assert back.read_bytes()[512:1024] == back.read_bytes()[:512]


def on_a_terminal(image: Path, *words: str) -> pexpect.spawn:
    command = ["-m", "imgtools", "boot", "-f", "raw", str(image), *words]
    return pexpect.spawn(sys.executable, command, timeout=PATIENCE, dimensions=(30, 100))


def test_terminal(tmp_path: Path) -> None:
    """Keys go to the guest as they are pressed; Ctrl-A is for the program."""
    image = build(tmp_path, "-DWAITS")
    terminal = on_a_terminal(image)
    terminal.expect("W")
    terminal.send(CTRL_A + "h")
    terminal.expect("Ctrl-A X  leave")
    terminal.send("q")
    terminal.expect("q")
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == ENDED
    terminal = on_a_terminal(image)
    terminal.expect("W")
    terminal.send(CTRL_A + "x")
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 0


def test_screen_in_the_terminal(tmp_path: Path) -> None:
    terminal = on_a_terminal(build(tmp_path, "-DWAITS"), "--display", "text")
    terminal.expect(r"\x1b\[\d+;1H.*W")
    terminal.send("z")
    terminal.expect("z")
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == ENDED


def test_serial_port_on_a_pty(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "imgtools", "boot", "-f", "raw", "--serial", "pty", build(tmp_path, "-DWAITS")]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    name = process.stderr.readline().decode().split()[-1]
    line = os.open(name, os.O_RDWR | os.O_NOCTTY)
    assert os.read(line, 1) == b"W"
    os.write(line, b"k")
    assert process.wait(PATIENCE) == ENDED
    os.close(line)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "Expecting an image file name, --cdrom, --floppy, --drive or --kernel"),
        (["nothing"], "Could not open 'nothing'"),
        (["--kernel", "nothing"], "Could not open 'nothing': No such file or directory"),
        (["--kernel", "/etc/passwd"], "this is no kernel"),
        (["--initrd", "x", "disk.qcow2"], "--initrd and --append are for --kernel"),
        (["--drive", "disk.qcow2,if=scsi"], "if= one of ide, virtio and floppy"),
        (["--drive", "disk.qcow2,what=1"], "--drive has no option 'what'"),
        (["--drive", "disk.qcow2,readonly=perhaps"], "Parameter 'readonly' expects 'on' or 'off'"),
        (["-m", "1M", "disk.qcow2"], "Invalid memory size specified"),
        (["--forward", "80", "disk.qcow2"], "--forward must be used with"),
        (["--forward", "8080:80", "disk.qcow2"], "--forward is for a guest with a network"),
        (["--timeout", "soon", "disk.qcow2"], "Invalid number of seconds specified: soon"),
        (["--bios", "/etc/passwd", "disk.qcow2"], "a BIOS has 64 KiB to 16 MiB"),
        (["disk.qcow2", "disk.qcow2"], "Expecting one image file name"),
        (["disk.qcow2"], "no drive can be booted"),
    ],
)
def test_bad_input(words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    monkeypatch.chdir(tmp_path)
    create_image("disk.qcow2", format="qcow2", size=SIZE)
    done = boot(*words)
    assert done.status in (1, 124) and message in done.errors and "Traceback" not in done.errors
