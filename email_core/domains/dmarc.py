"""DMARC (RFC 7489): the policy that holds for a domain, and whether a domain that was authenticated is aligned with it."""

from __future__ import annotations

from dataclasses import dataclass

from email_core.domains.domain_names import registrable_domain
from email_core.domains.judgement import dmarc_values, tag_list
from email_core.domains.observation import Observations

_POLICIES = ("none", "quarantine", "reject")
_MOST_PERCENT = 100


@dataclass(frozen=True, slots=True)
class Policy:
    """The policy that holds for a domain. `name` is where its record stands, that of the domain itself or the one above.

    `applied` is what receivers do with mail of the domain, `below` with mail of its sub-domains.
    """

    name: str
    value: str
    applied: str
    below: str
    percent: int = _MOST_PERCENT
    reports: str = ""
    strict_dkim: bool = False
    strict_spf: bool = False


def policy_of(seen: Observations) -> Policy | None:
    """The policy that holds for the domain that was looked at; None when there is none that counts (section 6.6.3)."""
    own = f"_dmarc.{seen.domain}"
    values = dmarc_values(seen.look(own, "TXT").records)
    if values or seen.domain == seen.organisation:
        return _policy(own, values, inherited=False)
    above = f"_dmarc.{seen.organisation}"
    return _policy(above, dmarc_values(seen.look(above, "TXT").records), inherited=True)


def is_aligned(authenticated: str, author: str, *, strict: bool) -> bool:
    """Whether the domain of a signature or of a reverse-path stands for that of the From address (section 3.1)."""
    if strict or authenticated == author:
        return authenticated == author
    organisation = registrable_domain(author)
    return bool(organisation) and registrable_domain(authenticated) == organisation


def _policy(name: str, values: list[str], *, inherited: bool) -> Policy | None:
    if len(values) != 1:
        return None
    tags = tag_list(values[0])
    policy = tags.get("p", "").lower()
    if policy not in _POLICIES:
        return None
    below = tags.get("sp", "").lower()
    below = below if below in _POLICIES else policy
    percent = tags.get("pct", "")
    return Policy(
        name,
        values[0],
        applied=below if inherited else policy,
        below=below,
        percent=min(int(percent), _MOST_PERCENT) if percent.isdecimal() and len(percent) <= 3 else _MOST_PERCENT,
        reports=tags.get("rua", ""),
        strict_dkim=tags.get("adkim", "").lower() == "s",
        strict_spf=tags.get("aspf", "").lower() == "s",
    )
