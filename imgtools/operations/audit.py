"""May this image be trusted? What its file names, claims and hides, found without opening anything that it names.

    from imgtools.operations.audit import audit

    verdict = audit("upload.qcow2")
    for finding in verdict.findings:
        print(finding.severity, finding.rule, finding.offset, finding.message)

Every rule has a name, a severity ("error": do not use it; "warning": know what you do) and a reason, in RULES.
"""

from __future__ import annotations

from imgtools.block.format import Checkable, Format
from imgtools.block.gate import DENY
from imgtools.block.graph import Context
from imgtools.block.references import OUTSIDE, PROTOCOL
from imgtools.block.registry import MAGIC, PROBE_LENGTH, find_format, probe
from imgtools.errors import AccessDenied, ImageError, OutOfBounds, UnsupportedFeature

TYPE_CHECKING = False
if TYPE_CHECKING:
    from imgtools.block.format import Finding
    from imgtools.block.node import Node, Storage

ERROR, WARNING = "error", "warning"

RULES = {
    "protocol-reference": (ERROR, "names something that is opened by a protocol and not as a file"),
    "outside-reference": (ERROR, "names a file outside of the image's directory"),
    "reference": (WARNING, "names another file, so it is not the whole disk"),
    "polyglot": (ERROR, "begins or ends as more than one format: programs differ in what they take it for"),
    "second-signature": (WARNING, "is also recognised as what lies on a disk: some programs take it for a raw one"),
    "limit": (ERROR, "claims a size beyond what is sound to allocate or to follow"),
    "invalid": (ERROR, "is not what its format says it must be"),
    "unknown-feature": (ERROR, "needs a feature that is not known here"),
    "corrupt-mark": (ERROR, "was marked as corrupt by a program that wrote to it"),
    "corruption": (ERROR, "has metadata that contradict each other or overlap"),
    "leak": (WARNING, "has space that nothing refers to"),
    "dirty": (WARNING, "was not closed by the last program that wrote to it"),
    "trailing-data": (WARNING, "has data behind what its format describes"),
}
"""Name to severity, and what such an image does."""

ON_DISKS = (
    ("a boot sector or a partition table (MBR)", 510, b"\x55\xaa"),
    ("a partition table (GPT)", 512, b"EFI PART"),
    ("an ISO 9660 file system", 0x8001, b"CD001"),
)
"""(what, offset, bytes): signatures that belong on a disk, not into the header of an image."""
FOOTER = ("vpc", b"conectix")
"""The format that is known by its last 512 bytes, too."""
FOOTER_SIZE = 512
EXAMINED = 1 << 15
"""Bytes in front whose signatures are looked at: all of ON_DISKS begin in them or shortly behind."""
TOLD = 50
"""Findings of one rule that are told one by one: a damaged table has millions."""
ZERO_PIECE = 1 << 20


class AuditFinding:
    """What one rule found: its name and severity, the text, and the byte of the file that it is about (or None)."""

    def __init__(self, rule: str, message: str, offset: int | None = None) -> None:
        self.rule = rule
        self.severity = RULES[rule][0]
        self.message = message
        self.offset = offset


class Verdict:
    """The outcome for one file: the format that it was taken for, and the findings."""

    def __init__(self, path: str, format: str) -> None:
        self.path = path
        self.format = format
        self.findings: list[AuditFinding] = []
        self._counts: dict[str, int] = {}

    def add(self, rule: str, message: str, offset: int | None = None) -> None:
        """Note a finding; those of one rule past the first TOLD are only counted."""
        self._counts[rule] = count = self._counts.get(rule, 0) + 1
        if count <= TOLD:
            self.findings.append(AuditFinding(rule, message, offset))

    def close(self) -> None:
        """Say how many were not told."""
        for rule, count in self._counts.items():
            if count > TOLD:
                self.findings.append(AuditFinding(rule, f"and {count - TOLD} more of this kind"))

    def count(self, severity: str) -> int:
        """Findings of that severity."""
        return sum(finding.severity == severity for finding in self.findings)


def audit(path: str, *, format: str | None = None, share: bool = False) -> Verdict:
    """Examine the file at `path`, as an image of `format` (None looks at its first bytes).

    Nothing that it names is opened. Raises an ImageError where the file itself cannot be read; whatever is wrong with
    what it holds is a finding.
    """
    context = Context(gate=DENY, backing=False, checking=True, share=share)
    with context.open_storage(path) as storage:
        name = format or probe(storage.read(0, PROBE_LENGTH))
        verdict = Verdict(path, name)
        driver = find_format(name)
        _signatures(storage, verdict)
        _references(driver, storage, verdict)
        try:
            _contents(driver.open(storage, context), verdict)
        except AccessDenied:
            pass  # it is a disk of several files, and what it names was told above
        except ImageError as error:
            _refused(error, verdict)
        verdict.close()
        return verdict


def _signatures(storage: Storage, verdict: Verdict) -> None:
    """More than one format's marks in one file."""
    head = storage.read(0, EXAMINED + FOOTER_SIZE)
    tail_offset = max(0, storage.size - FOOTER_SIZE)
    told = {verdict.format}
    for name, offset, pattern in MAGIC:
        if name not in told and head.startswith(pattern, offset):
            told.add(name)
            verdict.add("polyglot", f"taken for {verdict.format}, but it begins as {name} does", offset)
    name, pattern = FOOTER
    if name not in told and storage.read(tail_offset, len(pattern)) == pattern:
        verdict.add("polyglot", f"taken for {verdict.format}, but it ends as {name} does", tail_offset)
    starts_with_header = any(head.startswith(pattern, at) for name, at, pattern in MAGIC if name == verdict.format)
    for what, offset, pattern in ON_DISKS if starts_with_header else ():
        if head.startswith(pattern, offset):
            verdict.add("second-signature", f"it has the signature of {what}", offset)


def _references(driver: Format, storage: Storage, verdict: Verdict) -> None:
    """The files that the image names."""
    try:
        for reference in driver.references(storage):
            reach = reference.reach(storage.filename)
            shown = f"{reference.role} {reference.name!r}"
            if reach == PROTOCOL:
                verdict.add("protocol-reference", f"{shown} is no plain file name", reference.offset)
            elif reach == OUTSIDE:
                verdict.add("outside-reference", f"{shown} lies outside of the image's directory", reference.offset)
            else:
                verdict.add("reference", f"{shown} is needed beside it", reference.offset)
    except ImageError:
        pass  # opening the image says the same


def _contents(node: Node, verdict: Verdict) -> None:
    """What the image says of itself, and what its own check finds."""
    if getattr(node, "corrupt", False):
        verdict.add("corrupt-mark", "the image is marked as corrupt")
    if getattr(node, "dirty", False):
        verdict.add("dirty", "the image was not closed")
    if not isinstance(node, Checkable):
        return

    def report(finding: Finding) -> None:
        rule = "leak" if finding.severity == "leak" else "corruption"
        verdict.add(rule, finding.message, finding.offset)

    result = node.check(report)
    end = result.image_end_offset
    storage = node.children["file"]
    if end is not None and end < storage.size and (offset := _first_byte(storage, end)) is not None:
        verdict.add("trailing-data", f"data behind the end of the image at {end:#x}", offset)


def _first_byte(storage: Node, start: int) -> int | None:
    """Where the first byte behind `start` lies that is not zero."""
    for offset in range(start, storage.size, ZERO_PIECE):
        piece = storage.read(offset, min(ZERO_PIECE, storage.size - offset))
        rest = piece.lstrip(b"\0")
        if rest:
            return offset + len(piece) - len(rest)
    return None


def _refused(error: ImageError, verdict: Verdict) -> None:
    rule = "invalid"
    if isinstance(error, OutOfBounds):
        rule = "limit"
    elif isinstance(error, UnsupportedFeature):
        rule = "unknown-feature"
    verdict.add(rule, error.message, error.offset)
