"""The paper exchange: a server that speaks OpenAlgo's REST and websocket, with its own market and books."""
