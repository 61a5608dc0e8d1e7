"""Sockets of the host: a thread waits for them, and the machine's thread serves them.

The thread does nothing but wait. What is ready it hands over by `post`, and waits again when it has been served, so
that sockets and connections are the machine's thread's alone.
"""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Callable, Sequence
from functools import partial

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE

Post = Callable[[Callable[[], None]], None]
Ready = Sequence[tuple[selectors.SelectorKey, int]]


class Poller:
    """`served` is called when a round of sockets has been."""

    def __init__(self, post: Post, served: Callable[[], None]) -> None:
        self._post = post
        self._after = served
        self._selector = selectors.DefaultSelector()  # epoll or kqueue: changes count for who waits already
        self._served = threading.Event()
        self._closing = False
        self._thread: threading.Thread | None = None
        self._waker, woken = socket.socketpair()
        self._selector.register(woken, READ)

    def watch(self, sock: socket.socket, events: int, function: Callable[[int], None]) -> None:
        """Call a function with the events that came, until they are watched for no more (0)."""
        known = sock in self._selector.get_map()
        if events == 0:
            if known:
                self._selector.unregister(sock)
        elif known:
            self._selector.modify(sock, events, function)
        else:
            self._selector.register(sock, events, function)
        if self._thread is None and events:
            self._thread = threading.Thread(target=self._run, name="network", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """End the thread. Sockets that are watched are closed, too."""
        if self._closing:
            return
        self._closing = True
        self._waker.send(b"x")
        self._served.set()
        if self._thread is not None:
            self._thread.join()
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self._waker.close()
        self._selector.close()

    def _run(self) -> None:
        while True:
            ready = self._selector.select()
            self._served.clear()
            if self._closing:
                return
            self._post(partial(self._serve, ready))
            self._served.wait()

    def _serve(self, ready: Ready) -> None:
        for key, events in ready:
            # Serving one socket may have closed another, whose number may be a new one's already.
            now = None if self._closing else self._selector.get_map().get(key.fd)
            if now is not None and now.fileobj is key.fileobj and events & now.events:
                now.data(events & now.events)
        self._after()
        self._served.set()
