"""A paper exchange in a process of its own, for tests that need a real counterpart over real HTTP and websocket.

    with PaperServer() as paper:
        paper.add_account("key-a", funds=1_000_000)
        paper.call("placeorder", apikey="key-a", strategy="t", symbol=..., ...)
        assert paper.books("key-a")["realised_paise"] == 0

``url`` is the REST host that an account is connected with, ``ws_url`` its websocket. ``books`` is the truth that tests
assert on: money in paise, orders, trades and positions as the exchange holds them.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx
from websockets.sync.client import ClientConnection, connect

ROOT = Path(__file__).resolve().parents[1]
MARKET = ROOT.parent / "shared" / "market"
START_SECONDS = 15.0
T = TypeVar("T")


class PaperServer:
    """Started on a free port with its control surface open; the same port again after ``restart``."""

    def __init__(
        self,
        *,
        seed: int = 1,
        state: Path | None = None,
        replay: Path | None = None,
        replay_date: date | None = None,
        speed: float = 1.0,
        hold_replay: bool = False,
        tick_seconds: float | None = None,
        rate_limits: bool = False,
        auth_seconds: float | None = None,
        ping_seconds: float | None = None,
    ) -> None:
        options = ["--seed", str(seed), "--control"]
        if state is not None:
            options += ["--state", str(state)]
        if replay is not None and replay_date is not None:
            options += ["--replay", str(replay), "--date", replay_date.isoformat(), "--speed", str(speed)]
        if hold_replay:
            options.append("--hold-replay")
        if tick_seconds is not None:
            options += ["--tick-seconds", str(tick_seconds)]
        if auth_seconds is not None:
            options += ["--auth-seconds", str(auth_seconds)]
        if ping_seconds is not None:
            options += ["--ping-seconds", str(ping_seconds)]
        self._options = options
        self._rate_limits = rate_limits
        self._process: subprocess.Popen[str] | None = None
        self._http = httpx.Client(timeout=10.0)
        self.port = 0
        self.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the process and wait until it says that it is ready."""
        command = [sys.executable, "-m", "engine.paper", "--port", str(self.port), *self._options]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if "ready" not in line:
            raise RuntimeError(f"the paper exchange did not start: {line!r}, exit code {self._process.poll()}")
        self.port = int(line.rsplit(":", 1)[1])
        if not self._rate_limits:
            self.control("rate_limits", enabled=False)

    def stop(self) -> None:
        """Ask the process to end and wait for it."""
        self._end(kill=False)
        self._http.close()

    def kill(self) -> None:
        """kill -9, as a crash."""
        self._end(kill=True)

    def restart(self) -> None:
        """Start again on the same port, after ``kill``; a state file gives the books back."""
        self._http.close()
        self._http = httpx.Client(timeout=10.0)
        self.start()

    def control(self, path: str, **body: Any) -> dict[str, Any]:
        """POST to the control surface; an answer other than 200 fails the test."""
        answer = self._http.post(f"{self.url}/control/{path}", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def add_account(
        self, api_key: str, funds: float = 10_000_000, name: str | None = None, **switches: str | bool
    ) -> None:
        """Open an account; ``switches`` are face, semi_auto, token, liquidity as ``change`` has them."""
        self.control("accounts", api_key=api_key, name=name or api_key, funds=funds, **switches)

    def change(self, api_key: str, **switches: str | bool) -> dict[str, Any]:
        """Set switches of an account, others stay: face (analyze, live), semi_auto, token (good, dead, revoked),
        liquidity (touch, displayed). Gives all of them back."""
        return self.control("account", api_key=api_key, **switches)

    def pending(self, api_key: str) -> list[dict[str, Any]]:
        """Orders that wait for approval: number, kind, payload, ..."""
        return self.control("approvals", api_key=api_key)["pending"]

    def approve(self, api_key: str, number: int) -> dict[str, Any]:
        """Carry a queued order out; gives back its verdict and outcome."""
        return self.control("approvals", api_key=api_key, approve=number)["decided"]

    def reject(self, api_key: str, number: int) -> dict[str, Any]:
        """Decline a queued order."""
        return self.control("approvals", api_key=api_key, reject=number)["decided"]

    def shift(self, symbol: str, exchange: str, percent: float) -> None:
        """Move an index or a share by a percentage, from now on."""
        self.control("price", symbol=symbol, exchange=exchange, shift_percent=percent)

    def set_price(self, symbol: str, exchange: str, ltp: float) -> None:
        """Hold a price (any contract; an index takes its derivatives along) until ``clear_prices``."""
        self.control("price", symbol=symbol, exchange=exchange, ltp=ltp)

    def clear_prices(self) -> None:
        self.control("price", clear=True)

    def replay(self, action: str) -> None:
        """``start``, ``restart`` or ``hold``."""
        self.control("replay", action=action)

    def fault(self, kind: str, endpoint: str = "*", **fields: Any) -> None:
        """Script what happens to the next calls: count, seconds, fraction, message, api_key as the kind needs them."""
        self.control("faults", kind=kind, endpoint=endpoint, **fields)

    def clear_faults(self) -> None:
        self.control("faults", clear=True)

    def books(self, api_key: str, face: str | None = None) -> dict[str, Any]:
        """Everything of an account in its present mode or in ``face``: funds_paise, realised_paise, orders, trades,
        positions, holdings, gtts."""
        return self._read("books", api_key, **({} if face is None else {"face": face}))

    def requests(self, api_key: str) -> list[dict[str, Any]]:
        """Order calls in the order of arrival: at, endpoint, body, status_code."""
        return self._read("requests", api_key)

    def suffered(self, api_key: str) -> list[dict[str, Any]]:
        """Faults that happened to calls of an account, in their order: at, kind, endpoint."""
        return self._read("suffered", api_key)

    def net(self, api_key: str, symbol: str) -> int:
        """Net quantity in a symbol over all products."""
        return sum(row["quantity"] for row in self.books(api_key)["positions"] if row["symbol"] == symbol)

    def post(self, endpoint: str, **body: Any) -> httpx.Response:
        """A REST call as a client makes it."""
        return self._http.post(f"{self.url}/api/v1/{endpoint}", json=body)

    def call(self, endpoint: str, **body: Any) -> dict[str, Any]:
        """A REST call that must succeed."""
        answer = self.post(endpoint, **body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def place(self, api_key: str, symbol: str, action: str = "BUY", quantity: int = 65, **fields: Any) -> str:
        """An order that must be taken (MARKET, NRML, NFO unless said otherwise); gives its id."""
        body = {"apikey": api_key, "strategy": "test", "symbol": symbol, "exchange": "NFO", "product": "NRML"}
        return str(self.call("placeorder", **(body | {"action": action, "quantity": quantity} | fields))["orderid"])

    def expiry(self, underlying: str = "NIFTY", exchange: str = "NFO", *, number: int = 1, api_key: str) -> str:
        """A listed option expiry in the form of symbols (01DEC26); by default the second, which is never today."""
        body = self.call("expiry", apikey=api_key, symbol=underlying, exchange=exchange, instrumenttype="options")
        return str(body["data"][number]).replace("-", "")

    def option(self, api_key: str, kind: str = "CE", offset: int = 0, underlying: str = "NIFTY") -> str:
        """The symbol of a listed option at a distance of ``offset`` strikes (upward) from the money."""
        index = {"SENSEX": "BSE_INDEX", "BANKEX": "BSE_INDEX"}.get(underlying, "NSE_INDEX")
        segment = "BFO" if index == "BSE_INDEX" else "NFO"
        day = self.expiry(underlying, segment, api_key=api_key)
        width = max(abs(offset), 1)
        chain = self.call(
            "optionchain", apikey=api_key, underlying=underlying, exchange=index, expiry_date=day, strike_count=width
        )["chain"]
        return str(chain[width + offset][kind.lower()]["symbol"])

    @contextlib.contextmanager
    def socket(self, api_key: str | None = None) -> Iterator[Socket]:
        """A websocket, authenticated if a key is given."""
        with connect(self.ws_url, compression=None) as connection:
            socket = Socket(connection)
            if api_key is not None:
                assert socket.ask(action="authenticate", api_key=api_key)["status"] == "success"
            yield socket

    def _read(self, path: str, api_key: str, **query: str) -> Any:
        answer = self._http.get(f"{self.url}/control/{path}", params={"api_key": api_key, **query})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def _end(self, *, kill: bool) -> None:
        if self._process is None:
            return
        if kill:
            self._process.kill()
        else:
            self._process.terminate()
        self._process.wait(START_SECONDS)
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._process = None


class Socket:
    """A websocket client that speaks JSON frames."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    def send(self, **request: Any) -> None:
        self.connection.send(json.dumps(request))

    def receive(self, seconds: float = 5.0) -> dict[str, Any]:
        """The next frame. Raises TimeoutError if none comes."""
        return json.loads(self.connection.recv(timeout=seconds))

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send and give back the next frame that is no tick and no push."""
        self.send(**request)
        return self.expect(lambda frame: frame.get("type") not in {"market_data", "order_update"})

    def expect(self, wanted: Callable[[dict[str, Any]], bool], seconds: float = 5.0) -> dict[str, Any]:
        """The first frame that fits, others are passed over. Raises TimeoutError if none comes in time."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            frame = self.receive(left)
            if wanted(frame):
                return frame
        raise TimeoutError("no such frame in time")


def wait_until(
    read: Callable[[], T], wanted: Callable[[T], bool] = bool, *, seconds: float = 5.0, every: float = 0.02
) -> T:
    """Read until the value fits and give it back; fails with the last value after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not wanted(value := read()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not reached within {seconds} s: {value!r}")
        time.sleep(every)
    return value
