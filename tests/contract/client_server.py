"""A small real server that says exactly the bytes it is told, and the client that faces it."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

from engine.broker import OpenAlgoClient
from engine.broker.requests import OrderRequest
from engine.domain.instruments import Action, Exchange, Product

KEY = "made-up-key-5f2c"
ORDER = OrderRequest("contract", "NIFTY01DEC2626000CE", Exchange.NFO, Action.BUY, 65, Product.NRML)
PLACED = b'{"orderid": "26112", "status": "success"}'


def http(body: bytes, status: str = "200 OK", headers: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Server:
    """Accepts connections, keeps every byte, and answers each whole request with what it is told."""

    def __init__(self, answer: Callable[[bytes], bytes | None] | bytes | None) -> None:
        self.answer = answer
        self.requests: list[bytes] = []
        self.connections = 0
        self.bytes_seen = 0
        self.done = threading.Condition()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        with peer:
            buffer = b""
            while chunk := self._receive(peer):
                buffer += chunk
                self.bytes_seen += len(chunk)
                head, found, rest = buffer.partition(b"\r\n\r\n")
                if not found:
                    continue
                length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
                if len(rest) < length:
                    continue
                self.requests.append(rest[:length])
                buffer = rest[length:]
                answer = self.answer(rest) if callable(self.answer) else self.answer
                if answer is None:
                    break
                peer.sendall(answer)
                if not answer.startswith(b"HTTP/1.1"):
                    break
        with self.done:
            self.done.notify_all()

    @staticmethod
    def _receive(peer: socket.socket) -> bytes:
        try:
            return peer.recv(65536)
        except OSError:
            return b""


def client(url: str, **options: Any) -> OpenAlgoClient:
    return OpenAlgoClient(url, KEY, label="father", **options)


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition never came true"
        time.sleep(0.005)


def requests_of(peer: socket.socket) -> Iterator[bytes]:
    """Every whole request that comes over a connection."""
    buffer = b""
    while chunk := peer.recv(65536):
        buffer += chunk
        head, found, rest = buffer.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]) if found else 0
        if found and len(rest) >= length:
            yield rest[:length]
            buffer = rest[length:]


@contextmanager
def scripted(script: Callable[[socket.socket], None]) -> Iterator[str]:
    """The address of a server that does with every connection what the script says, then closes it."""
    listener = socket.create_server(("127.0.0.1", 0))

    def one(peer: socket.socket) -> None:
        with peer, suppress(OSError):
            script(peer)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=one, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    with closing(listener):
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
