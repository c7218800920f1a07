#!/bin/bash
# SPDX-License-Identifier: MIT
# A machine on which everything but the last line of README's "Install it" was done: that line, the command, and the
# example, which talks to it.
set -euo pipefail
unset LD_LIBRARY_PATH
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
cd /root
# Guests have a tlsrec.ko of the rig's, and root needs no sudo.
find "/lib/modules/$(uname -r)" -name 'tlsrec.ko*' ! -path "*/$(cat /install/module)" -delete
sudo() { "$@"; }
ran() { echo "# ran: $*"; }

# shellcheck disable=SC1091  # made by run
. /install/last-line
[[ $(modinfo -n tlsrec) == *"/$(cat /install/module)" ]]
dmesg | grep 'tlsrec: version .*, AES-GCM by '
ran "$(cat /install/last-line)"

tlsrec --version
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost \
	-addext subjectAltName=DNS:localhost -keyout /run/key.pem -out /run/cert.pem 2>/dev/null
mkdir www
echo 'hello from a clean machine' >www/index.html
tlsrec serve www --cert /run/cert.pem --key /run/key.pem >serve.log 2>&1 &
for ((i = 0; i < 600; i++)); do
	! ss -Hltn 'sport = :8443' | grep -q . || break
	sleep 0.1
done
# The host of the line in README is on the other side of the world.
read -r get _ </install/get-line
SSL_CERT_FILE=/run/cert.pem "$get" localhost 8443 | tee got
grep -q 'hello from a clean machine' got
grep '"GET /" 200' serve.log
ran "$(cat /install/get-line), with the server next door"
