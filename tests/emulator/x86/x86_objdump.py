"""GNU objdump as an oracle: many encodings in one run, its text brought to the spelling of `emulator/x86/disasm.py`."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Sequence

SLOT = 32  # bytes per encoding: at most 15, a tail that objdump may misread, and room to be in step again
# 32 KiB a run, in the middle of 64: objdump does not wrap the targets of short branches in 16-bit code
BATCH = 1024
ORIGIN = 0x4000
OPTIONS = {16: ["-mi386", "-Maddr16,data16"], 32: ["-mi386"], 64: ["-mi386:x86-64", "-Mintel64"]}
LINE = re.compile(r"\s*([0-9a-f]+):\t((?:[0-9a-f]{2} )+)\s*\t?(.*)")


def disassemble(encodings: Sequence[bytes], mode: int) -> list[tuple[int, str]]:
    """Length and text of the instruction at the start of each encoding; see `address_of`."""
    found = []
    for start in range(0, len(encodings), BATCH):
        found += _run(encodings[start : start + BATCH], mode)
    return found


def address_of(index: int) -> int:
    """Where `disassemble` puts an encoding."""
    return ORIGIN + index % BATCH * SLOT


def _run(encodings: Sequence[bytes], mode: int) -> list[tuple[int, str]]:
    with tempfile.NamedTemporaryFile(suffix=".bin") as file:
        file.write(b"".join(code[:15].ljust(SLOT, b"\x90") for code in encodings))
        file.flush()
        command = ["objdump", "-D", "-z", "-w", "-b", "binary", *OPTIONS[mode], "-Mintel"]
        command += ["--insn-width=15", f"--adjust-vma={ORIGIN}"]
        output = subprocess.run([*command, file.name], capture_output=True, text=True, check=True).stdout
    found = [(0, "")] * len(encodings)
    for line in output.splitlines():
        match = LINE.match(line)
        if match and int(match[1], 16) % SLOT == 0:
            found[(int(match[1], 16) - ORIGIN) // SLOT] = len(match[2].split()), normalise(match[3], mode)
    return found


UNUSED_PREFIX = re.compile(
    r"\b(?:(?:data|addr)(?:16|32)|[decfgs]s|rex(?:\.W?R?X?B?)?|xacquire|xrelease|bnd|notrack) (?=\S)"
)
REPEAT = re.compile(r"\b(repz|repnz|rep) (?!ins |outs |movs |stos |lods |cmps |scas )")
SUFFIXED = re.compile(
    r"\b(push|pop|call|jmp|retf?|leave|enter|[ls][gi]dt|sysretf?|sysexit|fldenv|fnstenv|frstor|fnsave)[wldq](?= |$)"
)
BY_SIZE = re.compile(r"\b(pushf|popf|pusha|popa|iret)([wdq]?)$")
SEGMENT_LOAD = re.compile(r"^(mov [d-gs]s),([er]?(?:[abcd]x|[sb]p|[sd]i)|r\d+)d?$")
REDUNDANT_SEGMENT = re.compile(r"\b(?:ss:(?=\[[er]?[bs]p(?!\*))|ds:(?=\[(?![er]?[bs]p(?!\*))))")
STRING = re.compile(r"\b(ins|outs|movs|stos|lods|cmps|scas|xlat) ")


def normalise(text: str, mode: int) -> str:
    """objdump's text in our spelling: without prefixes that change nothing, size suffixes, comments and padding."""
    text = re.sub(r"\s*#.*|\(\w+ only\)", "", text)
    text = re.sub(r"\s+", " ", text).strip()
    text = UNUSED_PREFIX.sub("", text)
    text = REPEAT.sub("", text)
    text = re.sub(r"(lock )+", "lock ", re.sub(r"(\b[cdefgs]s:)ds:", r"\1", text))
    text = SUFFIXED.sub(r"\1", text)
    text = BY_SIZE.sub(lambda match: _sized(match[1], match[2], mode), text)
    text = SEGMENT_LOAD.sub(lambda match: f"{match[1]},{_word_register(match[2])}", text)
    text = text.replace("movabs", "mov").replace("OWORD", "XMMWORD")
    text = re.sub(r"\+0x(f{8}[0-9a-f]{8})(?=\])", lambda match: f"-{(1 << 64) - int(match[1], 16):#x}", text)
    text = _without_pseudo_names(re.sub(r"\+[er]iz\*\d", "", text))
    text = re.sub(r"([c-gs]s:)?\[([er])iz\*\d([+-]0x[0-9a-f]+)\]", _absolute, text)
    if not STRING.search(text):
        text = REDUNDANT_SEGMENT.sub("", text)
    return re.sub(r"[+-]0x0(?=\])", "", text)


def _sized(name: str, suffix: str, mode: int) -> str:
    """PUSHF, IRET and the like: objdump writes no suffix at the mode's own operand size."""
    default = {16: "w", 32: "d", 64: "d" if name == "iret" else "q"}[mode]
    return name + (suffix or default).replace("w", "")


def _word_register(name: str) -> str:
    """MOV to a segment register reads 16 bits, objdump names the whole register."""
    return name + "w" if name[1].isdigit() else name[-2:]


def _absolute(match: re.Match[str]) -> str:
    """A SIB byte without base and index: objdump writes a register named eiz or riz, we write the address."""
    mask = (1 << (64 if match[2] == "r" else 32)) - 1
    return f"{match[1] or 'ds:'}{int(match[3], 16) & mask:#x}"


PREDICATES = ("eq", "lt", "le", "unord", "neq", "nlt", "nle", "ord")
COMPARE = re.compile(rf"^cmp({'|'.join(PREDICATES)})([ps][sd]) (.*)$")
CARRYLESS = re.compile(r"^pclmul([lh])q([lh])qdq (.*)$")


def _without_pseudo_names(text: str) -> str:
    """CMPEQPS and the like are names of CMPPS with an immediate (SDM Vol. 2, CMPPS, table 3-2)."""
    if match := COMPARE.match(text):
        return f"cmp{match[2]} {match[3]},{PREDICATES.index(match[1]):#x}"
    if match := CARRYLESS.match(text):
        return f"pclmulqdq {match[3]},{(match[1] == 'h') | (match[2] == 'h') << 4:#x}"
    text = re.sub(r"^(lddqu xmm\d+,)", r"\1XMMWORD PTR ", text)
    return re.sub(r"^(pcmpestr[im])q", r"\1", text)
