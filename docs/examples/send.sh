#!/usr/bin/env bash
# Sends a mail with curl and asks what became of it; openssl makes the signature. The key is a client's secret: openssl is
# given it as an argument, which other users of the machine can see while it runs.
set -euo pipefail

connection=$COMMUNICATION_CONNECTION_STRING_EMAIL # endpoint=https://HOST/;accesskey=BASE64
endpoint=${connection#endpoint=} endpoint=${endpoint%%;*} endpoint=${endpoint%/}
key=$(printf %s "${connection#*;accesskey=}" | openssl base64 -d -A | od -An -v -tx1 | tr -d ' \n')

call() { # METHOD PATH-AND-QUERY BODY
  local date hash signature
  date=$(LC_ALL=C date -u '+%a, %d %b %Y %H:%M:%S GMT')
  hash=$(printf %s "$3" | openssl dgst -sha256 -binary | openssl base64 -A)
  signature=$(printf '%s\n%s\n%s;%s;%s' "$1" "$2" "$date" "${endpoint#*://}" "$hash" |
    openssl dgst -sha256 -mac HMAC -macopt "hexkey:$key" -binary | openssl base64 -A)
  curl -sS --fail-with-body ${SSL_CERT_FILE:+--cacert "$SSL_CERT_FILE"} -X "$1" "$endpoint$2" -H 'Content-Type: application/json' \
    -H "x-ms-date: $date" -H "x-ms-content-sha256: $hash" --data-binary "$3" \
    -H "Authorization: HMAC-SHA256 SignedHeaders=x-ms-date;host;x-ms-content-sha256&Signature=$signature"
}

stamp=iVBORw0KGgoAAAANSUhEUgAAABAAAAAMAQMAAABRKa/CAAAABlBMVEX///8eWqDV+EsyAAAAIUlEQVR42mP4/5/hADPDAlaGCZwMPYYMzQcZGhhR0P//
stamp+=AMdxCoQ1iOIzAAAAAElFTkSuQmCC
list=$(printf 'stage,horses\r\n1,4\r\n' | openssl base64 -A)

accepted=$(call POST '/emails:send?api-version=2025-09-01' '{
  "senderAddress": "'"$SENDER_ADDRESS"'",
  "recipients": {"to": [{"address": "'"$RECIPIENT_ADDRESS"'", "displayName": "A Reader"}]},
  "content": {
    "subject": "Hello from Postrider",
    "plainText": "A mail with text, HTML, an attachment and an inline image.",
    "html": "<p><img src=\"cid:stamp\" alt=\"\"> A mail with <b>HTML</b>, an attachment and an inline image.</p>"
  },
  "attachments": [
    {"name": "list.csv", "contentType": "text/csv", "contentInBase64": "'"$list"'"},
    {"name": "stamp.png", "contentType": "image/png", "contentInBase64": "'"$stamp"'", "contentId": "stamp"}
  ]
}')
echo "$accepted"
id=$(sed 's/.*"id" *: *"\([^"]*\)".*/\1/' <<<"$accepted")

for _ in 1 2 3 4 5 6 7 8 9 10; do
  sleep 1
  operation=$(call GET "/emails/operations/$id?api-version=2025-09-01" '')
  case $operation in *'"Running"'*) ;; *) break ;; esac
done
echo "$operation"
