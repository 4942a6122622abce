#!/usr/bin/env bash
# Sends a mail with an attachment by swaks, and checks the certificate.
set -euo pipefail

swaks --server "$SMTP_HOST:$SMTP_PORT" --tls --tls-verify ${SSL_CERT_FILE:+--tls-ca-path "$SSL_CERT_FILE"} \
  --auth PLAIN --auth-user "$SMTP_USERNAME" --auth-password "$SMTP_PASSWORD" \
  --from "$SENDER_ADDRESS" --to "$RECIPIENT_ADDRESS" --h-Subject 'Hello from Postrider' \
  --body 'A mail with an attachment.' --attach-type text/csv --attach-name list.csv --attach $'stage,horses\n1,4\n'
