"""Sending domains, the services they are linked to, and their DKIM keys."""
