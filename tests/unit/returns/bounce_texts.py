"""Bounces as servers write them: a text for each form, and what is to be read in it. All names and addresses are made up."""

# ruff: noqa: E501 - texts of others, as they are

from __future__ import annotations

from dataclasses import dataclass

ANN = "ann@fabrikam.test"


@dataclass(frozen=True)
class Case:
    """`raw` has LF as line end. `want`: action, enhanced code, SMTP code, address of each recipient; or the word for none."""

    raw: str
    want: str


def dsn(
    fields: str, *, human: str = "Your message could not be delivered.", mta: str = "mx.fabrikam.test", head: str = "",
    returned: str = "message/rfc822", status: str = "message/delivery-status", sender: str = "MAILER-DAEMON@mx.fabrikam.test",
    subject: str = "Delivery Status Notification (Failure)",
) -> str:  # fmt: skip
    """A report as RFC 3464 has it, around the fields of its recipients."""
    return f"""From: {sender}
To: b+a.x.y@bounce.postrider.test
Subject: {subject}
Message-ID: <report-1@{mta}>
{head}MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="=_report"

This is a report in MIME.

--=_report
Content-Type: text/plain; charset=utf-8

{human}

--=_report
Content-Type: {status}

Reporting-MTA: dns; {mta}
Arrival-Date: Mon, 2 Nov 2026 10:00:00 +0000

{fields.strip()}

--=_report
Content-Type: {returned}

Return-Path: <b+a.x.y@bounce.postrider.test>
From: News <news@contoso.test>
To: Ann <ann@fabrikam.test>
Subject: Hello
Message-ID: <original-1@contoso.test>

Body with 550 5.7.1 and somebody@else.test in it.
--=_report--
"""


def words(body: str, *, sender: str = "MAILER-DAEMON@mx.fabrikam.test", subject: str = "failure notice", head: str = "") -> str:
    """A bounce in words only."""
    return f"From: {sender}\nTo: b+a.x.y@bounce.postrider.test\nSubject: {subject}\n{head}\n{body}"


FAILED = "failed 5.1.1 550 ann@fabrikam.test"

CASES: dict[str, Case] = {
    "rfc3464-section-e1-simple": Case(
        dsn("Original-Recipient: rfc822;ann@fabrikam.test\nFinal-Recipient: rfc822;ann@fabrikam.test\nAction: failed\nStatus: 4.0.0\n"
            "Diagnostic-Code: smtp; 426 connection timed out\nLast-Attempt-Date: Thu, 7 Jul 1994 17:15:49 -0400"),
        "failed 4.0.0 426 ann@fabrikam.test"),
    "rfc3464-section-e2-two-recipients": Case(
        dsn("Original-Recipient: rfc822;arathib@vnet.test\nFinal-Recipient: rfc822;arathib@vnet.test\nAction: failed\n"
            "Status: 5.0.0 (permanent failure)\nDiagnostic-Code: smtp; 550 'arathib@vnet.test' is not a registered gateway user\n"
            "Remote-MTA: dns; vnet.test\n\nOriginal-Recipient: rfc822;johnh@hpnjld.test\nFinal-Recipient: rfc822;johnh@hpnjld.test\n"
            "Action: delayed\nStatus: 4.0.0 (hpnjld.njd.jp.com: host name lookup failure)"),
        "failed 5.0.0 550 arathib@vnet.test|delayed 4.0.0 0 johnh@hpnjld.test"),
    "rfc3464-section-e4-delayed": Case(
        dsn("Original-Recipient: rfc822;george@tax-me.test\nFinal-Recipient: rfc822;george@tax-me.test\nAction: delayed\n"
            "Status: 4.4.1 (No answer from host)\nWill-Retry-Until: Thu, 7 Jul 2026 12:00:00 -0400"),
        "delayed 4.4.1 0 george@tax-me.test"),
    "rfc3464-delivered": Case(
        dsn("Final-Recipient: rfc822; ann@fabrikam.test\nAction: delivered\nStatus: 2.1.5"), "delivered 2.1.5 0 ann@fabrikam.test"),
    "rfc3464-relayed": Case(
        dsn("Final-Recipient: rfc822; ann@fabrikam.test\nAction: relayed (to non-DSN-aware mailer)\nStatus: 2.1.9"),
        "relayed 2.1.9 0 ann@fabrikam.test"),
    "rfc3464-expanded": Case(
        dsn("Final-Recipient: rfc822; ann@fabrikam.test\nAction: expanded\nStatus: 2.1.5"), "expanded 2.1.5 0 ann@fabrikam.test"),
    "rfc6533-utf8-address": Case(
        dsn("Final-Recipient: utf-8; j\\x{FC}rgen@fabrikam.test\nAction: failed\nStatus: 5.1.1",
            status="message/global-delivery-status", returned="message/global"),
        "failed 5.1.1 0 jürgen@fabrikam.test"),
    "postfix": Case(
        dsn("Final-Recipient: rfc822; ann@fabrikam.test\nOriginal-Recipient: rfc822;ann@fabrikam.test\nAction: failed\nStatus: 5.1.1\n"
            "Remote-MTA: dns; mx.fabrikam.test\nDiagnostic-Code: smtp; 550 5.1.1 <ann@fabrikam.test>: Recipient address\n"
            "    rejected: User unknown in virtual mailbox table",
            human="This is the mail system at host mx.contoso.test.\n\n<ann@fabrikam.test>: host mx.fabrikam.test said: 550 5.1.1",
            head="Auto-Submitted: auto-replied\n"), FAILED),
    "postfix-delayed": Case(
        dsn("Final-Recipient: rfc822; ann@fabrikam.test\nAction: delayed\nStatus: 4.4.1\n"
            "Diagnostic-Code: X-Postfix; connect to mx.fabrikam.test[192.0.2.1]:25: Connection timed out\n"
            "Will-Retry-Until: Sat, 7 Nov 2026 10:00:00 +0000", subject="Delayed Mail (still being retried)",
            human="# THIS IS A WARNING ONLY.  YOU DO NOT NEED TO RESEND YOUR MESSAGE. #"), "delayed 4.4.1 0 ann@fabrikam.test"),
    "postfix-expired": Case(
        dsn("Final-Recipient: rfc822; ann@fabrikam.test\nAction: failed\nStatus: 4.4.1\n"
            "Diagnostic-Code: X-Postfix; connect to mx.fabrikam.test[192.0.2.1]:25: Connection timed out"),
        "failed 4.4.1 0 ann@fabrikam.test"),
    "postfix-verify-delivered": Case(
        dsn("Final-Recipient: rfc822; ann@fabrikam.test\nAction: relayed\nStatus: 2.0.0\nRemote-MTA: dns; mx.fabrikam.test\n"
            "Diagnostic-Code: smtp; 250 2.0.0 Ok: queued as 4X1"), "relayed 2.0.0 250 ann@fabrikam.test"),
    "postfix-headers-only": Case(
        dsn("Final-Recipient: rfc822; ann@fabrikam.test\nAction: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 5.1.1 no",
            returned="text/rfc822-headers"), FAILED),
    "exim-dsn": Case(
        dsn("Action: failed\nFinal-Recipient: rfc822;ann@fabrikam.test\nStatus: 5.0.0\nRemote-MTA: dns; mx.fabrikam.test\n"
            "Diagnostic-Code: smtp; 550 5.1.1 No such user here", head="X-Failed-Recipients: ann@fabrikam.test\n"
            "Auto-Submitted: auto-replied\n"), FAILED),
    "exim-words": Case(
        words("This message was created automatically by mail delivery software.\n\nA message that you sent could not be delivered to "
              "one or more of its\nrecipients. This is a permanent error. The following address(es) failed:\n\n  ann@fabrikam.test\n"
              "    host mx.fabrikam.test [192.0.2.25]\n    SMTP error from remote mail server after RCPT TO:<ann@fabrikam.test>:\n"
              "    550 5.1.1 <ann@fabrikam.test>: user unknown\n\n------ This is a copy of the message, including all the headers. "
              "------\n\nReturn-path: <x@y.test>\n", subject="Mail delivery failed: returning message to sender",
              head="X-Failed-Recipients: ann@fabrikam.test\nAuto-Submitted: auto-replied\n",
              sender="Mail Delivery System <Mailer-Daemon@mx.contoso.test>"), FAILED),
    "exim-words-two": Case(
        words("The following address(es) failed:\n\n  a@fabrikam.test\n    550 5.1.1 unknown\n\n  b@fabrikam.test\n    552 5.2.2 mailbox full\n",
              head="X-Failed-Recipients: a@fabrikam.test,\n b@fabrikam.test\n", subject="Mail delivery failed"),
        "failed 5.1.1 550 a@fabrikam.test|failed 5.2.2 552 b@fabrikam.test"),
    "exim-delay": Case(
        words("This message was created automatically by mail delivery software.\nA message that you sent has not yet been delivered to "
              "one or more of its\nrecipients after more than 24 hours on the queue on mx.contoso.test.\n\nThe address to which the "
              "message has not yet been delivered is:\n\n  ann@fabrikam.test\n\nNo action is required on your part. Delivery attempts "
              "will continue for\nsome time.\n", subject="Warning: message 1abc-0 delayed 24 hours", head="Auto-Submitted: auto-replied\n"),
        "delayed"),
    "sendmail": Case(
        dsn("Final-Recipient: RFC822; ann@fabrikam.test\nAction: failed\nStatus: 5.1.1\nRemote-MTA: DNS; mx.fabrikam.test\n"
            "Diagnostic-Code: SMTP; 550 5.1.1 <ann@fabrikam.test>... User unknown\nLast-Attempt-Date: Mon, 2 Nov 2026 10:00:01 GMT",
            human="   ----- The following addresses had permanent fatal errors -----\n<ann@fabrikam.test>\n",
            subject="Returned mail: see transcript for details"), FAILED),
    "sendmail-deferred": Case(
        dsn("Final-Recipient: RFC822; ann@fabrikam.test\nAction: delayed\nStatus: 4.2.0\nWill-Retry-Until: Sat, 7 Nov 2026 10:00:00 GMT",
            subject="Warning: could not send message for past 4 hours"), "delayed 4.2.0 0 ann@fabrikam.test"),
    "sendmail-8-words": Case(
        words("The original message was received at Mon, 2 Nov 2026 10:00:00 GMT\n\n   ----- The following addresses had permanent fatal "
              "errors -----\nann@fabrikam.test\n\n   ----- Transcript of session follows -----\n... while talking to mx.fabrikam.test:\n"
              ">>> RCPT To:<ann@fabrikam.test>\n<<< 550 5.1.1 User unknown\n550 ann@fabrikam.test... User unknown\n",
              subject="Returned mail: User unknown"), "failed"),
    "qmail": Case(
        words("Hi. This is the qmail-send program at mx.contoso.test.\nI'm afraid I wasn't able to deliver your message to the following "
              "addresses.\nThis is a permanent error; I've given up. Sorry it didn't work out.\n\n<ann@fabrikam.test>:\n192.0.2.1 does not "
              "like recipient.\nRemote host said: 550 5.1.1 unknown user\nGiving up on 192.0.2.1.\n\n--- Below this line is a copy of the "
              "message.\n\nReturn-Path: <x@y.test>\n", head="Message-ID: <1@mx>\n"), FAILED),
    "qmail-local": Case(
        words("Hi. This is the qmail-send program at mx.fabrikam.test.\nI'm afraid I wasn't able to deliver your message.\n\n"
              "<ann@fabrikam.test>:\nSorry, no mailbox here by that name. (#5.1.1)\n\n--- Below this line is a copy of the message.\n"),
        "failed 5.1.1 0 ann@fabrikam.test"),
    "qmail-quota": Case(
        words("Hi. This is the qmail-send program at mx.fabrikam.test.\nI wasn't able to deliver it.\n\n<ann@fabrikam.test>:\nUser is over "
              "the quota. You can try again later. (#5.2.2)\n\n--- Below this line is a copy of the message.\n"),
        "failed 5.2.2 0 ann@fabrikam.test"),
    "qmail-spanish": Case(
        words("Your message could not be delivered\nNo se pudo entregar su mensaje\n\n<ann@fabrikam.test>:\nno existe (#5.1.1)\n\n-- end\n"),
        "failed 5.1.1 0 ann@fabrikam.test"),
    "office-365": Case(
        dsn("Final-Recipient: rfc822;ann@fabrikam.test\nAction: failed\nStatus: 5.1.10\nDiagnostic-Code: smtp;550 5.1.10 RESOLVER.ADR."
            "RecipientNotFound; Recipient ann@fabrikam.test not found by SMTP address lookup\nRemote-MTA: dns;AM6PR01.prod.outlook.com\n"
            "X-Display-Name: Ann", sender="Microsoft Outlook <MicrosoftExchange329e71ec88ae4615bbc36ab6ce41109e@fabrikam.test>",
            subject="Undeliverable: Hello", head="X-MS-Exchange-Message-Is-Ndr:\nAuto-Submitted: auto-replied\n"),
        "failed 5.1.10 550 ann@fabrikam.test"),
    "office-365-expired": Case(
        dsn("Final-Recipient: rfc822;ann@fabrikam.test\nAction: failed\nStatus: 5.4.316\nDiagnostic-Code: smtp;550 5.4.316 Message expired, "
            "connection refused(Socket error code 10061) -> 421 4.4.0 x", subject="Undeliverable: Hello"),
        "failed 5.4.316 550 ann@fabrikam.test"),
    "office-365-access-denied": Case(
        dsn("Final-Recipient: rfc822;ann@fabrikam.test\nAction: failed\nStatus: 5.7.133\nDiagnostic-Code: smtp;550 5.7.133 RESOLVER.RST."
            "SenderNotAuthenticatedForGroup; authentication required", subject="Undeliverable: Hello"),
        "failed 5.7.133 550 ann@fabrikam.test"),
    "exchange-2016": Case(
        dsn("Original-Recipient: rfc822;ann@fabrikam.test\nFinal-Recipient: rfc822;ann@fabrikam.test\nAction: failed\nStatus: 5.1.1\n"
            "Diagnostic-Code: smtp;550 5.1.1 RESOLVER.ADR.ExRecipNotFound; not found", sender="postmaster@fabrikam.test",
            subject="Undeliverable: Hello"), FAILED),
    "exchange-2003": Case(
        dsn("Final-Recipient: RFC822;ann@fabrikam.test\nAction: failed\nStatus: 5.1.1\nX-Display-Name: Ann",
            sender="System Administrator <postmaster@fabrikam.test>"), "failed 5.1.1 0 ann@fabrikam.test"),
    "exchange-5.5-words": Case(
        words("Your message\n\n  To:      Ann\n  Subject: Hello\n\ndid not reach the following recipient(s):\n\nann@fabrikam.test on Mon, 2 Nov "
              "2026 10:00:00 +0100\n    The recipient name is not recognized\n    MSEXCH:IMS:Fabrikam:SITE:SERVER 0 (000C05A6) Unknown Recipient\n",
              sender="System Administrator <postmaster@fabrikam.test>", subject="Undeliverable: Hello"), "failed"),
    "iis-smtpsvc": Case(
        dsn("Final-Recipient: rfc822;ann@fabrikam.test\nAction: failed\nStatus: 5.5.0\nDiagnostic-Code: smtp;550 5.5.0 Requested action not "
            "taken: mailbox unavailable", sender="postmaster@mail.fabrikam.test"), "failed 5.5.0 550 ann@fabrikam.test"),
    "gmail": Case(
        dsn("Final-Recipient: rfc822; ann@fabrikam.test\nAction: failed\nStatus: 5.1.1\nRemote-MTA: dns; gmail-smtp-in.l.google.com. "
            "(2a00:1450::1b, the server for the domain fabrikam.test.)\nDiagnostic-Code: smtp; 550-5.1.1 The email account that you tried "
            "to reach does not exist. Please try\n 550-5.1.1 double-checking the recipient's email address for typos or\n 550 5.1.1 "
            "unnecessary spaces. NoSuchUser x\nLast-Attempt-Date: Mon, 02 Nov 2026 02:00:00 -0800 (PST)",
            sender="Mail Delivery Subsystem <mailer-daemon@googlemail.com>", head="X-Failed-Recipients: ann@fabrikam.test\n"
            "Auto-Submitted: auto-replied\n"), FAILED),
    "gmail-delay": Case(
        dsn("Final-Recipient: rfc822; ann@fabrikam.test\nAction: delayed\nStatus: 4.4.1\nDiagnostic-Code: smtp; The recipient server did not "
            "accept our requests to connect.\nWill-Retry-Until: Thu, 05 Nov 2026 02:00:00 -0800 (PST)",
            subject="Delivery Status Notification (Delay)"), "delayed 4.4.1 0 ann@fabrikam.test"),
    "gmail-words": Case(
        words("Delivery to the following recipient failed permanently:\n\n     ann@fabrikam.test\n\nTechnical details of permanent failure: \n"
              "Google tried to deliver your message, but it was rejected. The error that the other server returned was: 550 550 5.1.1 User "
              "unknown (state 14).\n\n----- Original message -----\n\nReceived: by 10.0.0.1\n",
              sender="Mail Delivery Subsystem <mailer-daemon@googlemail.com>", subject="Delivery Status Notification (Failure)"), FAILED),
    "gmail-over-quota": Case(
        dsn("Final-Recipient: rfc822; ann@fabrikam.test\nAction: failed\nStatus: 5.2.2\nDiagnostic-Code: smtp; 552-5.2.2 The recipient's inbox "
            "is out of storage space and inactive.\n 552 5.2.2 OverQuotaPerm x"), "failed 5.2.2 552 ann@fabrikam.test"),
    "yahoo-dsn": Case(
        dsn("Final-Recipient: rfc822;ann@fabrikam.test\nAction: failed\nStatus: 5.0.0\nRemote-MTA: dns; mta7.am0.yahoodns.net\n"
            "Diagnostic-Code: smtp; 554 delivery error: dd Requested mail action aborted, mailbox not found",
            sender="MAILER-DAEMON@yahoo.test"), "failed 5.0.0 554 ann@fabrikam.test"),
    "yahoo-words": Case(
        words("Sorry, we were unable to deliver your message to the following address.\n\n<ann@fabrikam.test>:\n554: delivery error: dd This "
              "user doesn't have a fabrikam.test account [0]\n\n--- Below this line is a copy of the message.\n",
              sender="MAILER-DAEMON@yahoo.com", subject="Failure Notice"), "failed"),
    "aol-words": Case(
        words("The following addresses failed:\n<ann@fabrikam.test>\n\n   ----- The following addresses had permanent fatal errors -----\n"
              "<ann@fabrikam.test>\n\n   ----- Transcript of session follows -----\n550 5.1.1 <ann@fabrikam.test>... MAILBOX NOT FOUND\n",
              sender="MAILER-DAEMON@aol.test", subject="Returned mail: see transcript for details"), FAILED),
    "outlook.com": Case(
        dsn("Final-Recipient: rfc822;ann@fabrikam.test\nAction: failed\nStatus: 5.5.0\nDiagnostic-Code: smtp;550 5.5.0 Requested action not "
            "taken: mailbox unavailable (S2017062302). [AM1.eop-EUR05.prod.protection.outlook.com]",
            sender="postmaster@outlook.com"), "failed 5.5.0 550 ann@fabrikam.test"),
    "hotmail-old": Case(
        dsn("Final-Recipient: rfc822;ann@fabrikam.test\nAction: failed\nStatus: 5.7.1", sender="postmaster@mail.hotmail.com",
            human="This is an automatically generated Delivery Status Notification.\n\nDelivery to the following recipients failed."),
        "failed 5.7.1 0 ann@fabrikam.test"),
    "icloud": Case(
        dsn("Original-recipient: rfc822;ann@fabrikam.test\nFinal-recipient: rfc822;ann@fabrikam.test\nAction: failed\nStatus: 5.1.1 "
            "(unknown or illegal alias: ann@fabrikam.test)\nDiagnostic-code: smtp;550 5.1.1 unknown or illegal alias"), FAILED),
    "sun-messaging-server": Case(
        dsn("Original-recipient: rfc822;ann@fabrikam.test\nFinal-recipient: rfc822;ann@fabrikam.test\nAction: failed\nStatus: 5.0.0 "
            "(Remote SMTP server has rejected address)\nRemote-MTA: dns;mx.fabrikam.test (TCP|192.0.2.1|34|192.0.2.2|25)\n"
            "Diagnostic-code: smtp;550 5.1.1 unknown"), FAILED),
    "lotus-domino": Case(
        dsn("Final-Recipient: rfc822;ann@fabrikam.test\nAction: failed\nStatus: 5.1.1\nDiagnostic-Code: X-Notes; User ann (ann@fabrikam.test) "
            "not listed in Domino Directory", subject="DELIVERY FAILURE: User ann not listed in Domino Directory",
            sender="Postmaster@fabrikam.test"), "failed 5.1.1 0 ann@fabrikam.test"),
    "lotus-domino-words": Case(
        words("Your message\n\n  Subject: Hello\n\nwas not delivered to:\n\n  ann@fabrikam.test\n\nbecause:\n\n  User ann not listed in public "
              "Name & Address Book\n", subject="DELIVERY FAILURE: User ann not listed", sender="Postmaster@fabrikam.test"),
        "failed"),
    "zimbra": Case(
        dsn("Final-Recipient: rfc822; ann@fabrikam.test\nOriginal-Recipient: rfc822;ann@fabrikam.test\nAction: failed\nStatus: 5.1.1\n"
            "Diagnostic-Code: smtp; 550 5.1.1 <ann@fabrikam.test>: Recipient address rejected: fabrikam.test",
            mta="zimbra.fabrikam.test"), FAILED),
    "mimecast": Case(
        dsn("Original-Recipient: rfc822;ann@fabrikam.test\nFinal-Recipient: rfc822;ann@fabrikam.test\nAction: failed\nStatus: 5.0.0\n"
            "Remote-MTA: dns; eu-smtp-inbound-1.mimecast.com\nDiagnostic-Code: smtp; 550 Rejected by header based Anti-Spoofing policy: - "
            "https://community.mimecast.com/docs/DOC-1369#550 [x.eu1]"), "failed 5.0.0 550 ann@fabrikam.test"),
    "mimecast-words": Case(
        words("An email from news@contoso.test sent to the recipients below has been rejected.\n\nann@fabrikam.test\n\n550 5.1.1 Recipient "
              "address rejected\n", sender="Mail Delivery Subsystem <postmaster@eu.mimecast.test>", subject="[Postmaster] Messages on hold "
              "undeliverable"), "failed 5.1.1 550"),
    "proofpoint": Case(
        dsn("Final-Recipient: RFC822; ann@fabrikam.test\nAction: failed\nStatus: 5.1.1\nRemote-MTA: DNS; mxa-00000000.gslb.pphosted.com\n"
            "Diagnostic-Code: SMTP; 550 5.1.1 User Unknown"), FAILED),
    "proofpoint-essentials": Case(
        dsn("Final-Recipient: rfc822; ann@fabrikam.test\nAction: failed\nStatus: 5.7.1\nDiagnostic-Code: smtp; 550 5.7.1 Message blocked due to "
            "the policy"), "failed 5.7.1 550 ann@fabrikam.test"),
    "barracuda": Case(
        dsn("Final-Recipient: rfc822; ann@fabrikam.test\nAction: failed\nStatus: 5.0.0\nDiagnostic-Code: smtp; 550 permanent failure for one or "
            "more recipients (ann@fabrikam.test:550 5.1.1 unknown)"), FAILED),
    "symantec-messagelabs": Case(
        words("A message that you sent could not be delivered to one or more recipients.\n\nann@fabrikam.test:\n550 5.1.1 unknown user\n\n"
              "--- The header of the original message is following. ---\n", sender="postmaster@messagelabs.test",
              subject="Mail Delivery Failure"), FAILED),
    "sophos": Case(
        dsn("Action: failed\nFinal-Recipient: rfc822;ann@fabrikam.test\nStatus: 5.0.0\nDiagnostic-Code: smtp; 550 Invalid recipient"),
        "failed 5.0.0 550 ann@fabrikam.test"),
    "cisco-ironport": Case(
        dsn("Final-Recipient: rfc822;ann@fabrikam.test\nAction: failed\nStatus: 5.0.0 (permanent failure)\nRemote-MTA: dns; [192.0.2.1]\n"
            "Diagnostic-Code: smtp; 5.1.0 - Unknown address error 550-'#5.1.0 Address rejected.' (delivery attempts: 0)",
            mta="ironport.contoso.test"), "failed 5.1.0 550 ann@fabrikam.test"),
    "fortimail": Case(
        dsn("Final-Recipient: RFC822; ann@fabrikam.test\nAction: failed\nStatus: 5.2.0\nRemote-MTA: DNS; fml.fabrikam.test\nDiagnostic-Code: "
            "SMTP; 553 5.3.0 <ann@fabrikam.test>... unknown"), "failed 5.2.0 553 ann@fabrikam.test"),
    "amazon-ses": Case(
        dsn("Final-Recipient: rfc822;ann@fabrikam.test\nDiagnostic-Code: smtp; 550 5.1.1 user unknown\nAction: failed\nStatus: 5.1.1",
            sender="MAILER-DAEMON@amazonses.test", mta="a1-2.smtp-out.amazonses.test"), FAILED),
    "sendgrid": Case(
        dsn("Final-Recipient: rfc822; ann@fabrikam.test\nAction: failed\nStatus: 5.1.1\nDiagnostic-Code: 550 5.1.1 unknown"), FAILED),
    "mdaemon": Case(
        words("The following data may contain sections which represent BASE64 encoded\nfile attachments.\n\nThe attached message had PERMANENT "
              "fatal delivery errors!\n\nThe following addresses did NOT receive a copy of your message:\n\n> ann@fabrikam.test\n\n"
              "--- Session Transcript ---\n Mon: <-- 550 5.1.1 no such user\n--- End Transcript ---\n", sender="MDaemon@fabrikam.test",
              subject="Permanent Delivery Failure"), FAILED),
    "mailenable": Case(
        words("MailEnable: Message could not be delivered to some recipients.\nThe following recipient(s) could not be reached:\n\n\tRecipient: "
              "[SMTP:ann@fabrikam.test]\n\tReason: 550 5.1.1 unknown\n\n\nMessage headers follow:\n", sender="postmaster@fabrikam.test",
              subject="Message Delivery Failure"), FAILED),
    "smartermail": Case(
        words("Could not deliver message to the following recipient(s):\n\nFailed Recipient: ann@fabrikam.test\nReason: Remote host said: 550 "
              "5.1.1 User unknown\n\n   -- The header and top 20 lines of the message follows --\n", sender="System Administrator <postmaster@"
              "fabrikam.test>", subject="Delivery Failure"), FAILED),
    "groupwise": Case(
        words("--=_x\n\nThe message that you sent was undeliverable to the following:\n\tann@fabrikam.test (user not found)\n\nPossibly truncated "
              "original message follows:\n", sender="Mailer-Daemon@fabrikam.test", subject="Message status - undeliverable"), "failed"),
    "courier": Case(
        dsn("Final-Recipient: rfc822; ann@fabrikam.test\nAction: failed\nStatus: 5.0.0\nRemote-MTA: dns; mx.fabrikam.test [192.0.2.1]\n"
            "Diagnostic-Code: smtp; 550 User unknown.", mta="courier.fabrikam.test"), "failed 5.0.0 550 ann@fabrikam.test"),
    "opensmtpd": Case(
        dsn("Final-Recipient: rfc822; ann@fabrikam.test\nAction: error\nStatus: 5.1.1", sender="Mailer Daemon <MAILER-DAEMON@fabrikam.test>"),
        "failed 5.1.1 0 ann@fabrikam.test"),
    "haraka": Case(
        dsn("Original-Recipient: rfc822;ann@fabrikam.test\nFinal-Recipient: rfc822;ann@fabrikam.test\nAction: failed\nStatus: 5.1.1\nRemote-MTA: "
            "mx.fabrikam.test\nDiagnostic-Code: smtp;550 5.1.1 nobody"), FAILED),
    "powermta": Case(
        dsn("Original-Recipient: rfc822;ann@fabrikam.test\nFinal-Recipient: rfc822;ann@fabrikam.test\nAction: failed\nStatus: 5.1.1 (bad "
            "destination mailbox address)\nRemote-MTA: dns;mx.fabrikam.test (192.0.2.1)\nDiagnostic-Code: smtp;550 5.1.1 unknown\n"
            "X-PowerMTA-BounceCategory: bad-mailbox"), FAILED),
    "oracle-communications-delayed": Case(
        dsn("Original-recipient: rfc822;ann@fabrikam.test\nFinal-recipient: rfc822;ann@fabrikam.test\nAction: delayed\nStatus: 4.4.7 (unable to "
            "deliver this message after 1 day)"), "delayed 4.4.7 0 ann@fabrikam.test"),
    "mail.ru": Case(
        words("This message was created automatically by mail delivery software.\n\nA message that you sent could not be delivered to one or more "
              "of its\nrecipients. This is a permanent error. The following address(es) failed:\n\nann@fabrikam.test\nuser not found\n\n"
              "------ This is a copy of the message ------\n", sender="Mail Delivery System <mailer-daemon@corp.mail.test>",
              subject="Mail failure."), "failed"),
    "yandex": Case(
        dsn("Final-Recipient: rfc822; ann@fabrikam.test\nAction: failed\nStatus: 5.7.1\nDiagnostic-Code: smtp; 550 5.7.1 No such user!",
            sender="MAILER-DAEMON@yandex.test", human="Это письмо отправлено почтовым сервером. Письмо не может быть доставлено."),
        "failed 5.7.1 550 ann@fabrikam.test"),
    "gmx-words": Case(
        words("This message was created automatically by mail delivery software.\n\nA message that you sent could not be delivered to\none or more "
              "of its recipients. This is a permanent error.\n\nThe following address failed:\n\n<ann@fabrikam.test>:\nSMTP error from remote "
              "server for RCPT TO command, host: mx.fabrikam.test (192.0.2.1) reason: 550 5.1.1 unknown\n\n--- The header of the original "
              "message is following. ---\n", sender="mailer-daemon@gmx.test", subject="Mail delivery failed: returning message to sender"),
        FAILED),
    "t-online-words": Case(
        words("Hallo,\n\nIhre Nachricht an\n\n<ann@fabrikam.test>\n\nkonnte nicht zugestellt werden: 550 5.1.1 user unknown\n",
              sender="MAILER-DAEMON@t-online.test", subject="Unzustellbare Nachricht: nicht zugestellt"), "failed 5.1.1 550"),
    "orange-words": Case(
        words("Bonjour,\nVotre message n'a pas pu être remis à ann@fabrikam.test : 550 5.1.1 Adresse d'au moins un destinataire invalide.\n",
              sender="postmaster@orange.test", subject="Échec de la remise du message"), "failed 5.1.1 550"),
    "netease": Case(
        dsn("Final-Recipient: rfc822;ann@fabrikam.test\nAction: failed\nStatus: 5.0.0\nDiagnostic-Code: SMTP; 550 User not found: "
            "ann@fabrikam.test", sender="Postmaster@163.test", subject="系统退信"), "failed 5.0.0 550 ann@fabrikam.test"),
    "sina-words": Case(
        words("This is a system-generated message.\nThe following recipient address is not found:\n<ann@fabrikam.test>\n550 5.1.1 unknown\n",
              sender="mailer-daemon@sina.test", subject="Mail System Error - Returned Mail"), "failed 5.1.1 550"),
    "james": Case(
        dsn("Final-Recipient: rfc822; ann@fabrikam.test\nAction: failed\nStatus: 5.1.1\nDiagnostic-Code: X-Java; "
            "com.sun.mail.smtp.SMTPAddressFailedException: 550 5.1.1 unknown", human="Hi. This is the James mail server at x."), FAILED),
    "stalwart": Case(
        dsn("Final-Recipient: rfc822;ann@fabrikam.test\nAction: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 5.1.1 Mailbox does not exist."
            "\nRemote-MTA: dns; mx.fabrikam.test", mta="dns;stalwart.test"), FAILED),
    "maddy-no-code": Case(
        dsn("Final-Recipient: rfc822; ann@fabrikam.test\nAction: failed\nStatus: 5.4.0\nDiagnostic-Code: X-Maddy; no route to host"),
        "failed 5.4.0 0 ann@fabrikam.test"),
    "dovecot-quota": Case(
        dsn("Final-Recipient: rfc822; ann@fabrikam.test\nAction: failed\nStatus: 5.2.2\nDiagnostic-Code: x-unix; Quota exceeded (mailbox for "
            "user is full)", subject="Rejected: Hello"), "failed 5.2.2 0 ann@fabrikam.test"),
    "cyrus-unix-code": Case(
        dsn("Final-Recipient: RFC822; ann@fabrikam.test\nAction: failed\nStatus: 5.1.1\nDiagnostic-Code: X-Unix; 67"),
        "failed 5.1.1 0 ann@fabrikam.test"),
    "x400-gateway": Case(
        dsn("Original-Recipient: rfc822;ann@fabrikam.test\nFinal-Recipient: x400; /S=ann/O=fabrikam/\nAction: failed\nStatus: 5.1.1\n"
            "Diagnostic-Code: x400; (1)"), "failed 5.1.1 0 ann@fabrikam.test"),
    "no-status-field": Case(
        dsn("Final-Recipient: rfc822; ann@fabrikam.test\nAction: failed\nDiagnostic-Code: smtp; 550 5.1.1 unknown"), FAILED),
    "no-action-field": Case(
        dsn("Final-Recipient: rfc822; ann@fabrikam.test\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 5.1.1 unknown"), FAILED),
    "no-recipient-field": Case(dsn("Action: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 5.1.1 unknown"), "failed 5.1.1 550 "),
    "orcpt-in-xtext": Case(
        dsn("Original-Recipient: rfc822;ann+2Blist@fabrikam.test\nFinal-Recipient: rfc822;x@other.test\nAction: failed\nStatus: 5.1.1"),
        "failed 5.1.1 0 ann+2Blist@fabrikam.test"),
    "forwarded-to-another-address": Case(
        dsn("Final-Recipient: rfc822;ann.private@other.test\nAction: failed\nStatus: 5.2.1"), "failed 5.2.1 0 ann.private@other.test"),
    "no-blank-line-between-recipients": Case(
        dsn("Final-Recipient: rfc822; a@fabrikam.test\nAction: failed\nStatus: 5.1.1\nFinal-Recipient: rfc822; b@fabrikam.test\nAction: failed\n"
            "Status: 5.2.1"), "failed 5.1.1 0 a@fabrikam.test|failed 5.2.1 0 b@fabrikam.test"),
    "fields-in-a-text-part": Case(
        words("Delivery failed.\n\nReporting-MTA: dns; mx.fabrikam.test\n\nFinal-Recipient: rfc822; ann@fabrikam.test\nAction: failed\nStatus: "
              "5.1.1\nDiagnostic-Code: smtp; 550 5.1.1 unknown\n"), FAILED),
    "address-in-brackets": Case(
        dsn("Final-Recipient: rfc822; <ann@fabrikam.test>\nAction: Failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 unknown"), FAILED),
    "version-number-is-no-code": Case(
        dsn("Final-Recipient: rfc822; ann@fabrikam.test\nAction: failed\nStatus: 5.0.0\nDiagnostic-Code: smtp; 550 rejected by 5.1.1.7 "
            "(server 15.1.2.3)"), "failed 5.0.0 550 ann@fabrikam.test"),
    "html-only": Case(
        words("<html><body><p>Delivery has failed to these recipients:</p><p><a href='mailto:ann@fabrikam.test'>ann@fabrikam.test</a></p>"
              "<p>550 5.1.1 User unknown</p></body></html>\n", subject="Undeliverable: Hello",
              head="MIME-Version: 1.0\nContent-Type: text/html; charset=utf-8\n"), "failed 5.1.1 550"),
    "no-recipient-in-words": Case(
        words("Your message was not delivered. The server said: 550 5.1.1 no such user\n", subject="Undelivered Mail Returned to Sender"),
        "failed 5.1.1 550"),
    "report-wrapped-by-a-gateway": Case(
        "From: gateway@fabrikam.test\nSubject: FW: report\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=wrap\n\n--wrap\n\n"
        "See below.\n--wrap\nContent-Type: message/rfc822\n\n"
        + dsn("Final-Recipient: rfc822; ann@fabrikam.test\nAction: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 unknown")
        + "\n--wrap--\n", FAILED),
    "bounce-of-a-bounce": Case(
        dsn("Final-Recipient: rfc822; ann@fabrikam.test\nAction: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 unknown").replace(
            "Return-Path: <b+a.x.y@bounce.postrider.test>\nFrom: News",
            "Content-Type: multipart/report; boundary=in\n\n--in\nContent-Type: message/delivery-status\n\nFinal-Recipient: rfc822; "
            "victim@else.test\nAction: failed\nStatus: 5.1.1\n\n--in--\nFrom: News"), FAILED),
    "out-of-office-exchange": Case(
        words("I am out of the office until Monday.\n", sender="Ann <ann@fabrikam.test>", subject="Automatic reply: Hello",
              head="Auto-Submitted: auto-generated\nX-Auto-Response-Suppress: All\n"), "auto-reply"),
    "out-of-office-vacation": Case(
        words("I am on holiday; this could not be delivered to me. 550 5.1.1\n", sender="Ann <ann@fabrikam.test>", subject="Re: Hello",
              head="Auto-Submitted: auto-replied (vacation)\nPrecedence: bulk\n"), "auto-reply"),
    "out-of-office-german": Case(
        words("Ich bin bis Montag nicht im Haus.\n", sender="ann@fabrikam.test", subject="=?utf-8?q?Abwesenheitsnotiz=3A_Hello?="),
        "auto-reply"),
    "auto-responder-cpanel": Case(
        words("Thank you.\n", sender="ann@fabrikam.test", subject="Thank you", head="X-Autorespond: Hello\nPrecedence: auto_reply\n"),
        "auto-reply"),
    "read-receipt": Case(
        "From: ann@fabrikam.test\nSubject: Read: Hello\nMIME-Version: 1.0\nContent-Type: multipart/report; report-type=disposition-notification;"
        " boundary=m\n\n--m\n\nYour message was read.\n--m\nContent-Type: message/disposition-notification\n\nFinal-Recipient: "
        "rfc822;ann@fabrikam.test\nDisposition: manual-action/MDN-sent-manually; displayed\n\n--m--\n", "auto-reply"),
    "reply-of-a-person": Case(
        words("Hello, your invoice was rejected by our accounting, please send it again.\n", sender="Ann <ann@fabrikam.test>",
              subject="Re: Invoice"), "unreadable"),
    "challenge-response": Case(
        words("Please confirm that you are a human: follow the link.\n", sender="ann@fabrikam.test", subject="Confirm your message"),
        "unreadable"),
    "spam-to-the-address": Case(words("Buy now.\n", sender="shop@spam.test", subject="Offer"), "unreadable"),
    "empty": Case("", "unreadable"),
    "header-only": Case("From: MAILER-DAEMON@x.test\nSubject: failure notice", "unreadable"),
}  # fmt: skip
