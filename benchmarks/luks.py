"""Encrypted disks beside qemu-img: converting into LUKS and out of it.

    python -m benchmarks.luks [--only TEXT] [--folder FOLDER]

Key slots are made with `iter-time=10`, so that the time for stretching passphrases, which is chosen, does not count.
"""

from __future__ import annotations

import argparse
import os
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
SIZE = 512 * MIB
LIMIT = 1.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="only the rows whose name contains this")
    parser.add_argument("--folder", help="where to put the images")
    options = parser.parse_args()
    with TemporaryDirectory(dir=options.folder) as directory:
        raw, image, out = (str(Path(directory) / name) for name in ("disk.raw", "image", "out"))
        with open(raw, "wb") as file:
            for _ in range(SIZE // MIB):
                file.write(os.urandom(MIB))
        print(HEADER)
        for name, target in TARGETS.items():
            there = ["convert", *SECRET, "-f", "raw", *target, raw]
            if options.only in f"raw -> {name}":
                side_by_side(f"raw -> {name}", [[*IMGTOOLS, *there, out]], [["qemu-img", *there, out]], LIMIT)
            if options.only in f"{name} -> raw":
                run([*IMGTOOLS, *there, image])
                option = "encrypt.key-secret" if "qcow2" in name else "key-secret"
                source = f"driver={target[1]},{option}=s,file.filename={image}"
                back = ["convert", *SECRET, "--image-opts", "-O", "raw", source, out]
                side_by_side(f"{name} -> raw", [[*IMGTOOLS, *back]], [["qemu-img", *back]], LIMIT)


if __name__ == "__main__":
    main()
