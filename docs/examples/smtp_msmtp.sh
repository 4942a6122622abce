#!/usr/bin/env bash
# Makes ~/.msmtprc, and sends a mail with it. The log has the reply of the server, and in it the id of the operation.
set -euo pipefail

umask 077 # the file holds the password
cat >~/.msmtprc <<END
account default
host $SMTP_HOST
port $SMTP_PORT
tls on
tls_starttls on
tls_trust_file ${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}
auth plain
user $SMTP_USERNAME
password $SMTP_PASSWORD
from $SENDER_ADDRESS
logfile ~/.msmtp.log
END

msmtp -t <<END
From: $SENDER_ADDRESS
To: $RECIPIENT_ADDRESS
Subject: Hello from Postrider

A mail from a script.
END
