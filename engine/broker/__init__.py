"""OpenAlgo servers: REST client, stream and what their answers prove."""
