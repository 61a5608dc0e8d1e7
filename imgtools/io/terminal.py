"""The shell for somebody who types: history, completion, and a prompt that says what is open.

disk.qcow2 10 GiB> read -v 0 64
disk.qcow2 10 GiB read-only> _
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from imgtools.cli import console
from imgtools.io.completion import candidates
from imgtools.io.lines import PROMPT, run_lines
from imgtools.io.report import human

try:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.application import get_app, run_in_terminal
    from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
    from prompt_toolkit.completion import Completer, Completion
    from prompt_toolkit.history import FileHistory, History, InMemoryHistory
except ImportError:
    Completer = object  # type: ignore[assignment, misc]
    AVAILABLE = False
else:
    AVAILABLE = True

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from prompt_toolkit.document import Document

    from imgtools.io.shell import Shell

LOOK = 0.1
"""Seconds between two looks at whether a request in the background is complete."""


def run_terminal(shell: Shell) -> None:
    """Run what is typed until `quit` or the end of input."""
    if not AVAILABLE:
        console.note("History and completion need prompt_toolkit: pip install 'imgtools[io]'")
        run_lines(shell)
        return
    session: PromptSession[str] = PromptSession(
        history=_history(),
        completer=_CommandCompleter(shell),
        auto_suggest=AutoSuggestFromHistory(),
        complete_while_typing=False,
    )
    while not shell.done:
        shell.reap()
        sys.stdout.flush()
        try:
            line = session.prompt(prompt_of(shell), pre_run=lambda: _watch(shell))
        except KeyboardInterrupt:
            continue
        except EOFError:
            break
        try:
            shell.execute(line)
        except KeyboardInterrupt:
            console.note("interrupted")


def prompt_of(shell: Shell) -> str:
    """What stands in front of the line that is typed."""
    if not shell.own:
        return PROMPT
    if shell.image is None:
        return "no image> "
    image, node = shell.image, shell.node
    states = [
        "read-only" if node.read_only else "",
        "snapshot" if image.settings.snapshot else "",
        f"{shell.running} running" if shell.running else "",
    ]
    words = [os.path.basename(image.shown), human(node.size), *filter(None, states)]
    return " ".join(words) + "> "


def _history() -> History:
    """Lines of earlier sessions, kept where programs keep such things."""
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    path = Path(state) / "imgtools" / "io_history"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
    except OSError:
        return InMemoryHistory()
    return FileHistory(str(path))


class _CommandCompleter(Completer):
    """Completes the word under the cursor from the tables of commands."""

    def __init__(self, shell: Shell) -> None:
        self.shell = shell

    def get_completions(self, document: Document, event: Any) -> Iterator[Completion]:
        """What the word before the cursor may become."""
        text = document.text_before_cursor
        word = text.rpartition(" ")[2]
        for candidate, meaning in candidates(text, self.shell):
            yield Completion(candidate, start_position=-len(word), display_meta=meaning)


def _watch(shell: Shell) -> None:
    """While the prompt waits, tell of requests in the background as they become complete."""

    def tell() -> None:
        shell.reap()
        sys.stdout.flush()

    async def look() -> None:
        while True:
            await asyncio.sleep(LOOK)
            if shell.has_news:
                await run_in_terminal(tell)

    get_app().create_background_task(look())
