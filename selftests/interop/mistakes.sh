#!/bin/bash
# SPDX-License-Identifier: MIT
# Mistakes a user may make: each is one sentence that says what failed, on what, and what to do, and an exit status that
# tells them apart.
# shellcheck disable=SC2317 # functions are called by check
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

make_files
make_server_certs
make_ocsp ec
t() { timeout 30 tlsrec "$@"; }
try() { check_status "$1" "$2" "$3" t "${@:4}"; }

# ---- arguments ----

try "no command" 2 'Usage' ''
try "an unknown command" 2 'no command' server
try "an unknown option" 2 'unrecognized option' serve --nonsense www
try "no directory" 2 'which directory' serve
try "two directories" 2 'one too many' serve www www
try "no host" 2 'which host' connect
try "two hosts" 2 'one too many' connect a b
try "a URL in place of a host" 2 'not a URL' connect https://localhost/
try "a bad port" 2 'from 1 to 65535' connect localhost:70000
try "a bad port to serve on" 2 'from 0 to 65535' serve www --port 70000
try "both versions and none" 2 'exclude each other' trace --tls1.2 --tls1.3 localhost
try "a key before its certificate" 2 'after the --cert' serve www --key "$PKI/ec.key"
try "a key without certificate" 2 'without --cert' connect --key "$PKI/ec.key" localhost
try "--help of serve" 0 'Usage' serve --help
try "--help of connect" 0 'Usage' connect --help
try "--help of trace" 0 'Usage' trace --help
try "--help" 0 'Usage' --help
try "--version" 0 'OpenSSL' --version

# ---- files ----

try "a directory that is not there" 1 'No such file' serve --ulp "$ULP" /none
try "a file in place of a directory" 1 'Not a directory' serve --ulp "$ULP" "$PKI/ca.pem"
try "a certificate that is not there" 1 'none.pem' serve --ulp "$ULP" www --cert none.pem
try "a key that is not there" 1 'none.key' serve --ulp "$ULP" www --cert "$PKI/ec.pem" --key none.key
try "a key of another certificate" 1 'rsa.key' serve --ulp "$ULP" www --cert "$PKI/ec.pem" --key "$PKI/rsa.key"
try "a certificate without key" 1 'key' serve --ulp "$ULP" www --cert "$PKI/ec.pem"
try "something that is no certificate" 1 'page.txt' serve --ulp "$ULP" www --cert www/page.txt
try "roots that are not there" 1 'none.pem' connect --ulp "$ULP" --cafile none.pem localhost
try "roots that are none" 1 'page.txt' connect --ulp "$ULP" --cafile www/page.txt localhost
try "a revocation list that is none" 1 'page.txt' connect --ulp "$ULP" --crl www/page.txt localhost
try "an OCSP response that is none" 1 'page.txt' serve --ulp "$ULP" www --cert "$PKI/ec.pem" --key "$PKI/ec.key" --ocsp www/page.txt
try "a suite the kernel cannot carry" 1 'CCM_8' connect --ulp "$ULP" --ciphers TLS_AES_128_CCM_8_SHA256 localhost
try "a suite that does not exist" 1 '"TYPO"' connect --ulp "$ULP" --ciphers ECDHE-RSA-AES128-GCM-SHA256:TYPO localhost
try "a suite that does not exist, serve" 1 '"TYPO"' serve --ulp "$ULP" www --ciphers ECDHE-RSA-AES128-GCM-SHA256:TYPO
try "no name of a record layer" 1 'ULP is empty' connect --ulp '' localhost
try "an empty list of groups" 1 'groups' connect --ulp "$ULP" --groups '' localhost
try "an address that is empty" 1 'cannot listen' serve --ulp "$ULP" www --listen ''
try "an OCSP response about another certificate" 1 'another certificate' \
	serve --ulp "$ULP" www --cert "$PKI/rsa.pem" --key "$PKI/rsa.key" --ocsp "$PKI/ec.ocsp"
try "a group that does not exist" 1 'P-257' connect --ulp "$ULP" --groups P-257 localhost

# ---- network ----

try "nobody listens" 3 'refused' connect --ulp "$ULP" localhost:9
try "a host that does not exist" 3 'look up' connect --ulp "$ULP" no-such-host.invalid
python3 -c "
import socket, time
s = socket.create_server(('', 4000), family=socket.AF_INET6, dualstack_ipv6=True)
time.sleep(60)" &
last_pid=$!
pids+=("$last_pid")
wait_for_port 4000
try "a port that is taken" 1 'Another program has it' serve --ulp "$ULP" www --port 4000
try "an address that is not ours" 1 'does not have that address' serve --ulp "$ULP" www --listen 192.0.2.1
stop_last

# ---- the kernel ----

try "a record layer that does not exist, serve" 7 'no such record layer' serve --ulp nonsense www
(cd www && exec openssl s_server -accept 4001 -WWW -cert "$PKI/ec.pem" -key "$PKI/ec.key") >/dev/null 2>&1 <&"$SILENCE" &
last_pid=$!
pids+=("$last_pid")
wait_for_port 4001
for name in '' . [ .localhost 'local host' '*.localhost'; do
	for command in connect trace; do
		try "$command, --name \"$name\" is no name" 1 'no certificate can be for' \
			$command --ulp "$ULP" --cafile "$PKI/ca.pem" --name "$name" localhost:4001
	done
done
try "a record layer that does not exist, connect" 7 'no such record layer' \
	connect --ulp nonsense --cafile "$PKI/ca.pem" localhost:4001
try "a record layer that does not exist, trace shows the handshake all the same" 7 'ServerHello' \
	trace --ulp nonsense --cafile "$PKI/ca.pem" localhost:4001
try "and says what is missing" 7 'no such record layer' trace --ulp nonsense --cafile "$PKI/ca.pem" localhost:4001
as_nobody() { setpriv --reuid 65534 --regid 65534 --clear-groups "$(command -v tlsrec)" "$@"; }
page_as_nobody() {
	printf 'GET /page.txt HTTP/1.0\r\n\r\n' | as_nobody connect -q --ulp "$ULP" -k localhost:4001
}
check_status "users that are not root may connect" 0 'fox' page_as_nobody
check_status "but not serve on port 443" 1 'below 1024' as_nobody serve --ulp "$ULP" / --port 443
stop_last

finish
