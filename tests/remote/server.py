"""A web server that answers range requests, or tells one of several lies about them."""

from __future__ import annotations

import re
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar


class WebServer:
    """Serves `content` at every path but /none; `lie` names what it does wrong. `asked` has the ranges asked for."""

    def __init__(self, content: bytes, lie: str = "", *, certificates: Path | None = None) -> None:
        self.asked: list[tuple[int, int]] = []
        self.cookies: list[str | None] = []
        self.credentials: list[str | None] = []
        self.scheme = "http"
        handler = type("Handler", (_Handler,), {"content": content, "lie": lie, "server_of_test": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        if certificates is not None:
            self.scheme = "https"
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificates / "server-cert.pem", certificates / "server-key.pem")
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server.server_address[1]}/disk.img"

    def __enter__(self) -> WebServer:
        return self

    def __exit__(self, *exception: object) -> None:
        self.server.shutdown()
        self.server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    content: ClassVar[bytes] = b""
    lie: ClassVar[str] = ""
    server_of_test: ClassVar[Any] = None

    def log_message(self, *arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        assert found is not None
        first, last = int(found[1]), min(int(found[2]), len(self.content) - 1)
        self.server_of_test.asked.append((first, last))
        self.server_of_test.cookies.append(self.headers.get("Cookie"))
        self.server_of_test.credentials.append(self.headers.get("Authorization"))
        is_later = len(self.server_of_test.asked) > 1
        if self.path == "/none":
            self.reply(404, b"no such thing")
        elif self.path == "/moved":
            self.reply(302, b"", Location="/disk.img")
        elif self.path == "/round":
            self.reply(302, b"", Location="/round")
        elif not self.content:
            self.reply(416, b"", **{"Content-Range": "bytes */0"})
        elif self.lie == "no ranges":
            self.reply(200, self.content)
        elif self.lie == "error later" and is_later:
            self.reply(500, b"")
        elif self.lie == "whole later" and is_later:
            self.reply(200, self.content)
        else:
            self.partial(first, last, is_later)

    def partial(self, first: int, last: int, is_later: bool) -> None:
        size, body, tag = len(self.content), self.content[first : last + 1], '"1"'
        shown = f"bytes {first}-{last}/{size}"
        if self.lie == "no content-range":
            return self.reply(206, body)
        if self.lie == "garbage":
            shown = "bytes x-y/z"
        elif self.lie == "unknown size":
            shown = f"bytes {first}-{last}/*"
        elif self.lie == "huge":
            shown = f"bytes {first}-{last}/{1 << 70}"
        elif is_later and self.lie == "another range":
            shown = f"bytes {first + 1}-{last + 1}/{size}"
        elif is_later and self.lie == "another size":
            shown = f"bytes {first}-{last}/{size + 1}"
        elif is_later and self.lie == "another version":
            tag = '"2"'
        elif is_later and (
            self.lie == "hangs up" or (self.lie == "hangs up once" and len(self.server_of_test.asked) == 2)
        ):
            self.send_response(206)
            self.send_header("Content-Range", shown)
            self.send_header("ETag", tag)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[:300_000] if self.lie == "hangs up once" else body[:100])
            self.close_connection = True
            return None
        elif is_later and self.lie == "short":
            body = body[:100]
        elif is_later and self.lie == "long":
            body += b"\xee" * 1000
        return self.reply(206, body, **{"Content-Range": shown, "ETag": tag})

    def reply(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
