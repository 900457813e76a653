"""The running engine: core, hands, feeds, lease and the place where all is built."""
