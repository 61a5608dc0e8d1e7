"""Keys of units without finding them: those of the last start, if no source has changed since.

Finding a key takes a pass over the text of all functions of a unit; a digest of the files they are in takes a
hundredth of that. The cache keeps, under that digest, the keys that were found then.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable
from pathlib import Path

from .build import with_used
from .cache import ObjectCache
from .llvm import machine
from .unit import Unit


def recall_keys(units: Iterable[Unit], sources: Path, cache: ObjectCache | None = None) -> None:
    """Give units, and those they use, their keys; all that decides them is in the Python files below `sources`."""
    cache = cache or ObjectCache()
    members = {unit.name: unit for unit in with_used(units)}
    digest = source_digest(sources)
    known = json.loads(cache.read(digest) or b"{}")
    if known.keys() == members.keys():
        for name, unit in members.items():
            unit.assume_key(known[name])
    else:
        cache.write(digest, json.dumps({name: unit.key for name, unit in members.items()}).encode())


def source_digest(folder: Path) -> str:
    """A digest of every Python file below a folder, and of what else decides a key."""
    digest = hashlib.sha256(repr((sys.version, *machine())).encode())
    for path in sorted(folder.rglob("*.py")):
        digest.update(f"\0{path.relative_to(folder)}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()
