"""The ACS Email wire contract, pure."""
