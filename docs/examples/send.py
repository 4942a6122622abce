import base64
import os

from azure.communication.email import EmailClient

STAMP = (
    "iVBORw0KGgoAAAANSUhEUgAAABAAAAAMAQMAAABRKa/CAAAABlBMVEX///8eWqDV+EsyAAAAIUlEQVR42mP4/5/hADPDAlaGCZwMPYYMzQcZGhhR0P//"
    "AMdxCoQ1iOIzAAAAAElFTkSuQmCC"
)

message = {
    "senderAddress": os.environ["SENDER_ADDRESS"],
    "recipients": {"to": [{"address": os.environ["RECIPIENT_ADDRESS"], "displayName": "A Reader"}]},
    "content": {
        "subject": "Hello from Postrider",
        "plainText": "A mail with text, HTML, an attachment and an inline image.",
        "html": '<p><img src="cid:stamp" alt=""> A mail with <b>HTML</b>, an attachment and an inline image.</p>',
    },
    "attachments": [
        {
            "name": "list.csv",
            "contentType": "text/csv",
            "contentInBase64": base64.b64encode(b"stage,horses\r\n1,4\r\n").decode(),
        },
        {"name": "stamp.png", "contentType": "image/png", "contentInBase64": STAMP, "contentId": "stamp"},
    ],
}

client = EmailClient.from_connection_string(os.environ["COMMUNICATION_CONNECTION_STRING_EMAIL"])
result = client.begin_send(message).result()
print(result["id"], result["status"])
