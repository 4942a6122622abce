#!/usr/bin/env bash
# Makes a configuration of msmtp, and sends a mail with it. The log has the reply of the server, and in it the id of the
# operation. Under the name ~/.msmtprc it is the configuration of every program of yours that calls msmtp.
set -euo pipefail

configuration=~/.msmtprc-postrider
umask 077 # the file holds the password
cat >"$configuration" <<END
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

msmtp -C "$configuration" -t <<END
From: $SENDER_ADDRESS
To: $RECIPIENT_ADDRESS
Subject: Hello from Postrider

A mail from a script.
END
