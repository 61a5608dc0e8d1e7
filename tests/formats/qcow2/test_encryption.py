"""Encrypted qcow2 images beside QEMU's: each reads and writes what the other made, with the same words."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

import imgtools
from imgtools.block.graph import Context
from imgtools.block.node import Node, Storage
from imgtools.block.protocols.memory import MemoryNode
from imgtools.errors import ImageError, UnsupportedFeature
from imgtools.formats.qcow2 import FORMAT
from imgtools.formats.qcow2.node import Qcow2Node
from tests.cli.launch import run_in_process
from tests.conftest import Runner
from tests.crash import survives_crashes
from tests.model import MemoryContext, Subject, check_against_model, compare, pattern, script
from tests.mutate import survives_mutations

MIB = 1 << 20
OBJECTS = {"s": b"letmein"}
SECRET = ("--object", "secret,id=s,data=letmein")
KEY = {"encrypt.key-secret": "s"}
LUKS = {"encrypt.format": "luks", "encrypt.key-secret": "s", "encrypt.iter-time": 1}
AES = {"encrypt.format": "aes", "encrypt.key-secret": "s"}
FORMS: dict[str, dict[str, Any]] = {
    "luks": LUKS,
    "luks in subclusters": {**LUKS, "extended_l2": True, "cluster_size": 16384},
    "luks in version 2": {**LUKS, "compat": "0.10"},
    "luks in cbc": {**LUKS, "encrypt.cipher-mode": "cbc", "encrypt.ivgen-alg": "essiv"},
    "aes": AES,
    "luks in a data file": {**LUKS, "data_file": "data.raw"},
}
EACH_FORM = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


def named(path: Path) -> str:
    return f"driver=qcow2,encrypt.key-secret=s,file.filename={path}"


def ours(*words: object) -> tuple[int, str, str]:
    """Run our command under the peer's name: (exit status, output, complaints)."""
    return run_in_process([*map(str, words)])


def create(path: Path, size: int, options: dict[str, Any]) -> None:
    FORMAT.create(str(path), size, options, Context(writable=True, objects=OBJECTS))


def opened(path: Path, *, writable: bool = False) -> Qcow2Node:
    node = imgtools.open(str(path), writable=writable, options=KEY, objects=OBJECTS)
    assert isinstance(node, Qcow2Node)
    return node


def as_option(value: Any) -> str:
    return {True: "on", False: "off"}.get(value, str(value)) if isinstance(value, bool) else str(value)


@EACH_FORM
def test_each_reads_and_goes_on_in_what_the_other_wrote(
    form: dict[str, Any], tmp_path: Path, qemu_img: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    mine, theirs, raw = tmp_path / "mine.qcow2", tmp_path / "theirs.qcow2", tmp_path / "disk.raw"
    chance, size = random.Random(5), 2 * MIB + 512
    create(mine, size, form)
    choices = ",".join(f"{name}={as_option(value)}" for name, value in form.items())
    choices = choices.replace("data.raw", "other.raw")
    qemu_img("create", *SECRET, "-f", "qcow2", "-o", choices, theirs, size)
    for path in (mine, theirs):
        content = bytearray(size)
        with opened(path, writable=True) as node:
            for _ in range(12):
                offset = chance.randrange(size)
                data = pattern(min(size - offset, chance.choice([1, 512, 5000, 65536, 200_000])), offset)
                node.write(offset, data)
                content[offset : offset + len(data)] = data
                zeroed = chance.randrange(size - 70_000)
                node.zero(zeroed, 70_000)
                content[zeroed : zeroed + 70_000] = bytes(70_000)
        raw.write_bytes(content)
        qemu_img("compare", *SECRET, "--image-opts", named(path), f"driver=raw,file.filename={raw}")
        qemu_img("check", *SECRET, "--image-opts", named(path))
        raw.write_bytes(pattern(size, 9))
        qemu_img("convert", *SECRET, "-n", "--target-image-opts", "-f", "raw", raw, named(path))
        with opened(path) as node:
            compare(node.read(0, size), raw.read_bytes())
        assert ours("info", path)[1] == qemu_img("info", path).stdout
        assert json.loads(ours("info", "--output=json", path)[1]) == json.loads(
            qemu_img("info", "--output=json", path).stdout
        )
        assert ours("map", *SECRET, "--output=json", "--image-opts", named(path))[1] == (
            qemu_img("map", *SECRET, "--output=json", "--image-opts", named(path)).stdout
        )


def test_chains_and_snapshots(tmp_path: Path, qemu_img: Runner) -> None:
    base, top = tmp_path / "base.raw", tmp_path / "top.qcow2"
    base.write_bytes(pattern(MIB))
    create(top, MIB, {**LUKS, "backing_file": str(base), "backing_fmt": "raw"})
    with opened(top, writable=True) as node:
        node.write(70_000, b"x" * 1000)
        node.create_snapshot("before")
        node.write(70_500, b"y" * 1000)
    expected = bytearray(pattern(MIB))
    expected[70_000:71_000] = b"x" * 1000
    with opened(top) as node:
        node.load_snapshot("before")
        compare(node.read(0, MIB), expected)
    expected[70_500:71_500] = b"y" * 1000
    (tmp_path / "flat.raw").write_bytes(expected)
    qemu_img("check", *SECRET, "--image-opts", named(top))
    qemu_img("compare", *SECRET, "--image-opts", named(top), f"driver=raw,file.filename={tmp_path / 'flat.raw'}")


def test_preallocated_images_read_as_zeroes(tmp_path: Path, qemu_img: Runner) -> None:
    path, zero = tmp_path / "disk.qcow2", tmp_path / "zero.raw"
    create(path, MIB, {**LUKS, "preallocation": "metadata"})
    zero.write_bytes(bytes(MIB))
    qemu_img("compare", *SECRET, "--image-opts", named(path), f"driver=raw,file.filename={zero}")
    qemu_img("check", *SECRET, "--image-opts", named(path))


def test_compressed_clusters_are_refused(tmp_path: Path) -> None:
    create(tmp_path / "disk.qcow2", MIB, LUKS)
    with opened(tmp_path / "disk.qcow2", writable=True) as node, pytest.raises(UnsupportedFeature):
        node.compressor()


def subject(form: dict[str, Any]) -> Subject:
    def create(storage: Storage) -> None:
        FORMAT.create("image", 160 << 10, {"cluster_size": 16384, **form}, context(storage, {}))

    def open(storage: Storage) -> Node:
        return FORMAT.open(storage, context(storage, KEY))

    return Subject(create, open, 160 << 10, 16384)


def context(storage: Storage, options: dict[str, Any]) -> MemoryContext:
    return MemoryContext({"image": storage}, writable=True, objects=OBJECTS, options=options)


@pytest.mark.parametrize("form", [LUKS, AES, {**LUKS, "extended_l2": True}], ids=["luks", "aes", "subclusters"])
def test_behaves_as_a_bytearray(form: dict[str, Any]) -> None:
    check_against_model(subject(form), max_examples=10)


def test_holds_flushed_bytes_after_any_crash() -> None:
    image = subject(AES)
    assert survives_crashes(image, script(image, seed=4, count=12)) > 10


def test_pointers_to_the_luks_header_may_be_anything() -> None:
    storage, image = MemoryNode("image"), subject(LUKS)
    image.create(storage)
    content = bytes(storage.content)
    place = content.index(b"\x05\x37\xbe\x77") + 8
    values = (0, 1, 512, 16384, 1 << 40, (1 << 64) - 1, (1 << 64) - 16384)
    mutants = []
    for offset, length in ((place, 8), (place + 8, 8)):
        for value in values:
            mutant = bytearray(content)
            mutant[offset : offset + length] = value.to_bytes(length, "big")
            mutants.append((f"{offset} = {value:#x}", mutant))
    assert survives_mutations(image.open, mutants, write=True) >= 0


REFUSED = [
    "create -q -f qcow2 -o encryption=on new.qcow2 1M",
    "create -q -f qcow2 -o encrypt.format=luks new.qcow2 1M",
    "create -q -f qcow2 -o encrypt.format=foo new.qcow2 1M",
    "create -q -f qcow2 -o encrypt.key-secret=s new.qcow2 1M",
    "create -q -f qcow2 -o encrypt.format=luks,encrypt.key-secret=s new.qcow2 1M",
    "create -q {secret} -f qcow2 -o encryption=on,encrypt.format=luks,encrypt.key-secret=s new.qcow2 1M",
    "create -q {secret} -f qcow2 -o encrypt.format=aes,encrypt.cipher-alg=aes-256,encrypt.key-secret=s new.qcow2 1M",
    "convert {plain} out.raw",
    "convert {secret} --image-opts driver=qcow2,encrypt.format=aes,encrypt.key-secret=s,file.filename={plain} out.raw",
    "convert --object secret,id=s,data=wrong --image-opts {named} out.raw",
    "amend {secret} --image-opts {named} -o encrypt.state=active",
    "amend {secret} --image-opts {named} -o encrypt.new-secret=s",
    "amend {secret} --image-opts {named} -o encrypt.state=inactive,encrypt.keyslot=0",
    "amend {secret} --image-opts {named} -o encrypt.state=inactive,encrypt.keyslot=3",
]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("encrypted") / "disk.qcow2"
    create(path, MIB, LUKS)
    return path


@pytest.mark.parametrize("line", REFUSED)
def test_refusals_are_the_same(
    line: str, small: Path, tmp_path: Path, qemu_img: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = line.format(plain=small, named=named(small), secret=" ".join(SECRET)).split(" ")
    theirs = qemu_img(*words, check=False)
    status, _, said = ours(*words)
    assert (status, said) == (theirs.returncode, theirs.stderr)
    assert status != 0


def test_passphrases_are_added_and_erased(tmp_path: Path, qemu_img: Runner) -> None:
    path = tmp_path / "disk.qcow2"
    create(path, MIB, LUKS)
    amend = ["amend", *SECRET, "--object", "secret,id=n,data=new", "--image-opts", named(path), "-o"]
    assert ours(*amend, "encrypt.state=active,encrypt.new-secret=n,encrypt.iter-time=1") == (0, "", "")
    assert ours(*amend, "encrypt.state=inactive,encrypt.old-secret=s") == (0, "", "")
    qemu_img("check", "--object", "secret,id=s,data=new", "--image-opts", named(path))
    with pytest.raises(ImageError, match="cannot unlock any keyslot"):
        opened(path)
