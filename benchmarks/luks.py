"""Encrypted disks beside qemu-img: converting into LUKS and out of it.

    python -m benchmarks.luks [MEBIBYTES]

Key slots are made with `iter-time=10`, so that the time for stretching passphrases, which is chosen, does not count.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.timing import HEADER, IMGTOOLS, run, side_by_side

MIB = 1 << 20
SECRET = ["--object", "secret,id=s,data=letmein"]
TARGETS = {
    "luks": ["-O", "luks", "-o", "key-secret=s,iter-time=10"],
    "luks, aes-cbc-essiv": [
        "-O",
        "luks",
        "-o",
        "key-secret=s,iter-time=10,cipher-mode=cbc,ivgen-alg=essiv",
    ],
    "qcow2 with luks": ["-O", "qcow2", "-o", "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10"],
}
LIMIT = 1.0


def main() -> None:
    size = int(sys.argv[1]) * MIB if len(sys.argv) > 1 else 512 * MIB
    with TemporaryDirectory(dir=os.environ.get("TMPDIR", "/var/tmp")) as directory:
        raw, image, out = (str(Path(directory) / name) for name in ("disk.raw", "image", "out"))
        with open(raw, "wb") as file:
            for _ in range(size // MIB):
                file.write(os.urandom(MIB))
        print(HEADER)
        for name, target in TARGETS.items():
            there = ["convert", *SECRET, "-f", "raw", *target, raw, out]
            side_by_side(f"raw -> {name}", [[*IMGTOOLS, *there]], [["qemu-img", *there]], LIMIT)
            run(["qemu-img", "convert", *SECRET, "-f", "raw", *target, raw, image])
            option = "encrypt.key-secret" if "qcow2" in name else "key-secret"
            source = f"driver={target[1]},{option}=s,file.filename={image}"
            back = ["convert", *SECRET, "--image-opts", "-O", "raw", source, out]
            side_by_side(f"{name} -> raw", [[*IMGTOOLS, *back]], [["qemu-img", *back]], LIMIT)


if __name__ == "__main__":
    main()
