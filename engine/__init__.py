"""AlgoMirror's engine: sizes, sends, watches and exits; knows no browser."""

__version__ = "0.1.0"
