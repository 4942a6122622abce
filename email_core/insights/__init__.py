"""What happened, kept for search and for figures."""
