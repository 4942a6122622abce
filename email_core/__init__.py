"""Postrider's mail core: from an accepted request to one final outcome for every recipient."""
