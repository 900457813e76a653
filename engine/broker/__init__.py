"""OpenAlgo's REST and WebSocket, typed: clients, outcomes of orders, rate limit, funds models."""

from engine.broker.client import OpenAlgoClient

__all__ = ["OpenAlgoClient"]
