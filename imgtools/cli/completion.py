"""imgtools completion: scripts that make a shell complete imgtools' command lines."""

from __future__ import annotations

from imgtools.cli import console
from imgtools.cli.arguments import Complaint
from imgtools.cli.getopt import Command, Option, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SHELLS = ("bash", "zsh", "fish")

COMMAND = Command(
    "completion",
    "SHELL",
    f"Print a script that makes a shell ({', '.join(SHELLS)}) complete imgtools' command lines.",
    (),
)


def run(arguments: Any) -> int:
    from imgtools.cli.help import commands

    if len(arguments.operands) != 1:
        raise UsageError("Expecting the name of a shell")
    shell = arguments.operands[0]
    if shell not in SHELLS:
        raise Complaint(f"Unknown shell '{shell}': {', '.join(SHELLS)} are supported")
    make = {"bash": bash, "zsh": zsh, "fish": fish}[shell]
    console.say(make(commands()))
    return 0


def values_of(option: Option) -> tuple[str, ...]:
    """What may follow an option, where that is known."""
    from imgtools.block.registry import format_names

    return tuple(format_names()) if option.argument == "FMT" else option.values


def bash(commands: list[Command]) -> str:
    """Completion for bash: options after a dash, known values after an option, else file names."""
    cases = []
    for command in commands:
        options = list(command.offered(True))
        words = " ".join(word for option in options for word in option.spellings())
        values = [
            f"                {'|'.join(option.spellings())}) words='{' '.join(values_of(option))}' ;;"
            for option in options
            if option.argument and values_of(option)
        ]
        cases.append(f"        {command.name})\n            options='{words}'")
        if values:
            cases.append("            case $previous in\n" + "\n".join(values) + "\n            esac")
        cases.append("            ;;")
    verbs = " ".join(command.name for command in commands)
    return f"""# bash completion for imgtools: eval "$(imgtools completion bash)"
_imgtools() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}} options='' words=''
    COMPREPLY=()
    if [[ $COMP_CWORD -eq 1 ]]; then
        COMPREPLY=($(compgen -W '{verbs}' -- "$current"))
        return
    fi
    case ${{COMP_WORDS[1]}} in
{chr(10).join(cases)}
    esac
    if [[ -n $words ]]; then
        COMPREPLY=($(compgen -W "$words" -- "$current"))
    elif [[ $current == -* ]]; then
        COMPREPLY=($(compgen -W "$options" -- "$current"))
    fi
}}
complete -o default -F _imgtools imgtools"""


def zsh(commands: list[Command]) -> str:
    """Completion for zsh, by its own _arguments."""
    verbs = "\n".join(f"        {_quoted(f'{command.name}:{command.summary}')}" for command in commands)
    cases = []
    for command in commands:
        specs = [_zsh_spec(option, word) for option in command.offered(True) for word in option.spellings()]
        cases.append(f"        {command.name}) _arguments -s {' '.join(specs)} '*:file:_files' ;;")
    return f"""#compdef imgtools
# zsh completion for imgtools: eval "$(imgtools completion zsh)"
_imgtools() {{
    local -a verbs
    verbs=(
{verbs}
    )
    if (( CURRENT == 2 )); then
        _describe command verbs
        return
    fi
    shift words
    (( CURRENT-- ))
    case $words[1] in
{chr(10).join(cases)}
    esac
}}
compdef _imgtools imgtools"""


def _zsh_spec(option: Option, word: str) -> str:
    help = option.help.replace("[", "(").replace("]", ")").replace(":", "\\:")
    attached = "=" if option.argument and word.startswith("--") else ""
    spec = f"{'*' if option.many else ''}{word}{attached}[{help}]"
    if option.argument:
        values = values_of(option)
        spec += f":{option.argument}:" + (f"({' '.join(values)})" if values else "_files")
    return _quoted(spec)


def fish(commands: list[Command]) -> str:
    """Completion for fish: one line an option."""
    lines = ["# fish completion for imgtools: imgtools completion fish | source"]
    for command in commands:
        lines.append(f"complete -c imgtools -n __fish_use_subcommand -a {command.name} -d {_quoted(command.summary)}")
        for option in command.offered(True):
            parts = [f"complete -c imgtools -n '__fish_seen_subcommand_from {command.name}'"]
            parts += [f"-s {option.short}"] * bool(option.short) + [f"-l {option.long}"] * bool(option.long)
            if option.argument:
                values = values_of(option)
                parts.append("-r" + (f" -f -a {_quoted(' '.join(values))}" if values else ""))
            lines.append(" ".join([*parts, f"-d {_quoted(option.help)}"]))
    return "\n".join(lines)


def _quoted(text: str) -> str:
    """Text between single quotes, for any of the shells."""
    escaped = text.replace("'", "'\\''")
    return f"'{escaped}'"
