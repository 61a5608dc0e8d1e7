"""Options: how a node, and all below it, is described by its user.

    driver=qcow2,file.driver=file,file.filename=disk.qcow2              --image-opts
    json:{"driver": "qcow2", "file": {"filename": "disk.qcow2"}}        as a file name
    {"driver": "qcow2", "file": {"filename": "disk.qcow2"}}             in Python

are one and the same tree. It is held flat, as `Options`: "file.filename" is an option of the child "file". Each
driver takes the options that it declares, as `Option` says, and what nobody takes is refused.
"""

from __future__ import annotations

from imgtools.errors import BadOption
from imgtools.sizes import TooLarge, parse_number, parse_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

JSON_PREFIX = "json:"


class Option:
    """An option `name=value`, of a new image (`-o`) or of a node that is opened.

    `kind` is "size", "bool", "int", or "text"; `choices` limit a text. A "*" in the name stands for a number, as in
    "inject-error.*.event". `identity` marks an option of a node that changes which bytes it holds: a name that leads
    to the same disk again has to tell it.
    """

    def __init__(
        self,
        name: str,
        kind: str,
        help: str,
        *,
        default: Any = None,
        choices: tuple[str, ...] = (),
        help_default: str | None = None,
        identity: bool = False,
    ) -> None:
        self.name = name
        self.kind = kind
        self.help = help
        self.default = default
        self.choices = choices
        self.help_default = help_default
        """The default as `-o help` shows it, where it shows one."""
        self.identity = identity

    def parse(self, text: str) -> Any:
        """The value that `text` stands for; raises BadOption with what the option expects."""
        if self.kind == "size":
            try:
                return parse_size(text)
            except TooLarge:
                raise BadOption(f"Value '{text}' is out of range for parameter '{self.name}'") from None
            except BadOption:
                raise BadOption(
                    f"Parameter '{self.name}' expects a non-negative number below 2^64",
                    hint="Optional suffix k, M, G, T, P or E means kilo-, mega-, giga-, tera-, peta-\n"
                    "and exabytes, respectively.",
                ) from None
        if self.kind == "bool":
            if text not in ("on", "off", "yes", "no", "true", "false", "y", "n"):
                raise BadOption(f"Parameter '{self.name}' expects 'on' or 'off'")
            return text in ("on", "yes", "true", "y")
        if self.kind == "int":
            try:
                value = parse_number(text)
            except ValueError:
                raise BadOption(f"Parameter '{self.name}' expects a number") from None
            if value >> 64:
                raise BadOption(f"Value '{text}' is too large for parameter '{self.name}'")
            return value
        if self.choices and text not in self.choices:
            raise BadOption(
                f"invalid parameter value: {text}", hint=f"{self.name} is one of: {', '.join(self.choices)}."
            )
        return text


class Options(dict[str, "Any"]):
    """A tree of options, flat: the full name of each to its value, which is text, or what JSON or Python have."""

    @classmethod
    def of(cls, name: str | dict[str, Any]) -> Options:
        """The tree in a dict or a `json:` name; raises BadOption where that is no JSON object."""
        if isinstance(name, str):
            name = _parse_json(name.removeprefix(JSON_PREFIX))
        options = cls()
        options.update(_flat("", name))
        return options

    def has_below(self, child: str) -> bool:
        """Whether the tree says anything of the child of that name."""
        prefix = f"{child}."
        return any(name.startswith(prefix) for name in self)

    def take_below(self, child: str) -> Options:
        """The tree of the child of that name, which this one then does not have any more."""
        prefix = f"{child}."
        names = [name for name in self if name.startswith(prefix)]
        return Options((name[len(prefix) :], self.pop(name)) for name in names)

    def take(self, option: Option) -> Any:
        """The value of an option, which the tree then does not have any more; its default where it has none."""
        return option.parse(as_text(self.pop(option.name))) if option.name in self else option.default


def as_text(value: Any) -> str:
    """A value as it would be written on a command line."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and (value or not prefix):
        for name, member in value.items():
            yield from _flat(f"{prefix}.{name}" if prefix else str(name), member)
    elif isinstance(value, (list, tuple)) and value:
        for index, member in enumerate(value):
            yield from _flat(f"{prefix}.{index}", member)
    else:
        yield prefix, value


def _parse_json(text: str) -> dict[str, Any]:
    import json

    try:
        value = json.loads(text, object_pairs_hook=_without_repetition)
    except ValueError as error:
        raise BadOption(f"Could not parse the JSON options: {error}") from None
    except RecursionError:
        raise BadOption("Could not parse the JSON options: they are nested too deeply") from None
    if not isinstance(value, dict):
        raise BadOption("Invalid JSON object given")
    return value


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; ValueError where it names something twice, or has a text that no file name or option can be."""
    for text in (text for pair in pairs for text in pair if isinstance(text, str)):
        if "\0" in text or any("\ud800" <= letter <= "\udc7f" or "\udd00" <= letter <= "\udfff" for letter in text):
            raise ValueError(f"{text!r} has a character that no name has")
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("JSON parse error, duplicate key")
    return value
