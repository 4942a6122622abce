"""Sends the letter of the file in LETTER (see smtp_clients.py) with smtplib, by what the environment says; prints the replies.

An error is a traceback, as a program has it that does not expect one. The field Bcc stays in the message: smtplib's own
`send_message` would take it out, and other programs do not.
"""

from __future__ import annotations

import json
import os
import smtplib
import ssl
import sys
from email.message import EmailMessage
from email.policy import SMTP

with open(os.environ["LETTER"], encoding="utf-8") as file:
    letter = json.load(file)
sender = os.environ["SENDER_ADDRESS"]
recipients = [letter["to"], letter["hidden"], letter["international"]]

message = EmailMessage(policy=SMTP)
message["From"] = f"Zoë <{sender}>"
message["To"] = letter["to"]
message["Bcc"] = letter["hidden"]
message["Subject"] = letter["subject"]
message.set_content(letter["text"])
message.add_alternative(letter["html"], subtype="html")
message.add_attachment(letter["attached"], subtype="csv", filename=letter["name"])

context = ssl.create_default_context()
if os.environ.get("IMPLICIT_TLS"):
    client: smtplib.SMTP = smtplib.SMTP_SSL(os.environ["SMTP_HOST"], int(os.environ["SMTP_TLS_PORT"]), context=context)
else:
    client = smtplib.SMTP(os.environ["SMTP_HOST"], int(os.environ["SMTP_PORT"]))
    client.starttls(context=context)
with client:
    client.login(os.environ["SMTP_USERNAME"], os.environ["SMTP_PASSWORD"])
    client.set_debuglevel(1)  # says the replies, of which `sendmail` keeps none
    refused = client.sendmail(sender, recipients, message.as_bytes(), mail_options=["SMTPUTF8"])
sys.exit(1 if refused else 0)
