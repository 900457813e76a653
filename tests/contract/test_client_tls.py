"""Orders over TLS: a server that is trusted gets one, a server that is not gets no byte."""

import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from engine.broker.answers import NoAnswer, NotSent, Placed
from tests.contract.client_server import ORDER, PLACED, client, http, requests_of


class TlsServer:
    """Shows a certificate that it signed itself; keeps what it was asked."""

    def __init__(self, folder: Path) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "made up")])
        now = datetime.now(UTC)
        self.certificate = folder / "certificate.pem"
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
            .sign(key, hashes.SHA256())
        )
        self.certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        private = folder / "key.pem"
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(self.certificate, private)
        self.requests: list[bytes] = []
        self.answer: bytes | None = http(PLACED)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def trusted(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.certificate))

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=(self.listener.accept()[0],), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        with plain, suppress(OSError), self.context.wrap_socket(plain, server_side=True) as peer:
            for request in requests_of(peer):
                self.requests.append(request)
                if self.answer is None:
                    return
                peer.sendall(self.answer)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[TlsServer]:
    made = TlsServer(tmp_path)
    yield made
    made.listener.close()


def test_orders_go_over_tls_to_a_server_that_is_trusted(server: TlsServer) -> None:
    asked: list[int] = []
    with client(server.url, ssl_context=server.trusted()) as broker:
        outcomes = [broker.place_order(ORDER, before_write=lambda: asked.append(len(server.requests))) for _ in "12"]
    assert outcomes == [Placed("26112"), Placed("26112")]
    assert asked == [0, 1], "asked after the handshake and before each request"


def test_a_server_that_nobody_vouches_for_gets_no_byte(server: TlsServer) -> None:
    with client(server.url) as broker:
        assert isinstance(broker.place_order(ORDER, before_write=pytest.fail), NotSent)
    assert server.requests == []


def test_a_cut_after_the_request_is_no_answer_over_tls_too(server: TlsServer) -> None:
    server.answer = None
    with client(server.url, ssl_context=server.trusted()) as broker:
        assert isinstance(broker.place_order(ORDER), NoAnswer)
    assert len(server.requests) == 1
