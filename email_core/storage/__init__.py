"""The only code that talks to Azure Storage."""
