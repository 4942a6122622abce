"""Addresses, drafts and the MIME generator, pure."""
