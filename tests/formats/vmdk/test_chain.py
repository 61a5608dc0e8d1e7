"""Content IDs, parents, descriptors and the gate."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from imgtools.block.extent import DATA
from imgtools.block.gate import DENY, PERMISSIVE, Allow
from imgtools.block.graph import open_image
from imgtools.errors import AccessDenied, CorruptImage, ImageError, InvalidFormat, OutOfBounds, UnsupportedFeature
from imgtools.formats.vmdk.descriptor import Descriptor, parse_extent_line
from tests.conftest import Runner
from tests.formats.vmdk.support import SUBFORMATS, make, opened

MIB = 1 << 20

DESCRIPTOR = """# Disk DescriptorFile
version=1
CID=12345678
parentCID=ffffffff
createType="{}"

# Extent description
{}
"""


def descriptor_file(path: Path, create_type: str, *extents: str) -> Path:
    path.write_text(DESCRIPTOR.format(create_type, "\n".join(extents)))
    return path


# Content IDs.


@pytest.mark.parametrize("subformat", SUBFORMATS)
def test_the_content_id_changes_at_the_first_write(subformat: str, tmp_path: Path, qemu_img: Runner) -> None:
    image = tmp_path / "disk.vmdk"
    make(image, MIB, subformat=subformat)
    size = image.stat().st_size
    with opened(image, writable=True) as node:
        first = node.cid
        node.read(0, 512)
        node.flush()
        node.write(0, b"")
        assert node.cid == first
        node.write(0, b"x" * 65536)
        second = node.cid
        assert second not in (first, None, 0xFFFFFFFF)
        node.write(65536, b"x" * 65536)
        assert node.cid == second
    with opened(image) as node:
        assert node.cid == second
    assert f'"cid": {second}' in qemu_img("info", "--output=json", image).stdout
    assert image.stat().st_size == size or subformat in ("monolithicSparse", "streamOptimized")


def test_a_content_id_of_fewer_digits_gets_room(tmp_path: Path) -> None:
    """The numbers of others are not padded; the text behind one moves then."""
    flat = descriptor_file(tmp_path / "flat.vmdk", "monolithicFlat", 'RW 8 FLAT "disk.raw" 0')
    flat.write_text(flat.read_text().replace("12345678", "a"))
    (tmp_path / "disk.raw").write_bytes(bytes(4096))
    with opened(flat, writable=True) as node:
        node.write(0, b"x")
        assert flat.read_text() == DESCRIPTOR.format("monolithicFlat", 'RW 8 FLAT "disk.raw" 0').replace(
            "12345678", f"{node.cid:08x}"
        )
    sparse = tmp_path / "sparse.vmdk"
    make(sparse, MIB)
    with sparse.open("r+b") as file:
        file.seek(512)
        text = file.read(1024).replace(b"CID=", b"CID=5\nx=", 1)
        file.seek(512)
        file.write(text[:1024])
    with opened(sparse, writable=True) as node:
        node.write(0, b"x")
        cid = node.cid
    with opened(sparse) as node:
        assert node.cid == cid and node.check(lambda finding: None).corruptions == 0


def test_a_child_of_a_changed_parent_is_refused(tmp_path: Path, qemu_io: Runner) -> None:
    parent, child = tmp_path / "parent.vmdk", tmp_path / "child.vmdk"
    make(parent, MIB)
    make(child, MIB, backing_file="parent.vmdk")
    with opened(child, writable=True) as node:
        node.write(0, b"c" * 65536)
    with opened(parent, writable=True) as node:
        node.write(65536, b"p" * 512)
    refused = qemu_io(child, "read 64k 512", format="vmdk", check=False)
    assert "read failed: Invalid argument" in refused.stdout + refused.stderr
    with opened(child, writable=True) as node:
        assert node.details()["create-type"] == "monolithicSparse"  # looking at it is allowed
        assert node.read(0, 512) == b"c" * 512  # and so is its own data
        for attempt in (
            lambda: node.read(65536, 512),
            lambda: list(node.extents(0, MIB)),
            lambda: node.write(65536, b"c"),
            lambda: node.zero(65536, 512),
        ):
            with pytest.raises(CorruptImage, match="parentCID"):
                attempt()
        findings: list[str] = []
        assert node.check(lambda finding: findings.append(finding.message)).corruptions == 1
        assert "parentCID" in findings[0]
    with opened(child, backing=False) as node:
        assert node.backing_name == "parent.vmdk" and node.read(65536, 512) == bytes(512)


def test_a_parent_is_opened_through_the_gate(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "parents").mkdir()
    parent, child = tmp_path / "parents" / "parent.vmdk", tmp_path / "below" / "child.vmdk"
    make(parent, MIB)
    make(child, MIB, backing_file="../parents/parent.vmdk")
    with pytest.raises(AccessDenied, match="backing file"):
        opened(child)
    with opened(child, gate=Allow(str(tmp_path / "parents"))) as node:
        assert node.read(0, 512) == bytes(512)


def test_a_parent_that_is_no_vmdk_is_refused(tmp_path: Path) -> None:
    (tmp_path / "raw").write_bytes(bytes(MIB))
    with pytest.raises(ImageError, match="Must be vmdk"):
        make(tmp_path / "child.vmdk", MIB, backing_file="raw")


# The gate.


@pytest.mark.parametrize(
    "name",
    ["/etc/passwd", "../secret", "/dev/zero", "json:{}", "nbd:unix:/tmp/x", "file:/etc/passwd", "sub/../../secret"],
)
@pytest.mark.parametrize("kind", ["FLAT", "SPARSE"])
def test_extents_are_opened_through_the_gate(kind: str, name: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"s" * 4096)
    (tmp_path / "images").mkdir()
    line = f'RW 8 {kind} "{name}"' + (" 0" if kind == "FLAT" else "")
    image = descriptor_file(tmp_path / "images" / "disk.vmdk", "custom", line)
    with pytest.raises(AccessDenied) as refusal:
        opened(image)
    assert refusal.value.structure == "extent" and refusal.value.path == str(image)


def test_the_gate_can_be_closed_or_opened(tmp_path: Path) -> None:
    image = tmp_path / "disk.vmdk"
    make(image, MIB, subformat="monolithicFlat")
    with pytest.raises(AccessDenied):
        opened(image, gate=DENY)
    (tmp_path / "elsewhere").mkdir()
    os.rename(tmp_path / "disk-flat.vmdk", tmp_path / "elsewhere" / "disk-flat.vmdk")
    os.symlink("elsewhere/disk-flat.vmdk", tmp_path / "disk-flat.vmdk")
    moved = descriptor_file(tmp_path / "elsewhere" / "moved.vmdk", "monolithicFlat", 'RW 8 FLAT "../target" 0')
    (tmp_path / "target").write_bytes(b"t" * 4096)
    with pytest.raises(AccessDenied):
        opened(moved)
    with opened(moved, gate=PERMISSIVE) as node:
        assert node.read(0, 4096) == b"t" * 4096


def test_failures_leave_no_file_open(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(4096))
    image = descriptor_file(tmp_path / "disk.vmdk", "vmfs", 'RW 8 VMFS "a"', 'RW 8 VMFS "missing"')
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(ImageError, match="No such file"):
        opened(image)
    image = descriptor_file(tmp_path / "disk.vmdk", "vmfs", 'RW 8 FLAT "a" 0', 'RW 8 SPARSE "a"')
    with pytest.raises(InvalidFormat, match="Image not in VMDK format"):
        opened(image)
    assert len(os.listdir("/proc/self/fd")) == before


# Descriptors.


@pytest.mark.parametrize(
    "line, parsed",
    [
        ('RW 63 FLAT "a.vmdk" 0', ("RW", 63, "FLAT", "a.vmdk", 0)),
        ('RDONLY  8\tSPARSE "a b.vmdk"', ("RDONLY", 8, "SPARSE", "a b.vmdk", None)),
        ("RW 5 ZERO", ("RW", 5, "ZERO", None, None)),
        ('RW 5 VMFS "x"', ("RW", 5, "VMFS", "x", None)),
        ('RW 5 SESPARSE "x"', ("RW", 5, "SESPARSE", "x", None)),
        *(
            (wrong, None)
            for wrong in (
                'RW 8 FLAT "a"',
                'RW 8 FLAT "a" -1',
                'RW 8 SPARSE "a" 0',
                'RW -8 FLAT "a" 0',
                'RW x FLAT "a" 0',
                'RW 8 FLAT "a 0',
                'RW 8 FLAT "" 0',
                'RW 8 DEVICE "a" 0',
                "RW 8 FLAT a 0",
                'RW 99999999999999999999 FLAT "a" 0',
                'RW 18014398509481984 FLAT "a" 0',
                'RW 8 FLAT "a" 18014398509481984',
                f'RW 8 FLAT "{"n" * 512}" 0',
                'RW \u0668 FLAT "a" 0',
                "RW 8",
            )
        ),
    ],
)
def test_extent_lines(line: str, parsed: tuple[object, ...] | None) -> None:
    found = parse_extent_line(line)
    assert (found and (found.access, found.sectors, found.kind, found.name, found.offset)) == parsed


@pytest.mark.parametrize(
    "create_type", ["fullDevice", "partitionedDevice", "vmfsRaw", "vmfsRDM", "vmfsRawDeviceMap", "nonsense", "x" * 5000]
)
def test_what_is_no_image_file_is_refused_by_name(create_type: str, tmp_path: Path) -> None:
    image = descriptor_file(tmp_path / "disk.vmdk", create_type, 'RW 8 FLAT "a" 0')
    with pytest.raises(UnsupportedFeature, match=f"Unsupported image type '{create_type[:80]}'"):
        opened(image)


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "invalid VMDK image descriptor"),
        ('createType="vmfs"\n', "names no extents"),
        ('createType="vmfs"\nRW 8 FLAT "a" 0\n', "there is no CID"),
        ('CID=1\ncreateType="vmfs"\nRW 8 FLAT "a" 0\n', "there is no parentCID"),
        ('CID=1_0\nparentCID=ffffffff\ncreateType="vmfs"\nRW 8 FLAT "a" 0\n', "CID is '1_0'"),
        ('CID=1\nparentCID=123456789\ncreateType="vmfs"\nRW 8 FLAT "a" 0\n', "parentCID is"),
        ('CID=1\nparentCID=1\nencryption.keySafe="x"\ncreateType="vmfs"\n', "encrypted"),
        ('CID=1\nparentCID=1\ncreateType="vmfs"\nNOACCESS 8 FLAT "a" 0\n', "NOACCESS"),
        ('CID=1\nparentCID=1\ncreateType="vmfs"\nRW 8 FLAT "disk.vmdk" 0\n', "names itself"),
        ('CID=1\nparentCID=1\ncreateType="vmfs"\n' + 'RW 18014398509481983 FLAT "a" 0\n' * 2, "8 EiB"),
        ('CID=1\nparentCID=1\ncreateType="vmfs"\n' + 'RW 1 FLAT "a" 0\n' * 4097, "more than 4096 extents"),
        ("x" * (1 << 20) + "y", "is not read"),
    ],
)
def test_bad_descriptors_get_one_clear_line(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(4096))
    image = tmp_path / "disk.vmdk"
    image.write_text("# Disk DescriptorFile\nversion=1\n" + text)
    with pytest.raises(ImageError) as refusal:
        opened(image)
    assert message in refusal.value.message and "\n" not in refusal.value.message
    assert refusal.value.path


def test_a_parent_name_has_a_limit() -> None:
    with pytest.raises(OutOfBounds):
        assert Descriptor(b'parentFileNameHint="' + b"p" * 1024 + b'"', "disk").parent


def test_the_extents_of_others(tmp_path: Path) -> None:
    """One file in two places, read-only and zero extents, Windows line ends, names that are not UTF-8."""
    name = b"d\xe9j\xe0.raw"
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(b"a" * 512 + b"b" * 512)
    image = tmp_path / "disk.vmdk"
    text = DESCRIPTOR.format("custom", 'RW 1 FLAT "NAME" 1\nRW 3 ZERO\nRDONLY 1 FLAT "NAME" 0').replace("\n", "\r\n")
    image.write_bytes(text.encode().replace(b"NAME", name))
    with open_image(str(image)) as node:
        assert node.read(0, node.size) == b"b" * 512 + bytes(1536) + b"a" * 512
        assert [extent.kind for extent in node.extents(0, node.size)] == [DATA, "zero", DATA]
    with opened(image, writable=True) as node, pytest.raises(ImageError, match="cannot be written"):
        node.write(0, b"x")
    assert image.read_bytes().startswith(b"# Disk")


def test_a_split_disk_may_begin_with_an_embedded_descriptor(tmp_path: Path, qemu_io: Runner) -> None:
    """A sparse header without a capacity only holds the descriptor of other files."""
    image = tmp_path / "disk.vmdk"
    make(image, 0)
    (tmp_path / "a").write_bytes(b"a" * 4096)
    text = DESCRIPTOR.format("vmfs", 'RW 8 VMFS "a"').encode()
    with image.open("r+b") as file:
        file.seek(512)
        file.write(text.ljust(1024, b"\0"))
    with opened(image) as node:
        assert node.read(0, node.size) == b"a" * 4096
    qemu_io(image, "read -P 97 0 4096", format="vmdk")
