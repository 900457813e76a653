"""Numba kernels: compiled when first used, kept in numba's cache, and working without one (DESIGN 8).

The cache is a convenience: a start finds machine code instead of compiling for a second. Where it cannot be had — a
read-only installation, a full disk, a file another release left behind — the kernel is compiled for this process alone.

The cache files of a kernel carry a digest of its source. Numba tells stale machine code by the index beside it only; a
disk that fills up between the two, or another process reading between them, would bring back the code of yesterday.

Importing this module imports numba (a quarter of a second): nothing that the engine loads at its start may need it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

import numba

Function = TypeVar("Function", bound=Callable[..., Any])

OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
"""No ``fastmath``: every product, sum and quotient is rounded by itself, as Pine rounds it. A period is never zero, so
that numpy's way of dividing saves the check."""

_compiling = Lock()


def formula(function: Function) -> Function:
    """Make a function a formula that kernels call; it is compiled into each of them."""
    compiled: Function = numba.njit(**OPTIONS)(function)
    return compiled


class Kernel:
    """One function over arrays, with the one signature it is compiled for.

    ``uncached`` says after the first ``ready`` why the kernel had to be compiled without a cache; None where the cache
    serves. Kernels let go of the interpreter's lock and keep nothing between calls: threads may call them at once.
    """

    def __init__(self, function: Callable[..., Any], *signature: Any) -> None:
        self.name = function.__name__
        self.uncached: str | None = None
        self._function = function
        self._signature = signature
        self._ready: Callable[..., Any] | None = None

    def ready(self) -> Callable[..., Any]:
        """Return the compiled function; the first call compiles it or reads it from the cache."""
        if self._ready is None:
            with _compiling:
                if self._ready is None:
                    self._ready = self._compiled()
        return self._ready

    def _compiled(self) -> Callable[..., Any]:
        try:
            return self._compile(cache=True)
        except Exception as problem:  # noqa: BLE001  whatever ails the cache, the kernel itself needs none
            self.uncached = f"{type(problem).__name__}: {problem}"
        return self._compile(cache=False)

    def _compile(self, *, cache: bool) -> Callable[..., Any]:
        if cache:
            source = Path(inspect.getfile(self._function)).read_bytes()
            self._function.__qualname__ = f"{self.name}-{sha256(source).hexdigest()[:16]}"
        dispatcher: Any = numba.njit(cache=cache, **OPTIONS)(self._function)
        dispatcher.compile(self._signature)
        dispatcher.disable_compile()
        compiled: Callable[..., Any] = dispatcher
        return compiled


def kernel(*signature: Any) -> Callable[[Callable[..., Any]], Kernel]:
    """Make a function the kernel of ``signature`` (numba types, in the order of its arguments)."""

    def made(function: Callable[..., Any]) -> Kernel:
        return Kernel(function, *signature)

    return made
