r"""A conversation with a guest, for tests: wait for a text, then type another, and so on.

    script = Script([(EXPECT, b"login: "), (SEND, b"root\n"), (EXPECT, b"# ")], type=machine.type, done=...)
    script.feed(b"debian login: ")                      # what the guest prints

It is over when its last step is an EXPECT that has come; behind a last SEND the guest goes on until it ends by itself.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

EXPECT, SEND = "expect", "send"
REMEMBERED = 1 << 16  # bytes of output in which a text is looked for


class Script:
    """The steps that are left, and the output in which the next text is looked for."""

    def __init__(
        self, steps: Sequence[tuple[str, bytes]], type: Callable[[bytes], None], done: Callable[[], None]
    ) -> None:
        self.steps = deque(steps)
        self.type = type
        self.done = done
        self._seen = bytearray()

    @property
    def waits_for(self) -> str | None:
        """The text that has not come yet."""
        return next((text.decode(errors="replace") for kind, text in self.steps if kind == EXPECT), None)

    def start(self) -> None:
        """Before the guest prints anything."""
        self._send()

    def feed(self, output: bytes) -> None:
        """What the guest has printed."""
        if not self.steps:
            return
        self._seen += output
        while self.steps:
            text = self.steps[0][1]
            place = self._seen.find(text)
            if place < 0:
                del self._seen[: -max(REMEMBERED, len(text))]
                return
            del self._seen[: place + len(text)]
            self._advance()

    def see(self, screen: str) -> None:
        """What the screen shows now: a step may wait for something there, too."""
        if self.steps and self.steps[0][1].decode(errors="replace") in screen:
            self._advance()

    def _advance(self) -> None:
        self.steps.popleft()
        if not self.steps:
            self.done()
        self._send()

    def _send(self) -> None:
        while self.steps and self.steps[0][0] == SEND:
            self.type(self.steps.popleft()[1])
