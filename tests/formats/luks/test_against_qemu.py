"""LUKS beside QEMU's and cryptsetup: each opens what the other made, with the same facts and the same refusals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import imgtools
from imgtools.block.graph import Context
from imgtools.errors import ImageError
from imgtools.formats.luks import FORMAT
from tests.cli.launch import run_in_process
from tests.conftest import Runner, require_tool, run
from tests.model import compare, pattern

MIB = 1 << 20
OBJECTS = {"s": b"letmein"}
SECRET = ("--object", "secret,id=s,data=letmein")
CIPHERS = [
    "",
    "cipher-alg=aes-128",
    "cipher-alg=aes-192",
    "cipher-mode=cbc",
    "cipher-mode=cbc,ivgen-alg=essiv",
    "cipher-alg=aes-128,cipher-mode=ctr,hash-alg=sha512",
    "cipher-mode=ecb,hash-alg=sha1",
    "ivgen-alg=plain,hash-alg=sha384",
    "cipher-alg=cast5-128,cipher-mode=cbc",
]


def named(path: Path) -> str:
    return f"driver=luks,key-secret=s,file.filename={path}"


def ours(*words: object) -> tuple[int, str, str]:
    """Run our command under the peer's name: (exit status, output, complaints)."""
    return run_in_process([*map(str, words)])


def create(path: Path, size: int, choices: str = "") -> None:
    options = {"key-secret": "s", "iter-time": 10, **dict(part.split("=") for part in choices.split(",") if part)}
    FORMAT.create(str(path), size, options, Context(writable=True, objects=OBJECTS))


@pytest.mark.parametrize("choices", CIPHERS)
def test_each_reads_what_the_other_wrote(choices: str, tmp_path: Path, qemu_img: Runner, qemu_io: Runner) -> None:
    mine, theirs, raw = tmp_path / "mine.luks", tmp_path / "theirs.luks", tmp_path / "disk.raw"
    content = pattern(2 * MIB + 512)
    raw.write_bytes(content)
    create(mine, len(content), choices)
    with imgtools.open(str(mine), writable=True, options={"key-secret": "s"}, objects=OBJECTS) as node:
        node.write(0, content)
    qemu_img("compare", *SECRET, "--image-opts", named(mine), f"driver=raw,file.filename={raw}")
    all_choices = ",".join(filter(None, ["key-secret=s,iter-time=10", choices]))
    qemu_img("convert", *SECRET, "-O", "luks", "-o", all_choices, raw, theirs)
    with imgtools.open(str(theirs), options={"key-secret": "s"}, objects=OBJECTS) as node:
        compare(node.read(0, node.size), content)
    for path in (mine, theirs):
        assert ours("info", path)[1] == qemu_img("info", path).stdout
        assert json.loads(ours("info", "--output=json", path)[1]) == json.loads(
            qemu_img("info", "--output=json", path).stdout
        )


def test_unaligned_writes_keep_their_neighbours(tmp_path: Path, qemu_img: Runner) -> None:
    path, raw = tmp_path / "disk.luks", tmp_path / "disk.raw"
    content = bytearray(pattern(MIB))
    create(path, MIB)
    with imgtools.open(str(path), writable=True, options={"key-secret": "s"}, objects=OBJECTS) as node:
        node.write(0, content)
        for offset, length in ((1, 1), (510, 4), (1000, 5000), (8192, 100), (MIB - 3, 3)):
            data = pattern(length, offset)
            node.write(offset, data)
            content[offset : offset + length] = data
    raw.write_bytes(content)
    qemu_img("compare", *SECRET, "--image-opts", named(path), f"driver=raw,file.filename={raw}")


def test_cryptsetup_opens_and_changes_our_volumes(tmp_path: Path) -> None:
    cryptsetup, path = require_tool("cryptsetup"), tmp_path / "disk.luks"
    create(path, MIB)
    run(cryptsetup, "luksOpen", "--test-passphrase", path, "-", stdin="letmein")
    assert run(cryptsetup, "luksOpen", "--test-passphrase", path, "-", stdin="wrong", check=False).returncode == 2
    assert "xts-plain64" in run(cryptsetup, "luksDump", path).stdout
    (tmp_path / "key").write_bytes(b"second")
    run(cryptsetup, "luksAddKey", "--pbkdf-force-iterations", "1000", path, tmp_path / "key", stdin="letmein")
    with imgtools.open(str(path), options={"key-secret": "s"}, objects={"s": b"second"}) as node:
        assert node.size == MIB


def test_nbdkits_filter_reads_our_volumes(tmp_path: Path) -> None:
    nbdkit, path = require_tool("nbdkit"), tmp_path / "disk.luks"
    require_tool("qemu-img")
    create(path, MIB)
    content = pattern(MIB)
    with imgtools.open(str(path), writable=True, options={"key-secret": "s"}, objects=OBJECTS) as node:
        node.write(0, content)
    copy = f"qemu-img convert -f raw -O raw $uri {tmp_path / 'copy.raw'}"
    run(nbdkit, "-r", "-U", "-", "file", path, "--filter=luks", "passphrase=letmein", "--run", copy)
    compare((tmp_path / "copy.raw").read_bytes(), content)


REFUSED = [
    "convert {plain} out.raw",
    "convert --object secret,id=s,data=wrong --image-opts {named} -O raw out.raw",
    "convert --image-opts {named} -O raw out.raw",
    "convert --object secret,id=s,data=//4=,format=base64 --image-opts {named} -O raw out.raw",
    "map {plain}",
    "compare {plain} {plain}",
    "resize {plain} 3M",
    "measure -O luks --size 1M",
    "create -q -f luks new.luks 1M",
    "create -q -f luks -o key-secret=s new.luks 1M",
    *(
        f"create -q --object secret,id=s,data=letmein -f luks -o key-secret=s,iter-time=1,{wrong} new.luks 1M"
        for wrong in (
            "cipher-alg=foo",
            "cipher-alg=des",
            "cipher-alg=cast5-128",
            "cipher-mode=foo",
            "hash-alg=foo",
            "ivgen-alg=foo",
            "cipher-mode=cbc,ivgen-alg=essiv,ivgen-hash-alg=sha1",
        )
    ),
    *(
        f"amend {{secrets}} --image-opts {{named}} -o {change}"
        for change in (
            "state=active",
            "new-secret=n",
            "state=foo",
            "state=active,new-secret=nope",
            "state=active,new-secret=n,keyslot=0",
            "state=active,new-secret=n,keyslot=8",
            "state=active,new-secret=n,old-secret=s",
            "state=inactive",
            "state=inactive,new-secret=n",
            "state=inactive,keyslot=0,iter-time=5",
            "state=inactive,old-secret=n",
            "state=inactive,keyslot=9",
            "state=inactive,keyslot=3",
            "state=inactive,keyslot=0,old-secret=n",
            "state=inactive,keyslot=0",
            "state=inactive,old-secret=s",
        )
    ),
]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("luks") / "disk.luks"
    create(path, MIB)
    return path


@pytest.mark.parametrize("line", REFUSED)
def test_refusals_are_the_same(
    line: str, small: Path, tmp_path: Path, qemu_img: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    secrets = "--object secret,id=s,data=letmein --object secret,id=n,data=new"
    words = line.format(plain=small, named=named(small), secrets=secrets).split(" ")
    theirs = qemu_img(*words, check=False)
    status, _, said = ours(*words)
    assert (status, said) == (theirs.returncode, theirs.stderr)
    assert status != 0


def test_passphrases_are_added_and_erased(tmp_path: Path, qemu_img: Runner) -> None:
    path = tmp_path / "disk.luks"
    create(path, MIB)
    secrets = [*SECRET, "--object", "secret,id=n,data=new"]
    amend = ["amend", *secrets, "--image-opts", named(path), "-o"]
    assert ours(*amend, "state=active,new-secret=n,iter-time=10")[0] == 0
    with_new = ["--object", "secret,id=s,data=new", "--image-opts", named(path)]
    qemu_img("map", *with_new, "--output=json")
    material = path.read_bytes()[4096 : 4096 + 512]
    assert ours(*amend, "state=inactive,old-secret=s")[0] == 0
    qemu_img("map", *with_new, "--output=json")
    assert qemu_img("map", *SECRET, "--image-opts", named(path), check=False).returncode == 1
    assert material not in path.read_bytes()
    forced = ["amend", "--force", *with_new, "-o"]
    assert ours(*forced, "state=inactive,keyslot=1")[0] == 0
    with pytest.raises(ImageError, match="cannot unlock any keyslot"):
        imgtools.open(str(path), options={"key-secret": "s"}, objects={"s": b"new"})


def test_converting_and_resizing(tmp_path: Path, qemu_img: Runner) -> None:
    raw, path = tmp_path / "disk.raw", tmp_path / "disk.luks"
    raw.write_bytes(bytes(MIB) + pattern(MIB) + bytes(MIB))
    assert ours("convert", *SECRET, "-O", "luks", "-o", "key-secret=s,iter-time=10", raw, path) == (0, "", "")
    pair = ("--image-opts", named(path), f"driver=raw,file.filename={raw}")
    qemu_img("compare", *SECRET, *pair)
    assert ours("compare", *SECRET, *pair)[:2] == (0, "Images are identical.\n")
    assert ours("resize", *SECRET, "--image-opts", named(path), "5M")[0] == 0
    with imgtools.open(str(path), options={"key-secret": "s"}, objects=OBJECTS) as node:
        assert node.size == 5 * MIB
        compare(node.read(0, 3 * MIB), raw.read_bytes())


def test_help_and_measure_are_the_same(qemu_img: Runner) -> None:
    for words in (["create", "-f", "luks", "-o", "help"], ["amend", "-f", "luks", "-o", "help"]):
        assert ours(*words)[1] == qemu_img(*words).stdout
    words = ["measure", *SECRET, "-O", "luks", "-o", "key-secret=s", "--size", "1G"]
    assert ours(*words)[1] == qemu_img(*words).stdout
