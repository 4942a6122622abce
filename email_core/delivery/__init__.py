"""From signed bytes to an outcome per recipient."""
