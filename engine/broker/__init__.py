"""OpenAlgo's REST and WebSocket, typed: clients, streams, outcomes of orders, send limit, funds models."""

from engine.broker.client import OpenAlgoClient

__all__ = ["OpenAlgoClient"]
