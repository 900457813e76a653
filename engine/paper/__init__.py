"""The paper exchange: a real server that speaks the wire of OpenAlgo."""
