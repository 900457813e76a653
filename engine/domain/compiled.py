"""Numba kernels: compiled when first used, kept in numba's cache, and working without one (DESIGN 8).

The cache is a convenience: a start finds machine code instead of compiling for a second. Where it cannot be had — a
read-only installation, a full disk, a file another release left behind — the kernel is compiled for this process alone.

The cache files of a kernel carry a digest of its source and of the numbers it takes from elsewhere. Numba tells stale
machine code by the index beside it only, and looks at the kernel's own file: a disk that fills up between the two, or a
number changed in another file, would bring back the code of yesterday.

Importing this module imports numba (a quarter of a second): nothing that the engine loads at its start may need it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from hashlib import sha256
from numbers import Number
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
    """Make a function a formula that kernels of its file call; it is compiled into each of them."""
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
        """Return the compiled function; the first call compiles it or reads it from the cache.

        Raises RuntimeError where numba is told not to compile: a kernel is written for the processor, not for Python.
        """
        if self._ready is None:
            with _compiling:
                if self._ready is None:
                    self._ready = self._compiled()
        return self._ready

    def _compiled(self) -> Callable[..., Any]:
        settings: Any = numba.config  # its names are made when it is loaded
        if settings.DISABLE_JIT:
            raise RuntimeError(f"NUMBA_DISABLE_JIT is set, and {self.name} works as machine code only: unset it")
        try:
            return self._compile(cache=True)
        except Exception as problem:  # noqa: BLE001  whatever ails the cache, the kernel itself needs none
            self.uncached = f"{type(problem).__name__}: {problem}"
        return self._compile(cache=False)

    def _compile(self, *, cache: bool) -> Callable[..., Any]:
        if cache:
            self._function.__qualname__ = f"{self.name}-{_digest(self._function)}"
        dispatcher: Any = numba.njit(cache=cache, **OPTIONS)(self._function)
        dispatcher.compile(self._signature)
        dispatcher.disable_compile()
        compiled: Callable[..., Any] = dispatcher
        return compiled


def _digest(function: Callable[..., Any]) -> str:
    """Digest of all that the machine code is made of: the file of the kernel, this one, and numbers from others."""
    sources = (Path(place).read_bytes() for place in (inspect.getfile(function), __file__))
    numbers = sorted((name, repr(value)) for name, value in function.__globals__.items() if isinstance(value, Number))
    return sha256(b"".join(sources) + repr(numbers).encode()).hexdigest()[:16]


def kernel(*signature: Any) -> Callable[[Callable[..., Any]], Kernel]:
    """Make a function the kernel of ``signature`` (numba types, in the order of its arguments)."""

    def made(function: Callable[..., Any]) -> Kernel:
        return Kernel(function, *signature)

    return made
