#!/usr/bin/env bash
# Has the Postfix of this machine send all its mail by Postrider. Run it as root; the variables are those of ./postrider up.
set -euo pipefail

server="[$SMTP_HOST]:$SMTP_PORT" # in brackets: the host itself, and not its MX hosts
password_file=$(postconf -h config_directory)/postrider-password
(umask 077 && echo "$server $SMTP_USERNAME:$SMTP_PASSWORD" >"$password_file")

postconf -e \
  "relayhost = $server" \
  'smtp_tls_security_level = secure' \
  "smtp_tls_CAfile = ${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}" \
  'smtp_sasl_auth_enable = yes' \
  "smtp_sasl_password_maps = texthash:$password_file" \
  'smtp_sasl_security_options = noanonymous' \
  'smtp_host_lookup = native' \
  'myorigin = $myhostname' \
  "smtp_generic_maps = inline:{ { @$(postconf -h myhostname) = $SENDER_ADDRESS } }"
postfix reload
