"""What can be wrong with a domain's records in the DNS: a code for each, what it means, and what its owner does about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

MOST_SHOWN = 5  # values that a finding quotes
LONGEST_SHOWN = 240  # characters of each: a zone may hold 60 KB, and a document of ours may not


class DnsFault(StrEnum):
    """The `errorCode` of a record that failed, and of what a look warns about."""

    RECORD_MISSING = "RecordMissing"
    DOMAIN_NOT_IN_DNS = "DomainNotInDns"
    WRONG_NAME = "RecordAtWrongName"
    ZONE_APPENDED = "ZoneAppendedTwice"
    AT_APEX = "RecordAtApex"
    AT_PARENT = "RecordAtParentDomain"
    NO_DOMAINKEY = "DomainkeyLabelMissing"
    WILDCARD = "WildcardAnswer"
    CNAME_AT_DOMAIN = "CnameAtDomain"
    CNAME_BESIDE = "CnameBesideOtherRecords"
    CNAME_FOR_TXT = "CnameInsteadOfTxt"
    TXT_FOR_CNAME = "TxtInsteadOfCname"
    WRONG_TARGET = "WrongCnameTarget"
    TARGET_ZONE_APPENDED = "ZoneAppendedToTarget"
    EMPTY_VALUE = "EmptyValue"
    QUOTES = "QuotesInValue"
    BACKSLASHES = "BackslashesInValue"
    LINE_BREAK = "LineBreakInValue"
    CASE_CHANGED = "LetterCaseChanged"
    TRUNCATED = "ValueTruncated"
    PREFIX_MISSING = "TokenPrefixMissing"
    WRONG_TOKEN = "WrongToken"  # noqa: S105
    OWNED_ELSEWHERE = "DomainOwnedElsewhere"
    DOMAIN_FIRST = "DomainNotVerified"
    KEY_WRONG = "WrongKey"
    KEY_OF_OTHER_SELECTOR = "KeyOfOtherSelector"
    KEY_TRUNCATED = "KeyTruncated"
    KEY_REVOKED = "KeyRevoked"
    KEY_INVALID = "KeyRecordInvalid"
    KEY_SPLIT = "KeySplitIntoRecords"
    KEY_SEVERAL = "SeveralKeyRecords"
    KEY_UNPUBLISHED = "KeyNotPublishedYet"
    SPF_SEVERAL = "SeveralSpfRecords"
    SPF_INVALID = "SpfInvalid"
    SPF_INCLUDE_MISSING = "SpfIncludeMissing"
    SPF_INCLUDE_UNUSED = "SpfIncludeHasNoEffect"
    SPF_INCLUDE_BROKEN = "SpfIncludeBroken"
    SPF_SOFT_FAIL = "SpfSoftFail"
    SPF_NEUTRAL = "SpfNeutral"
    SPF_OPEN = "SpfPassesAll"
    SPF_NO_ALL = "SpfWithoutAll"
    SPF_LOOKUPS = "SpfTooManyLookups"
    SPF_VOID = "SpfTooManyVoidLookups"
    SPF_LOOP = "SpfLoop"
    DMARC_SEVERAL = "SeveralDmarcRecords"
    DMARC_INVALID = "DmarcInvalid"
    DMARC_POLICY = "DmarcPolicyInvalid"
    MX_WRONG = "WrongMailExchanger"
    MX_SEVERAL = "SeveralMailExchangers"
    OLD_VALUE = "OldValueCached"
    TIMED_OUT = "DnsTimeout"
    SERVER_FAILURE = "DnsServerFailure"
    REFUSED = "DnsRefused"
    LOOP = "DnsLoop"
    UNUSABLE = "DnsAnswerUnusable"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a look at one record came to. `code` is empty when all is well; a record that is verified may have one as a warning.

    `temporary`: nobody could tell, which is no fault of the record. `found` are values as they are published, shortened.
    """

    verified: bool
    code: DnsFault | None = None
    found: tuple[str, ...] = ()
    expected: str = ""
    reason: str = ""
    remedy: str = ""
    temporary: bool = False


_COMPLETE = "Publish the value exactly as it is shown, in one piece."
_ABSOLUTE = "Most DNS editors append the zone by themselves: enter the name as {relative}."
_WAIT = "Nothing has to be changed in the record. It is looked at again by itself."

# For each: why, and the remedy. {name}, {zone}, {relative}, {value}, {other} and so on are filled in by the diagnosis.
TEXTS: dict[DnsFault, tuple[str, str]] = {
    DnsFault.RECORD_MISSING: (
        "There is no such {type} record at {name}.",
        "Publish it. When that was done just now, wait until your DNS provider serves it: that takes minutes as a rule.",
    ),
    DnsFault.DOMAIN_NOT_IN_DNS: (
        "The name {name} does not exist in the DNS at all.",
        "See that the domain is registered and delegated to your name servers, and that its name is spelt right; then publish"
        " the record.",
    ),
    DnsFault.WRONG_NAME: ("The record is at {other} and not at {name}.", "Move it to {name}. " + _ABSOLUTE),
    DnsFault.ZONE_APPENDED: ("The record is at {other}: the zone was appended twice.", _ABSOLUTE),
    DnsFault.AT_APEX: ("The record is at {other} itself and not at {name}.", "Move it to {name}. " + _ABSOLUTE),
    DnsFault.AT_PARENT: (
        "The record is at {other}, which belongs to the domain above, and not at {name}.",
        "Publish it at {name}. " + _ABSOLUTE,
    ),
    DnsFault.NO_DOMAINKEY: (
        "The record is at {other}: the label _domainkey is missing in its name.",
        "Move it to {name}. " + _ABSOLUTE,
    ),
    DnsFault.WILDCARD: (
        "There is no record at {name} itself. What is answered comes from a wildcard record, which answers for every name.",
        "Publish the record at {name}: it takes the place of the wildcard there.",
    ),
    DnsFault.CNAME_AT_DOMAIN: (
        "{name} is a CNAME to {other}, so it can have no records of its own (RFC 1034 section 3.6.2).",
        "Replace the CNAME by A and AAAA records, or by the ALIAS or flattening of your DNS provider, and publish the TXT.",
    ),
    DnsFault.CNAME_BESIDE: (
        "A CNAME to {other} stands beside other records at {name}, which the DNS does not allow: receivers see the one or the"
        " other.",
        "Delete whichever of the two is not the record that is expected here.",
    ),
    DnsFault.CNAME_FOR_TXT: (
        "{name} is a CNAME to {other}, and a TXT with the value itself is expected.",
        "Delete the CNAME and publish the TXT.",
    ),
    DnsFault.TXT_FOR_CNAME: (
        "{name} has a TXT, and a CNAME is expected.",
        "Delete the TXT and publish a record of type CNAME that points to {value}.",
    ),
    DnsFault.WRONG_TARGET: ("The CNAME at {name} points to {other}.", "Let it point to {value}."),
    DnsFault.TARGET_ZONE_APPENDED: (
        "The CNAME at {name} points to {other}: the zone was appended to its target.",
        "Write the target with a dot at its end: {value}.",
    ),
    DnsFault.EMPTY_VALUE: ("The TXT at {name} is empty.", _COMPLETE),
    DnsFault.QUOTES: (
        "The value has quotation marks in it, which belong to a zone file and not to the value.",
        "Enter the value without any quotation marks.",
    ),
    DnsFault.BACKSLASHES: (
        "The value has backslashes in it, which belong to a zone file and not to the value.",
        "Enter the value without backslashes: a semicolon stays a semicolon.",
    ),
    DnsFault.LINE_BREAK: ("The value has blanks or line breaks inside.", _COMPLETE),
    DnsFault.CASE_CHANGED: (
        "The value is in other capital and small letters than it has to be.",
        "Publish it letter by letter as it is shown; when the editor changes it, ask the DNS provider.",
    ),
    DnsFault.TRUNCATED: ("The value ends too early.", _COMPLETE),
    DnsFault.PREFIX_MISSING: ("The token is there without what stands before it.", "Publish the whole value: {value}"),
    DnsFault.WRONG_TOKEN: (
        "There is a verification record with the token of another resource: of another domain resource, another"
        " installation, or of one that was deleted.",
        "Add the value that is shown. The other one may stay beside it.",
    ),
    DnsFault.OWNED_ELSEWHERE: (
        "This domain is verified for another resource of this installation, whose verification record is published, or was"
        " until a short while ago.",
        "When the domain is yours alone, take the other postrider-domain-verification record out of the DNS and verify again."
        " A domain that mail was sent from is given away when its grace is over.",
    ),
    DnsFault.DOMAIN_FIRST: (
        "The record of type Domain is not verified, and it comes first.",
        "Verify Domain; this record is looked at again by itself.",
    ),
    DnsFault.KEY_WRONG: (
        "The key at {name} is another one than this domain's: its p= begins with {other}.",
        "Replace the value by the one that is shown. It may be left from an earlier set-up, or of another domain.",
    ),
    DnsFault.KEY_OF_OTHER_SELECTOR: (
        "The key at {name} is that of {other}: the two were swapped.",
        "Publish each value at its own name.",
    ),
    DnsFault.KEY_TRUNCATED: (
        "The key ends after {count} of {most} characters.",
        "The value is longer than 255 characters: publish it whole, cut into several strings of one record where the editor"
        " wants that.",
    ),
    DnsFault.KEY_REVOKED: ("The key record has an empty p=, which says that the key was revoked.", _COMPLETE),
    DnsFault.KEY_INVALID: ("The TXT at {name} is no DKIM key record that can be used: {other}.", _COMPLETE),
    DnsFault.KEY_SPLIT: (
        "The key was cut into several TXT records, and a receiver does not put records together.",
        "Publish one TXT record; only inside of it may there be several strings.",
    ),
    DnsFault.KEY_SEVERAL: (
        "There are {count} TXT records at {name}; which of them a receiver takes is not defined (RFC 6376 section 3.6.2.2).",
        "Delete all of them but the one that is expected.",
    ),
    DnsFault.KEY_UNPUBLISHED: (
        "Your record is right, but {other}, where it leads to, does not have the key: that one is the platform's to publish.",
        "Nothing is left for you to do. The operator publishes the DKIM zone of the installation.",
    ),
    DnsFault.SPF_SEVERAL: (
        "There are {count} SPF records at {name}, and with more than one SPF fails for all mail (RFC 7208 section 4.5).",
        "Make one of them: v=spf1, then all their mechanisms, {value} among them, then -all.",
    ),
    DnsFault.SPF_INVALID: (
        "The SPF record can't be read at {other!r}, and then SPF fails for all mail (RFC 7208 section 4.6).",
        "Correct that term. The record begins with v=spf1 and a blank, and blanks separate its terms.",
    ),
    DnsFault.SPF_INCLUDE_MISSING: (
        "The SPF record does not have {value}.",
        "Add {value} to it, before its -all. There may be only one SPF record.",
    ),
    DnsFault.SPF_INCLUDE_UNUSED: (
        "The SPF record has {value}, and it has no effect there: {other}.",
        "Write {value} without a sign, before the all.",
    ),
    DnsFault.SPF_INCLUDE_BROKEN: (
        "The SPF record includes {other}, which has no SPF record, and then SPF fails for all mail (RFC 7208 section 5.2).",
        "Take that include out, or correct its name.",
    ),
    DnsFault.SPF_SOFT_FAIL: (
        "The SPF record ends with ~all, which asks receivers to take mail from anybody, with suspicion only.",
        "When all that send for this domain are in the record, change ~all to -all.",
    ),
    DnsFault.SPF_NEUTRAL: (
        "The SPF record ends with ?all, which says nothing about mail from others.",
        "When all that send for this domain are in the record, change ?all to -all.",
    ),
    DnsFault.SPF_OPEN: (
        "The SPF record has +all: anybody may send mail in the name of this domain.",
        "Change it to -all at once.",
    ),
    DnsFault.SPF_NO_ALL: (
        "The SPF record has neither all nor redirect= at its end, so it says nothing about mail from others.",
        "Add -all at its end.",
    ),
    DnsFault.SPF_LOOKUPS: (
        "The SPF record needs {count} DNS lookups, and receivers stop after 10 with a failure (RFC 7208 section 4.6.4).",
        "Take out includes of services that are no longer used, and mechanisms a, mx and ptr; or send from a sub-domain.",
    ),
    DnsFault.SPF_VOID: (
        "{count} of the names that the SPF record looks up do not exist, and receivers stop after 2 with a failure"
        " (RFC 7208 section 4.6.4): {other}.",
        "Take these names out.",
    ),
    DnsFault.SPF_LOOP: ("The SPF record includes itself through {other}.", "Take that include out."),
    DnsFault.DMARC_SEVERAL: (
        "There are {count} DMARC records at {name}, and with more than one there counts none (RFC 7489 section 6.6.3).",
        "Delete all of them but one.",
    ),
    DnsFault.DMARC_INVALID: (
        "The TXT at {name} is no DMARC record: it has to begin with v=DMARC1 and a semicolon.",
        "Publish the value that is shown, or correct yours.",
    ),
    DnsFault.DMARC_POLICY: (
        "The DMARC record needs p= with none, quarantine or reject; it has {other}.",
        "Begin with v=DMARC1; p=none.",
    ),
    DnsFault.MX_WRONG: ("The MX of {name} is {other}, so bounces do not come back.", "Publish MX {value} there."),
    DnsFault.MX_SEVERAL: (
        "{name} has other MX records beside ours ({other}), and bounces that go there are lost.",
        "Delete the others.",
    ),
    DnsFault.OLD_VALUE: (
        "Your name servers have the right value. Resolvers may still answer from their caches until {until}.",
        "Nothing has to be done. Until then some receivers may see what was there before.",
    ),
    DnsFault.TIMED_OUT: ("The DNS gave no answer in time: {other}.", _WAIT + " If it stays so, look at your name servers."),
    DnsFault.SERVER_FAILURE: (
        "The name servers failed: {other}.",
        _WAIT + " If it stays so, look at the zone: broken DNSSEC and zones that were not loaded are the usual causes.",
    ),
    DnsFault.REFUSED: (
        "The name servers refuse to answer for this zone: {other}.",
        _WAIT + " If it stays so, the domain is delegated to servers that do not have it: correct the NS records.",
    ),
    DnsFault.LOOP: ("Its aliases lead nowhere: {other}.", "Take out the CNAME that closes the loop."),
    DnsFault.UNUSABLE: ("The DNS gave no answer that can be used: {other}.", _WAIT),
}


def shown(values: Iterable[str]) -> tuple[str, ...]:
    """Values as a finding quotes them: a few, of bounded length, without what can't be printed."""
    kept: list[str] = []
    for value in values:
        if len(kept) == MOST_SHOWN:
            break
        text = "".join(character if character.isprintable() else "?" for character in value[: LONGEST_SHOWN + 1])
        kept.append(text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…")
    return tuple(kept)
