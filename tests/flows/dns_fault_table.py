"""What can be wrong with a domain's DNS, as test data: each row is a zone, and what must be told about it."""

from __future__ import annotations

from dataclasses import dataclass

from email_core.domains.dns_faults import DnsFault as F
from tests.kit.domain_zones import ED1, ED2, RSA1, RSA2, SPF_HOST, TOKEN, Line, rsa
from tests.kit.fault_tables import FaultTable

PROOF = f"postrider-domain-verification={TOKEN}"
SPF = f"v=spf1 include:{SPF_HOST} -all"
ED_OK, ED2_OK = Line("postrider1-ed._domainkey", "TXT", ED1), Line("postrider2-ed._domainkey", "TXT", ED2)
P1 = RSA1.partition("p=")[2]
KEY = "postrider1._domainkey"
VERIFIED = "Verified"
MANY = " ".join(f"include:i{number}.{{zone}}" for number in range(10))


@dataclass(frozen=True)
class Situation:
    """A zone that holds `lines`, looked at for `kind`.

    `says` stands in the reason or the remedy; `code` of a verified record is that of a warning. `sub`: the domain is a label
    below the zone. `cname`: keys are asked for as CNAMEs, and the platform publishes its `targets`. `zone`: there is one.
    """

    what: str
    kind: str
    lines: tuple[Line, ...]
    code: F | None
    says: str = ""
    verified: bool = False
    sub: bool = False
    cname: bool = False
    targets: bool = True
    zone: bool = True
    temporary: bool = False
    keeps: bool = True  # Knot takes such a zone; the others are for our own server alone

    @property
    def label(self) -> str:
        """Stable, and unique among the rows."""
        return f"{self.kind}: {self.what}"


def right(what: str, kind: str, *lines: Line, code: F | None = None, says: str = "", **how: bool) -> Situation:
    return Situation(what, kind, lines, code, says, verified=True, **how)


def wrong(what: str, kind: str, code: F, *lines: Line, says: str = "", **how: bool) -> Situation:
    return Situation(what, kind, lines, code, says, **how)


def at(name: str, value: str) -> Line:
    return Line(name, "TXT", value)


def alias(name: str, target: str) -> Line:
    return Line(name, "CNAME", target)


DOMAIN = (
    right("as it should be", "Domain", at("@", PROOF)),
    right("among other TXT records", "Domain", at("@", "v=spf1 -all"), at("@", PROOF), at("@", "other=1")),
    right("cut into strings", "Domain", Line("@", "TXT", f'"{PROOF[:20]}" "{PROOF[20:]}"', raw=True)),
    right("beside the token of another resource", "Domain", at("@", PROOF), at("@", PROOF[:-4] + "9999")),
    wrong("nothing there", "Domain", F.RECORD_MISSING, at("@", "something else"), says="no such TXT"),
    wrong("domain that is not registered", "Domain", F.DOMAIN_NOT_IN_DNS, zone=False, says="registered"),
    wrong("sub-domain that has nothing yet", "Domain", F.RECORD_MISSING, sub=True),
    wrong("zone appended twice", "Domain", F.ZONE_APPENDED, at("{zone}.{zone}.", PROOF), says="enter the name as @"),
    wrong("zone appended twice, sub-domain", "Domain", F.ZONE_APPENDED, at("{domain}.{zone}.", PROOF), sub=True,
          says="enter the name as mail"),
    wrong("at the domain above", "Domain", F.AT_PARENT, at("{zone}.", PROOF), sub=True, says="belongs to the domain above"),
    wrong("from a wildcard", "Domain", F.WILDCARD, at("*.{zone}.", "parked"), sub=True, says="wildcard"),
    wrong("CNAME at the domain", "Domain", F.CNAME_AT_DOMAIN, alias("@", "shop.{zone}."), at("shop.{zone}.", PROOF), sub=True,
          says="ALIAS"),
    wrong("CNAME beside other records", "Domain", F.CNAME_BESIDE, alias("@", "shop.{zone}."), at("@", PROOF), keeps=False),
    wrong("token of another resource", "Domain", F.WRONG_TOKEN, at("@", PROOF[:-4] + "9999"), says="another resource"),
    wrong("token alone", "Domain", F.PREFIX_MISSING, at("@", TOKEN), says=PROOF),
    wrong("quotes inside", "Domain", F.QUOTES, at("@", f'"{PROOF}"'), says="without any quotation marks"),
    wrong("line break inside", "Domain", F.LINE_BREAK, at("@", f"{PROOF[:40]} {PROOF[40:]}")),
    wrong("capital letters", "Domain", F.CASE_CHANGED, at("@", PROOF.upper())),
    wrong("cut off", "Domain", F.TRUNCATED, at("@", PROOF[:-5])),
)  # fmt: skip

_TREE = tuple(at(f"i{number}.{{zone}}.", "v=spf1 ip4:192.0.2.9 -all") for number in range(10))
SPF_ROWS = (
    right("as it should be", "SPF", at("@", SPF)),
    right("capital letters", "SPF", at("@", SPF.upper())),
    right("with others that send", "SPF", at("@", f"v=spf1 a mx ip4:192.0.2.0/24 include:{SPF_HOST} -all"), at("x", "y"),
          Line("@", "A", "192.0.2.3"), Line("@", "MX", "10 x")),
    right("include of an include", "SPF", at("@", "v=spf1 include:_spf.{zone} -all"), at("_spf.{zone}.", SPF)),
    right("by redirect", "SPF", at("@", f"v=spf1 redirect={SPF_HOST}")),
    right("ten lookups", "SPF", at("@", f"v=spf1 include:{SPF_HOST} {MANY[:MANY.index(' include:i9')]} -all"), *_TREE),
    wrong("nothing there", "SPF", F.RECORD_MISSING, at("@", PROOF)),
    wrong("zone appended twice", "SPF", F.ZONE_APPENDED, at("{zone}.{zone}.", SPF)),
    wrong("at the domain above", "SPF", F.AT_PARENT, at("{zone}.", SPF), sub=True),
    wrong("two SPF records", "SPF", F.SPF_SEVERAL, at("@", "v=spf1 mx -all"), at("@", SPF), says="Make one of them"),
    wrong("include missing", "SPF", F.SPF_INCLUDE_MISSING, at("@", "v=spf1 ip4:192.0.2.7 -all"), says=f"include:{SPF_HOST}"),
    wrong("include behind the all", "SPF", F.SPF_INCLUDE_UNUSED, at("@", f"v=spf1 mx -all include:{SPF_HOST}"), says="behind"),
    wrong("include with a sign", "SPF", F.SPF_INCLUDE_UNUSED, at("@", f"v=spf1 ?include:{SPF_HOST} -all"), says="sign ?"),
    wrong("~all", "SPF", F.SPF_SOFT_FAIL, at("@", f"v=spf1 include:{SPF_HOST} ~all"), says="change ~all to -all"),
    wrong("?all", "SPF", F.SPF_NEUTRAL, at("@", f"v=spf1 include:{SPF_HOST} ?all")),
    wrong("+all", "SPF", F.SPF_OPEN, at("@", f"v=spf1 include:{SPF_HOST} all"), says="anybody"),
    wrong("no all", "SPF", F.SPF_NO_ALL, at("@", f"v=spf1 include:{SPF_HOST}")),
    wrong("eleven lookups", "SPF", F.SPF_LOOKUPS, at("@", f"v=spf1 include:{SPF_HOST} {MANY} -all"), *_TREE, says="11 DNS"),
    wrong("three names that do not exist", "SPF", F.SPF_VOID,
          at("@", f"v=spf1 include:{SPF_HOST} a:x.{{zone}} mx:y.{{zone}} exists:z.{{zone}} -all"), says="3 of the names"),
    wrong("include of nothing", "SPF", F.SPF_INCLUDE_BROKEN, at("@", f"v=spf1 include:{SPF_HOST} include:gone.{{zone}} -all")),
    wrong("include of itself", "SPF", F.SPF_LOOP, at("@", f"v=spf1 include:{SPF_HOST} include:{{domain}} -all")),
    wrong("term that can't be read", "SPF", F.SPF_INVALID, at("@", f"v=spf1 ipv4:192.0.2.1 include:{SPF_HOST} -all"),
          says="ipv4:192.0.2.1"),
    wrong("another version", "SPF", F.SPF_INVALID, at("@", f"v=spf2 include:{SPF_HOST} -all")),
    wrong("quotes inside", "SPF", F.QUOTES, at("@", f'"{SPF}"')),
    wrong("line break inside", "SPF", F.LINE_BREAK, Line("@", "TXT", f'"v=spf1\\010include:{SPF_HOST} -all"', raw=True)),
    wrong("strings without a blank between", "SPF", F.SPF_INVALID,
          Line("@", "TXT", f'"v=spf1" "include:{SPF_HOST} -all"', raw=True)),
    wrong("CNAME at the domain", "SPF", F.CNAME_AT_DOMAIN, alias("@", "shop.{zone}."), sub=True),
)  # fmt: skip

DKIM = (
    right("as it should be", "DKIM", at(KEY, RSA1), ED_OK),
    right("with other tags, and blanks", "DKIM", at(KEY, f"k=rsa ; t=s; p={P1[:99]} {P1[99:]};"), ED_OK),
    right("CNAME that leads to the right key", "DKIM", alias(KEY, "keys.{zone}."), at("keys.{zone}.", RSA1), ED_OK),
    right("no Ed25519", "DKIM", at(KEY, RSA1), code=F.RECORD_MISSING, says="not required"),
    wrong("nothing there", "DKIM", F.RECORD_MISSING, at("@", PROOF), ED_OK),
    wrong("zone appended twice", "DKIM", F.ZONE_APPENDED, at(f"{KEY}.{{zone}}.{{zone}}.", RSA1),
          says="enter the name as postrider1._domainkey"),
    wrong("at the domain itself", "DKIM", F.AT_APEX, at("@", PROOF), at("@", RSA1)),
    wrong("without the label _domainkey", "DKIM", F.NO_DOMAINKEY, at("postrider1", RSA1), says="_domainkey is missing"),
    wrong("without the underscore", "DKIM", F.WRONG_NAME, at("postrider1.domainkey", RSA1)),
    wrong("without the selector", "DKIM", F.WRONG_NAME, at("_domainkey", RSA1)),
    wrong("at the domain above", "DKIM", F.AT_PARENT, at(f"{KEY}.{{zone}}.", RSA1), sub=True,
          says="enter the name as postrider1._domainkey.mail"),
    wrong("from a wildcard", "DKIM", F.WILDCARD, at("*", "parked here")),
    wrong("wrong key", "DKIM", F.KEY_WRONG, at(KEY, rsa("another")), says="another one than this domain's"),
    wrong("key of the other selector", "DKIM", F.KEY_OF_OTHER_SELECTOR, at(KEY, RSA2), says="postrider2._domainkey"),
    wrong("key cut off at 255", "DKIM", F.KEY_TRUNCATED, at(KEY, RSA1[:255]), says="255 characters"),
    wrong("key in two records", "DKIM", F.KEY_SPLIT, at(KEY, RSA1[:255]), at(KEY, RSA1[255:])),
    wrong("two keys", "DKIM", F.KEY_SEVERAL, at(KEY, rsa("another")), at(KEY, RSA1), says="Delete all of them but the one"),
    wrong("key revoked", "DKIM", F.KEY_REVOKED, at(KEY, "v=DKIM1; k=rsa; p=")),
    wrong("empty TXT", "DKIM", F.EMPTY_VALUE, at(KEY, "")),
    wrong("no key in it", "DKIM", F.KEY_INVALID, at(KEY, "v=DKIM1; k=rsa"), says="no p="),
    wrong("key of another kind", "DKIM", F.KEY_INVALID, at(KEY, RSA1.replace("rsa", "ed25519"))),
    wrong("small letters", "DKIM", F.CASE_CHANGED, at(KEY, RSA1.lower())),
    wrong("quotes inside", "DKIM", F.QUOTES, at(KEY, f'"{RSA1[:250]}" "{RSA1[250:]}"')),
    wrong("backslashes inside", "DKIM", F.BACKSLASHES, at(KEY, RSA1.replace(";", "\\;"))),
    wrong("CNAME to elsewhere", "DKIM", F.CNAME_FOR_TXT, alias(KEY, "keys.{zone}."), at("keys.{zone}.", rsa("another"))),
    wrong("CNAME beside other records", "DKIM", F.CNAME_BESIDE, alias(KEY, "keys.{zone}."), at(KEY, RSA1), keeps=False),
    wrong("loop of CNAMEs", "DKIM", F.LOOP, alias(KEY, "a.{zone}."), alias("a", "b.{zone}."), alias("b", "a.{zone}."),
          temporary=True, says="lead nowhere"),
)  # fmt: skip

TARGET = "postrider2.{domain}.dkim.platform.test."
KEY2 = "postrider2._domainkey"
ED_ALIAS = alias("postrider2-ed._domainkey", "postrider2-ed.{domain}.dkim.platform.test.")
DKIM_CNAMES = (
    right("CNAME, as it should be", "DKIM2", alias(KEY2, TARGET), ED_ALIAS, cname=True),
    right("CNAME in capital letters", "DKIM2", alias(KEY2, TARGET.replace("dkim", "DKIM")), ED_ALIAS, cname=True),
    right("TXT where a CNAME was asked for", "DKIM2", at(KEY2, RSA2), ED2_OK, cname=True),
    wrong("nothing where a CNAME was asked for", "DKIM2", F.RECORD_MISSING, cname=True),
    wrong("TXT with the target in it", "DKIM2", F.TXT_FOR_CNAME, at(KEY2, "postrider2.dkim.platform.test"), cname=True,
          says="type CNAME"),
    wrong("CNAME to another name", "DKIM2", F.WRONG_TARGET, alias(KEY2, "elsewhere.{zone}."), cname=True),
    wrong("CNAME with the zone appended", "DKIM2", F.TARGET_ZONE_APPENDED, alias(KEY2, TARGET + "{zone}."), cname=True,
          says="dot at its end"),
    wrong("CNAME, zone appended twice", "DKIM2", F.ZONE_APPENDED, alias(f"{KEY2}.{{zone}}.{{zone}}.", TARGET), cname=True),
    wrong("key that the platform did not publish", "DKIM2", F.KEY_UNPUBLISHED, alias(KEY2, TARGET), cname=True, targets=False,
          says="Nothing is left for you"),
)  # fmt: skip

DMARC = (
    right("as it should be", "DMARC", at("_dmarc", "v=DMARC1; p=none")),
    right("policy of the owner", "DMARC", at("_dmarc", "v=DMARC1;p=reject; rua=mailto:d@{zone}")),
    right("policy of the domain above", "DMARC", at("_dmarc.{zone}.", "v=DMARC1; p=quarantine"), sub=True, says="holds for"),
    wrong("nothing there", "DMARC", F.RECORD_MISSING, at("@", PROOF)),
    wrong("zone appended twice", "DMARC", F.ZONE_APPENDED, at("_dmarc.{zone}.{zone}.", "v=DMARC1; p=none")),
    wrong("at the domain itself", "DMARC", F.AT_APEX, at("@", "v=DMARC1; p=none"), says="enter the name as _dmarc"),
    wrong("without the underscore", "DMARC", F.WRONG_NAME, at("dmarc", "v=DMARC1; p=none")),
    wrong("from a wildcard", "DMARC", F.WILDCARD, at("*", "parked")),
    wrong("two records", "DMARC", F.DMARC_SEVERAL, at("_dmarc", "v=DMARC1; p=none"), at("_dmarc", "v=DMARC1; p=reject")),
    wrong("no policy", "DMARC", F.DMARC_POLICY, at("_dmarc", "v=DMARC1; rua=mailto:d@{zone}"), says="no p= at all"),
    wrong("policy that is none", "DMARC", F.DMARC_POLICY, at("_dmarc", "v=DMARC1; p=monitor"), says="p=monitor"),
    wrong("version behind", "DMARC", F.DMARC_INVALID, at("_dmarc", "p=none; v=DMARC1")),
    wrong("quotes inside", "DMARC", F.QUOTES, at("_dmarc", '"v=DMARC1; p=none"')),
    wrong("backslashes inside", "DMARC", F.BACKSLASHES, at("_dmarc", "v=DMARC1\\; p=none")),
    wrong("empty TXT", "DMARC", F.EMPTY_VALUE, at("_dmarc", "")),
)  # fmt: skip

_MX, _MX_SPF = Line("bounces", "MX", "10 mx.platform.test."), at("bounces", SPF)
MAIL_FROM = (
    right("as it should be", "MailFrom", _MX, _MX_SPF),
    right("another preference", "MailFrom", Line("bounces", "MX", "0 MX.platform.test."), _MX_SPF),
    wrong("no MX", "MailFrom", F.RECORD_MISSING, _MX_SPF, says="no such MX"),
    wrong("no SPF", "MailFrom", F.RECORD_MISSING, _MX, says="no such TXT"),
    wrong("MX of somebody else", "MailFrom", F.MX_WRONG, Line("bounces", "MX", "10 mx.{zone}."), _MX_SPF),
    wrong("two MX records", "MailFrom", F.MX_SEVERAL, _MX, Line("bounces", "MX", "20 mx.{zone}."), _MX_SPF),
    wrong("null MX", "MailFrom", F.MX_WRONG, Line("bounces", "MX", "0 ."), _MX_SPF, says="null MX"),
    wrong("zone appended twice", "MailFrom", F.ZONE_APPENDED, Line("bounces.{zone}.{zone}.", "MX", "10 mx.platform.test."),
          _MX_SPF),
)  # fmt: skip

SITUATIONS = (*DOMAIN, *SPF_ROWS, *DKIM, *DKIM_CNAMES, *DMARC, *MAIL_FROM)


def _outcome(situation: Situation) -> str:
    if situation.verified:
        return f"{VERIFIED}, with the warning {situation.code}" if situation.code else VERIFIED
    return f"{situation.code} (temporary)" if situation.temporary else str(situation.code)


TABLES = (
    FaultTable(
        "wrong-dns", ("Record", "What the zone has", "What is told"),
        [(situation.kind, situation.what, _outcome(situation)) for situation in SITUATIONS],
    ),
)  # fmt: skip
