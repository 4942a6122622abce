"""DKIM signatures over composed messages."""
