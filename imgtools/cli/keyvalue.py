"""Option strings: "cluster_size=4k,backing_file=a,,b" is cluster_size "4k" and backing_file "a,b".

A comma within a value is written twice. A name alone means "on", and with "no" in front "off".
"""

from __future__ import annotations


def split(text: str) -> list[str]:
    """The parts between single commas, doubled ones made single."""
    parts = [""]
    position = 0
    while True:
        comma = text.find(",", position)
        if comma < 0:
            parts[-1] += text[position:]
            return parts
        if text[comma + 1 : comma + 2] == ",":
            parts[-1] += text[position : comma + 1]
            position = comma + 2
        else:
            parts[-1] += text[position:comma]
            parts.append("")
            position = comma + 1


def is_valid(text: str) -> bool:
    """Whether an option string neither is empty nor begins with a comma nor ends with a single one."""
    trailing = len(text) - len(text.rstrip(","))
    return bool(text) and not text.startswith(",") and trailing % 2 == 0


def parse(text: str, implied: str | None = None) -> dict[str, str]:
    """The names and values in an option string; the last one counts.

    `implied` is the name that may be left out in front of the first value.
    """
    values = {}
    for number, part in enumerate(split(text) if text else []):
        name, equals, value = part.partition("=")
        if not equals and implied and not number:
            name, value = implied, part
        elif not equals:
            name, value = (name[2:], "off") if name.startswith("no") else (name, "on")
        values[name] = value
    return values


def asks_for_help(text: str) -> bool:
    """Whether "help" or "?" is among the options."""
    return any(part in ("help", "?") for part in split(text))
