"""From an accepted request to signed bytes and envelopes."""
