"""Who is calling: authenticators tried in order."""
