"""A disk on a web server, read by range requests (RFC 9110, section 14).

The first request asks for the first block and learns from its Content-Range how large the file is. From then on each
answer has to be the range that was asked for, of a file of that size and version: a server that sends something else
is not believed.
"""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from imgtools.block.driver import Driver, Option
from imgtools.block.protocols.remote import BLOCK, READAHEAD, RemoteNode
from imgtools.errors import AccessDenied, BadOption, ImageError, InputOutput, NotFound, ReadOnly, UnsupportedFeature

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from urllib3 import BaseHTTPResponse, PoolManager

    from imgtools.block.graph import Context
    from imgtools.block.node import Node

TIMEOUT = 30
"""Seconds until a connection must stand, and without a byte after which an answer is given up."""
CONNECTIONS = 8
REDIRECTS = 5
TRIES = 3
"""Further attempts at a request whose connection fails, and at the rest of an answer that breaks off."""
PARTIAL, WHOLE, NOT_SATISFIABLE = 206, 200, 416
LARGEST_SIZE = (1 << 63) - 1


class HttpNode(RemoteNode):
    """The file at `url`."""

    driver = "http"

    def __init__(self, url: str, pool: PoolManager, headers: dict[str, str], readahead: int) -> None:
        super().__init__(url, 0, readahead=readahead)
        self.driver = url.partition(":")[0].lower()
        self.pool = pool
        self.headers = headers
        self.version: str | None = None
        """The file's ETag, or else the time of its last change."""
        self._open()

    def fetch(self, offset: int, buffer: memoryview) -> None:
        failures = 0
        while buffer:
            with self._ask(offset, len(buffer)) as response:
                self._check(response, offset, len(buffer))
                got, failure = self._receive(response, buffer)
            offset, buffer = offset + got, buffer[got:]
            if failure is not None:
                failures += 1
                if failures > TRIES:
                    raise self._failure(failure, offset)

    def close(self) -> None:
        self.pool.clear()

    def _open(self) -> None:
        """Learn the size and the version, and keep the first block."""
        with self._ask(0, BLOCK) as response:
            if response.status == NOT_SATISFIABLE and response.headers.get("Content-Range") == "bytes */0":
                return
            if response.status == WHOLE:
                raise UnsupportedFeature(
                    f"'{self.filename}': the server does not answer range requests",
                    path=self.filename,
                    hint="Download the file, or use a server that tells 'Accept-Ranges: bytes'.",
                )
            _, _, self.size = self._range_of(response)
            self.version = version_of(response)
            first = min(BLOCK, self.size)
            self._check(response, 0, first)
            content = bytearray(first)
            got, _ = self._receive(response, memoryview(content))
        self.fetch(got, memoryview(content)[got:])
        self._blocks[0] = bytes(content)

    def _ask(self, offset: int, length: int) -> BaseHTTPResponse:
        from urllib3.exceptions import HTTPError

        headers = {**self.headers, "Range": f"bytes={offset}-{offset + length - 1}", "Accept-Encoding": "identity"}
        try:
            return self.pool.request("GET", self.filename, headers=headers, preload_content=False)
        except HTTPError as error:
            raise self._failure(plain(error), offset) from error

    def _check(self, response: BaseHTTPResponse, offset: int, length: int) -> None:
        """Raise unless the answer is the range that was asked for, of the file that was opened."""
        if response.status != PARTIAL:
            raise self._refusal(response, offset)
        first, last, size = self._range_of(response)
        if (first, last) != (offset, offset + length - 1):
            raise self._failure(f"the server sends bytes {first}-{last} instead of {length} from {offset}", offset)
        if size != self.size or version_of(response) != self.version:
            raise self._failure("the file has changed while it was read", offset)

    def _range_of(self, response: BaseHTTPResponse) -> tuple[int, int, int]:
        """First byte, last byte and the file's size, as Content-Range has them."""
        if response.status != PARTIAL:
            raise self._refusal(response, 0)
        text = response.headers.get("Content-Range", "")
        unit, _, rest = text.partition(" ")
        span, _, size = rest.partition("/")
        first, _, last = span.partition("-")
        if unit != "bytes" or not all(part.isascii() and part.isdecimal() for part in (first, last, size)):
            raise self._failure(f"the server sends no usable Content-Range: {text[:80]!r}", 0)
        if int(size) > LARGEST_SIZE:
            raise self._failure(f"the server says that the file has {size[:40]} bytes", 0)
        return int(first), int(last), int(size)

    def _receive(self, response: BaseHTTPResponse, buffer: memoryview) -> tuple[int, str | None]:
        """Fill `buffer`; what the server may send beyond it is not read. How many bytes came, and why not all."""
        from urllib3.exceptions import HTTPError

        got = 0
        try:
            while got < len(buffer):
                count = response.readinto(buffer[got : got + BLOCK])  # of a piece that breaks off nothing is left
                if not count:
                    return got, f"the answer ends after {got} of {len(buffer)} bytes"
                got += count
            if response.length_remaining == 0:
                response.release_conn()  # for the next request; else it is closed
        except (HTTPError, OSError) as error:
            return got, plain(error)
        return got, None

    def _refusal(self, response: BaseHTTPResponse, offset: int) -> ImageError:
        kinds: dict[int, type[ImageError]] = {401: AccessDenied, 403: AccessDenied, 404: NotFound, 410: NotFound}
        reason = "".join(filter(str.isprintable, response.reason or ""))[:80]
        kind = kinds.get(response.status, InputOutput)
        return kind(f"'{self.filename}': the server answers {response.status} {reason}", path=self.filename)

    def _failure(self, what: str, offset: int) -> InputOutput:
        return InputOutput(f"could not read '{self.filename}': {what}", path=self.filename, offset=offset)


def version_of(response: BaseHTTPResponse) -> str | None:
    return response.headers.get("ETag") or response.headers.get("Last-Modified")


def plain(error: Exception) -> str:
    """The innermost reason for a failure, in a few words."""
    for reason in (getattr(error, "reason", None), *error.args[1:]):
        if isinstance(reason, Exception):
            return plain(reason)
    text = str(error).rpartition("): ")[2]
    return "".join(filter(str.isprintable, text))[:200]


def without_credentials(url: str) -> tuple[str, str, str]:
    """A URL without the user and the password that it may have, and those."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise BadOption(f"'{url}' is not a URL", path=url) from None
    if "@" not in parts.netloc:
        return url, "", ""
    plain = parts._replace(netloc=parts.netloc.rpartition("@")[2])
    return plain.geturl(), unquote(parts.username or ""), unquote(parts.password or "")


class HttpDriver(Driver):
    """A file on a web server, for reading."""

    is_protocol = True
    children = ()
    open_options = (
        Option("url", "text", "where the file is", identity=True),
        Option("readahead", "size", f"bytes, at most, that are read ahead ({READAHEAD >> 20}M)"),
        Option("timeout", "int", f"seconds without an answer after which the server is given up ({TIMEOUT})"),
        Option("sslverify", "bool", "look at the server's certificate"),
        Option("cookie", "text", "a cookie to send"),
        Option("username", "text", "who to say that one is, with `password`"),
        Option("password", "text", "the password for `username`"),
    )

    def __init__(self, name: str) -> None:
        self.name = name

    def open_node(self, children: dict[str, Node], context: Context) -> Node:
        try:
            import urllib3
        except ImportError as error:
            raise UnsupportedFeature(
                "reading from web servers needs urllib3", hint="pip install 'imgtools[remote]'"
            ) from error
        options = context.options
        if not options.get("url"):
            raise BadOption(f"The '{self.name}' block driver requires a url")
        if context.writable:
            raise ReadOnly("images on web servers can only be read", path=options["url"])
        url, username, password = without_credentials(options["url"])
        headers = {"Cookie": options["cookie"]} if "cookie" in options else {}
        if username := options.get("username", username):
            headers |= urllib3.make_headers(basic_auth=f"{username}:{options.get('password', password)}")
        if not options.get("sslverify", True):
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)  # the user has asked for it
        pool = urllib3.PoolManager(
            maxsize=CONNECTIONS,
            retries=urllib3.Retry(TRIES, redirect=REDIRECTS, backoff_factor=0.1),
            timeout=options.get("timeout", TIMEOUT),
            cert_reqs="CERT_REQUIRED" if options.get("sslverify", True) else "CERT_NONE",
        )
        return HttpNode(url, pool, headers, options.get("readahead", READAHEAD))

    def parse_name(self, name: str) -> dict[str, Any]:
        return {"url": name}

    def plain_name(self, options: dict[str, Any], children: dict[str, Node]) -> str | None:
        url: str = options["url"]
        return url


DRIVERS = (HttpDriver("http"), HttpDriver("https"))
