"""Sends a mail by SMTP with Python's standard library."""

import os
import smtplib
import ssl
from email.message import EmailMessage

message = EmailMessage()
message["From"] = os.environ["SENDER_ADDRESS"]
message["To"] = os.environ["RECIPIENT_ADDRESS"]
message["Subject"] = "Hello from Postrider"
message.set_content("A mail with text, HTML and an attachment.")
message.add_alternative("<p>A mail with text, <b>HTML</b> and an attachment.</p>", subtype="html")
message.add_attachment("stage,horses\n1,4\n", subtype="csv", filename="list.csv")

with smtplib.SMTP(os.environ["SMTP_HOST"], int(os.environ["SMTP_PORT"])) as client:
    client.starttls(context=ssl.create_default_context())
    client.login(os.environ["SMTP_USERNAME"], os.environ["SMTP_PASSWORD"])
    client.send_message(message)
