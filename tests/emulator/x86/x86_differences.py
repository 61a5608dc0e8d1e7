"""Where objdump and the decoder legitimately disagree, each with its reason and a rule as narrow as it can be.

`reason(code, mode, ours, theirs)` names the rule that explains a disagreement, or is None: then one of the two errs.
"""

from __future__ import annotations

import re

from emulator.x86.decode import DecodeError, decode
from emulator.x86.disasm import text

PREFIX_BYTES = frozenset(bytes.fromhex("26 2E 36 3E 64 65 66 67 F0 F2 F3"))
LONE_PREFIX = re.compile(r"(?:lock )?rex(\.W?R?X?B?)?|(addr|data)(16|32)")
MANDATORY = frozenset(bytes.fromhex("66 F2 F3"))

# Instructions that objdump knows and the table does not have on purpose: each raises #UD here.
ABSENT = {
    "AVX, AVX-512, FMA, F16C": r"v\w+|k\w+|\{.*",
    "AMX": r"(ld|st)tilecfg|tile\w+|tdp\w+",
    "VMX, SVM": r"vm\w+|inv(ept|vpid|lpga)|skinit|clgi|stgi|rmp\w+|pvalidate|psmash|tlbsync|invlpgb|enclv",
    "SMM, SMX, SGX, TDX": r"rsm|getsec|encl[su]|tdcall|seam\w+",
    "the 80287 (DB E5)": r"frstpm",
    "MONITOR, WAITPKG, HRESET, power": r"monitorx?|mwaitx?|umonitor|umwait|tpause|hreset|mcommit",
    "transactions": r"xbegin[wdq]?|xend|xabort|xtest|xsusldtrk|xresldtrk",
    "CET (its no-operations are there)": r"incssp[dq]|rdssp[dq]|saveprevssp|rstorssp|wrss[dq]|wruss[dq]|(set|clr)ssbsy",
    "MPX (its opcodes are no-operations here)": r"bnd\w+",
    "cache control": r"clwb|clflushopt|cldemote|clzero|wbnoinvd|movdir\w+|enqcmds?|prefetchit[01]",
    "RDPID, PKU, RDPRU, PTWRITE": r"rdpid|rdpkru|wrpkru|rdpru|ptwrite|serialize|pconfig",
    "user interrupts": r"senduipi|uiret|testui|clui|stui",
    "SSE4a": r"extrq|insertq|movnts[sd]",
    "3DNow!": r"femms|pf\w+|pi2f[dw]|pmulhrw|pavgusb|pswapd",
    "XOP, LWP, TBM": r"llwpcb|slwpcb|lwp\w+|bl[cs]\w+|t1mskc|tzmsk|bextr",
    "SHA, GFNI, Key Locker": r"sha\w+|gf2p8\w+|aes(enc|dec)(wide)?\d+kl|loadiwkey|encodekey\d+",
    "VIA PadLock": r"xstore\S*|xcrypt\S*|xsha\d+|montmul",
    "FRED, MSR lists, RAO-INT": r"lkgs|er[et][su]|(rd|wr)msrlist|wrmsrns|pbndkb|a(add|and|x?or)|cmp\w+xadd|u(rd|wr)msr",
}
ABSENT_NAMES = re.compile("|".join(f"(?:{names})" for names in ABSENT.values()))


def reason(code: bytes, mode: int, ours: tuple[int, str] | None, theirs: tuple[int, str]) -> str | None:
    """Why the decoder and objdump disagree about `code`, if the reason is known."""
    name = theirs[1].removeprefix("lock ").partition(" ")[0]
    if ours is None:
        return _undefined_here(code, mode, theirs, name)
    return _defined_otherwise(code, ours, theirs, name)


def _undefined_here(code: bytes, mode: int, theirs: tuple[int, str], name: str) -> str | None:
    """The decoder raises #UD, objdump shows an instruction."""
    if ABSENT_NAMES.fullmatch(name):
        return "the table does not have it"
    if mode != 64 and re.fullmatch(r"syscall|sysret|swapgs|(rd|wr)[fg]sbase", name):
        return "valid in 64-bit mode only, which objdump does not check (AMD has SYSCALL in compatibility mode too)"
    if re.search(r"\btr\d|\?|^mov cs,", theirs[1]):
        return "test registers of the 80486, segment registers that do not exist, MOV to CS"
    if LONE_PREFIX.fullmatch(theirs[1]):
        return "objdump shows a prefix that is ignored, or too many of them, as an instruction"
    without_lock = _without(code, {0xF0})
    if without_lock != code and _text(without_lock, mode):
        return "LOCK on an instruction or an operand that may not have it: objdump does not check"
    if name in ("mov", "(bad)") and re.match(r".*\x0f[\x20-\x23]", code.decode("latin1"), re.DOTALL):
        return "a control or debug register that does not exist: objdump does not check"
    plain = _text(_without(without_lock, MANDATORY), mode)
    if plain is not None and plain.partition(" ")[0].removesuffix("64") == name.removesuffix("64"):
        return "NP: 66, F2 and F3 are not allowed, objdump shows them as prefixes"
    return None


def _defined_otherwise(code: bytes, ours: tuple[int, str], theirs: tuple[int, str], name: str) -> str | None:
    """The decoder finds an instruction, objdump another one, or none."""
    mine = ours[1].partition(" ")[0]
    opcode = code.lstrip(bytes(PREFIX_BYTES) + bytes(range(0x40, 0x50)))
    if LONE_PREFIX.fullmatch(theirs[1]):
        return "objdump shows a prefix that is ignored, or too many of them, as an instruction"
    if mine == "fwait":
        return "objdump shows FWAIT and the x87 instruction after it as one"
    if "(bad)" in theirs[1]:
        if mine == "salc" or re.match(rb"[\xd9\xdc\xdd\xde\xdf][\xc0-\xdf]", opcode):
            return "undocumented, and executed by every processor: SALC, second places of FCOM, FCOMP, FXCH, FSTP"
        if mine in ("mfence", "sfence", "lfence"):
            return "the processor ignores ModRM.rm of a fence (SDM Vol. 2, MFENCE)"
        if mine in ("bsf", "bsr", "wbinvd", "invd"):
            return "the SDM lists no NP: a prefix that selects nothing is ignored"
    if re.match(rb"\x0f[\x18-\x1f]", opcode) and mine == "nop":
        return "a reserved no-operation where objdump shows CET, MPX or later hints"
    if mine == "prefetch" and name == "prefetchwt1":
        return "0F 0D /2 was PREFETCHWT1 of Xeon Phi: a plain prefetch here"
    return _spelled_otherwise(code, ours, theirs, mine, name)


def _spelled_otherwise(code: bytes, ours: tuple[int, str], theirs: tuple[int, str], mine: str, name: str) -> str | None:
    if ours[0] != theirs[0]:
        return None
    if mine == "nop" and theirs[1] in ("xchg ax,ax", "xchg eax,eax", "xchg rax,rax"):
        return "90 is NOP with any prefix but REX.B (SDM Vol. 2, NOP), objdump looks at the operand size"
    if mine == "xchg" and name == "pause":
        return "PAUSE is F3 90 without REX.B: with it the processor exchanges r8 and rax"
    if mine in ("call", "jmp", "lss", "lfs", "lgs") and ours[1] == re.sub("[FD]WORD", "TBYTE", theirs[1]):
        return "a far pointer with REX.W is m16:64 (SDM Vol. 2, CALL, LSS), objdump ignores REX.W"
    if mine == name and mine in ("call", "jmp") and ours[1].replace("ds:", "") == theirs[1]:
        return "objdump shows 3E before an indirect branch as NOTRACK and forgets that it is an override too"
    if mine == name == "pclmulqdq" and ours[1].endswith((",0x2", ",0x3")):
        return "objdump has no name for these immediates of PCLMULQDQ, and takes a wrong one"
    if mine == name and re.fullmatch(r"(rd|wr)[fg]sbase", mine) and 0x66 in code[:14]:
        return "66 does not make the operand of RDFSBASE 16-bit"
    if mine == name == "movsxd" and 0x66 in code[:14] and ours[1].partition(",")[0] == theirs[1].partition(",")[0]:
        return "REX.W comes before 66: MOVSXD reads 32 bits"
    if mine == name and mine in ("movdq2q", "movq2dq") and 0x66 in code[:14]:
        return "objdump names two XMM registers of MOVDQ2Q and MOVQ2DQ if there is a 66"
    if mine == "wbinvd" and name == "wbnoinvd":
        return "WBNOINVD is WBINVD where CPUID does not announce it (SDM Vol. 2, WBNOINVD)"
    return None


def _without(code: bytes, unwanted: set[int] | frozenset[int]) -> bytes:
    """The code without some of its prefixes."""
    end = next((i for i, byte in enumerate(code) if byte not in PREFIX_BYTES and byte & 0xF0 != 0x40), len(code))
    return bytes(byte for byte in code[:end] if byte not in unwanted) + code[end:]


def _text(code: bytes, mode: int) -> str | None:
    try:
        return text(decode(code + bytes(15), mode))
    except DecodeError:
        return None
