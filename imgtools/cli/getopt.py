"""Command-line options: declared once as a table, parsed as the C library's getopt_long parses them.

A verb declares a `Command`: its name, what it takes, and its options. Parsing, `--help`, the tables of the
documentation and shell completion are all made from that declaration.

    COMMAND = Command("info", "FILENAME", "Tell what is known about an image.", (FORMAT, OUTPUT))
    arguments = COMMAND.parse(["info", "-f", "raw", "disk.img"])
    arguments.format, arguments.operands          # "raw", ["disk.img"]

The parser has getopt_long's manners, because scripts rely on them: operands and options may be mixed, short
options cluster (-qp), an argument may be attached (-fraw, --output=json), a long name may be abbreviated as
long as it stays unambiguous, and `--` ends the options.
"""

from __future__ import annotations

import os
from types import SimpleNamespace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any


class UsageError(Exception):
    """The command line makes no sense; the message says why, `plain` in the C library's own words."""

    def __init__(self, message: str, plain: str | None = None) -> None:
        super().__init__(message)
        self.plain = plain


class Asked(Exception):
    """An option was met that asks for something else than the verb's work: `name` is "help" or "version"."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class Option:
    """One option: where its value goes, how it is written, and what it is for.

    An option without `argument` (the name of its value in help texts) is a flag. `parse` turns the text of a
    value into what the verb wants and is called as soon as the option is met; `many` collects the values of
    all occurrences; `own` marks options that exist only under the program's own name, not under a peer's;
    `asks` those that end the parsing at once, as --help does.
    """

    def __init__(
        self,
        name: str,
        short: str,
        long: str,
        argument: str,
        help: str,
        *,
        parse: Callable[[str], Any] | None = None,
        many: bool = False,
        own: bool = False,
        asks: bool = False,
        values: tuple[str, ...] = (),
    ) -> None:
        self.name = name
        self.short = short
        self.long = long
        self.argument = argument
        self.help = help
        self.parse = parse
        self.many = many
        self.own = own
        self.asks = asks
        self.values = values
        """What the value may be, for shell completion."""

    def spellings(self) -> list[str]:
        """How the option may be written, its argument left out: ["-f", "--format"]."""
        return [f"-{self.short}"] * bool(self.short) + [f"--{self.long}"] * bool(self.long)

    def usage(self) -> str:
        """How the option is written: "-f, --format=FMT", "-o OPTIONS", "--shrink"."""
        if not self.argument:
            return ", ".join(self.spellings())
        return ", ".join(self.spellings()) + ("=" if self.long else " ") + self.argument


HELP = Option("help", "h", "help", "", "show this help and exit", asks=True)


class Command:
    """A verb: `operands` is how its arguments are written ("FILENAME [SIZE]"), `summary` one sentence."""

    complains_plainly = False
    """Whether the peer leaves complaints about this verb's options to the C library (and then shows its help)."""

    stops_at_operand = False
    """Whether the first operand ends the options."""

    subcommands: dict[str, str] = {}
    """What the verb's first operand may be, and the modules of those commands; then the verb itself does nothing."""

    has_long_options = True
    """Whether `--name` is an option; where it is not, there is no --help either, and `-h` is an option like others."""

    def __init__(self, name: str, operands: str, summary: str, options: tuple[Option, ...]) -> None:
        self.name = name
        self.operands = operands
        self.summary = summary
        self.options = (*options, HELP) if self.has_long_options else options

    def offered(self, own: bool) -> Iterator[Option]:
        """The options under the program's own name, or under the peer's."""
        return (option for option in self.options if own or not option.own)

    def parse(self, words: list[str], *, own: bool = True) -> Any:
        """The values of all options by name, and `operands`; `words[0]` is the verb itself.

        Raises UsageError and Asked.
        """
        in_order = self.stops_at_operand or "POSIXLY_CORRECT" in os.environ
        values: dict[str, Any] = {
            option.name: [] if option.many else None if option.argument else False for option in self.options
        }
        return _Parser(list(self.offered(own)), words, values, self.has_long_options).run(in_order)


class _Parser:
    def __init__(self, options: list[Option], words: list[str], values: dict[str, Any], has_long: bool) -> None:
        self.options = options
        self.has_long = has_long
        self.words = words
        self.next = 1
        self.last = words[0]
        """The last word that was consumed: what getopt's caller finds at argv[optind - 1]."""
        self.operands: list[str] = []
        self.values = values

    def run(self, in_order: bool) -> SimpleNamespace:
        while self.next < len(self.words):
            word = self.words[self.next]
            self.next += 1
            if word == "--" or (in_order and (word == "-" or word[:1] != "-")):
                self.operands += self.words[self.next - (word != "--") :]
                break
            if word.startswith("--") and self.has_long:
                self._long(word)
            elif word.startswith("-") and word != "-":
                self._cluster(word)
            else:
                self.operands.append(word)
        return SimpleNamespace(**self.values, operands=self.operands)

    def _long(self, word: str) -> None:
        name, equals, value = word[2:].partition("=")
        matches = [option for option in self.options if option.long.startswith(name)]
        matches = [option for option in matches if option.long == name] or matches
        if len(matches) != 1:
            possible = " ".join(f"'--{option.long}'" for option in matches)
            why = f"option '{word}' is ambiguous; possibilities: {possible}"
            raise UsageError(f"unrecognized option '{word}'", why if matches else None)
        option = matches[0]
        if equals and not option.argument:
            raise UsageError(f"unrecognized option '{word}'", f"option '--{option.long}' doesn't allow an argument")
        self.last = word
        if option.argument and not equals:
            value = self._following(word, f"option '--{option.long}' requires an argument")
        self._set(option, value)

    def _cluster(self, word: str) -> None:
        before, rest = self.operands[-1] if self.operands else self.last, word[1:]
        self.last = word
        while rest:
            letter, rest = rest[0], rest[1:]
            option = next((option for option in self.options if option.short == letter), None)
            if option is None:
                shown = before if rest else word
                raise UsageError(f"unrecognized option '{shown}'", f"invalid option -- '{letter}'")
            value = ""
            if option.argument:
                value = rest or self._following(word, f"option requires an argument -- '{letter}'")
                rest = ""
            self._set(option, value)

    def _following(self, word: str, plain: str) -> str:
        if self.next == len(self.words):
            raise UsageError(f"missing argument for option '{word}'", plain)
        self.last = self.words[self.next]
        self.next += 1
        return self.last

    def _set(self, option: Option, text: str) -> None:
        if option.asks:
            raise Asked(option.name)
        value = option.parse(text) if option.parse else text if option.argument else True
        if option.many:
            self.values[option.name].append(value)
        else:
            self.values[option.name] = value
