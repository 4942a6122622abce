"""The SMTP server: a process of its own beside the Function App, that takes mail for the same pipeline."""
