"""Typed DNS answers."""
