"""Serves the page of a run to a browser on this machine."""

from __future__ import annotations

import gzip
import hmac
import logging
import secrets
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from syne_hypersched import checks
from syne_hypersched.experiments.page._data import PageData, encode
from syne_hypersched.experiments.page._html import render
from syne_hypersched.experiments.page._reader import RunReader

logger = logging.getLogger(__name__)

HOST = "127.0.0.1"
#: Seconds after which files are read again; pages that ask sooner get what is known.
_FRESH_S = 0.2
#: Answers below this size are sent as they are.
_LEAST_ZIPPED = 2_000


class PageServer:
    """Serves the live page of a run on the loopback interface.

    .. code-block:: python

        server = PageServer(RunReader("my-experiment"))
        print(server.address)
        server.serve()  # until it is closed

    The address has a new random token each time, so that other users and other pages on this machine cannot
    read the run. Nothing can be written through it, and files are read only when a page asks.

    Parameters
    ----------
    reader
        The run.
    port
        The port; 0 takes a free one.

    Raises
    ------
    TypeError, ValueError
        ``port`` is not an integer from 0 to 65535.
    OSError
        The port is in use, or may not be used.
    ModuleNotFoundError
        plotly is not installed.
    """

    def __init__(self, reader: RunReader, port: int = 0) -> None:
        checks.integer("port", port, 0, 65535)
        self.token = secrets.token_urlsafe(24)
        self._reader = reader
        self._data = PageData(reader)
        self._lock = threading.Lock()
        self._read_at = -1.0
        self._page = gzip.compress(render(reader.path.name, None).encode(), 5)
        self._server = _LoopbackServer((HOST, port), _PageHandler)
        self._server.owner = self

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._server.server_address[1])

    @property
    def address(self) -> str:
        """The address of the page, with its token."""
        return f"http://{HOST}:{self.port}/{self.token}/"

    def serve(self) -> None:
        """Answers until :meth:`close` is called by another thread."""
        self._server.serve_forever(poll_interval=0.2)

    def close(self) -> None:
        """Ends :meth:`serve`, which runs in another thread, and gives the port back."""
        self._server.shutdown()
        self.end()

    def end(self) -> None:
        """Gives the port back once :meth:`serve` has ended."""
        self._server.server_close()

    def page(self) -> bytes:
        """The page, compressed by gzip."""
        return self._page

    def data(self, since: int, generation: int) -> bytes:
        """What is new in the run, as JSON.

        Parameters
        ----------
        since, generation
            What the page has: ``seq`` and ``generation`` of the last answer.
        """
        with self._lock:
            if time.monotonic() - self._read_at > _FRESH_S:
                self._reader.update()
                self._read_at = time.monotonic()
            known = since if generation == self._reader.generation and 0 <= since <= self._reader.state.seq else 0
            return encode(self._data.collect(known)).encode()


class _LoopbackServer(ThreadingHTTPServer):
    daemon_threads = True
    # The port of a server that has just ended can be had at once, but never one that somebody listens on.
    allow_reuse_address = True
    owner: PageServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away in the middle of an answer is no error."""
        logger.debug("A request of %s has failed.", client_address, exc_info=True)


class _PageHandler(BaseHTTPRequestHandler):
    """Answers to GET for the page and its data, and to nothing else."""

    server: _LoopbackServer
    # A connection for each answer: none outlives the server.
    protocol_version = "HTTP/1.0"
    server_version, sys_version = "hypersched", ""
    timeout = 60

    def do_GET(self) -> None:
        """Sends the page or what is new."""
        owner, target = self.server.owner, urlsplit(self.path)
        # A page of another site may have its name point to this machine; it then asks for that name.
        hosts = {f"{HOST}:{owner.port}", f"localhost:{owner.port}"}
        token, _, name = target.path.removeprefix("/").partition("/")
        if self.headers.get("Host") not in hosts or not hmac.compare_digest(token.encode(), owner.token.encode()):
            self.send_error(HTTPStatus.FORBIDDEN, "the address needs its token")
            return
        if name == "":
            self._send(owner.page(), "text/html; charset=utf-8", is_zipped=True)
        elif name == "data":
            asked = parse_qs(target.query)
            since, generation = (_integer(asked.get(key, ["0"])[0]) for key in ("since", "generation"))
            self._send(owner.data(since, generation), "application/json")
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def _send(self, content: bytes, kind: str, is_zipped: bool = False) -> None:
        if not is_zipped and len(content) >= _LEAST_ZIPPED:
            content, is_zipped = gzip.compress(content, 1), True
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        if is_zipped:
            self.send_header("Content-Encoding", "gzip")
        for header, value in (
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            ("X-Frame-Options", "DENY"),
            ("Referrer-Policy", "no-referrer"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
        ):
            self.send_header(header, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not printed: their addresses have the token."""


def _integer(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0
