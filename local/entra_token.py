"""A token of Entra for whoever azure-identity finds signed in: the environment, a managed identity, the Azure CLI."""

from __future__ import annotations

from azure.core.exceptions import ClientAuthenticationError
from azure.identity import DefaultAzureCredential

from local.http_call import NoToken


class EntraToken:
    """Gives tokens for one scope; azure-identity keeps and renews them."""

    def __init__(self, scope: str) -> None:
        self._credential = DefaultAzureCredential()
        self._scope = scope

    def __call__(self) -> str:
        """A token. Raises NoToken."""
        try:
            return self._credential.get_token(self._scope).token
        except ClientAuthenticationError as error:
            raise NoToken(f"azure-identity has no token for {self._scope}: {error.message}") from error
