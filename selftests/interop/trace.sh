#!/bin/bash
# SPDX-License-Identifier: MIT
# tlsrec trace: what it shows of a handshake is what happened, for both versions and every key exchange, as text and JSON.
# shellcheck disable=SC2317 # functions are called by check
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

make_server_certs
make_ocsp ec
make_ocsp rsa
mark

s_server() {
	next_port
	openssl s_server -accept "$port" -cert "$PKI/rsa.pem" -key "$PKI/rsa.key" -status_file "$PKI/rsa.ocsp" \
		-alpn http/1.1 -quiet -keylogfile keys "$@" >/dev/null 2>&1 <&"$SILENCE" &
	last_pid=$!
	pids+=("$last_pid")
	wait_for_port "$port"
}
trace() { timeout 60 tlsrec trace --ulp "$ULP" --cafile "$PKI/ca.pem" "$@" "localhost:$port"; }
# In this order, other lines between them.
in_order() {
	local file=$1 from=1 line
	shift
	for pattern; do
		line=$(tail -n "+$from" "$file" | grep -n -m 1 -e "$pattern" | cut -d: -f1)
		[ -n "$line" ] || { echo "missing: $pattern"; cat "$file"; return 1; }
		from=$((from + line))
	done
}
shows() {
	local options=$1
	shift
	# shellcheck disable=SC2086
	trace $options >text 2>&1 || { cat text; return 1; }
	in_order text "$@"
}

s_server
check "TLS 1.3" shows "--tls1.3 --alpn http/1.1" \
	'TCP connection open' '=> ClientHello' 'random  *[0-9a-f]\{64\}' 'cipher suites .*TLS_AES_128_GCM_SHA256' \
	'server_name  *localhost' 'alpn  *http/1.1' 'supported_versions  *TLS 1.3' 'key_share  *group x25519' \
	'<= ServerHello' 'SERVER_HANDSHAKE_TRAFFIC_SECRET' '<= EncryptedExtensions' '<= Certificate ' 'subject  *CN = rsa' \
	'certificate checked' 'CN=tlsrec test CA' 'dates  *valid' 'verdict  *good' 'wanted name  *localhost' 'verdict  *good' \
	'<= CertificateVerify' 'rsa_pss_rsae_sha256' '<= Finished' 'SERVER_TRAFFIC_SECRET_0' 'verdict  *good' '=> Finished' \
	'CLIENT_TRAFFIC_SECRET_0' '=> keys installed' 'AES-128-GCM' 'sequence number  *0' "record layer  *$ULP" 'TLS_TX' 'hidden' \
	'<= keys installed' 'TLS_RX' 'handshake done' 'certificate verified yes'
check "TLS 1.2, ECDHE" shows "--tls1.2 --ciphers ECDHE-RSA-AES256-GCM-SHA384" \
	'=> ClientHello' '<= ServerHello' 'cipher suite  *TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384' '<= Certificate ' \
	'<= CertificateStatus' '<= ServerKeyExchange' 'curve  *x25519' 'signature algorithm' '<= ServerHelloDone' \
	'=> ClientKeyExchange' '=> ChangeCipherSpec' 'CLIENT_RANDOM' '=> Finished' '<= NewSessionTicket' '<= ChangeCipherSpec' \
	'<= Finished' '=> keys installed' 'AES-256-GCM' 'sequence number  *1' '<= keys installed' 'sequence number  *1'
check "TLS 1.2, DHE" shows "--tls1.2 --ciphers DHE-RSA-AES128-GCM-SHA256" '<= ServerKeyExchange' 'prime bits' '=> ClientKeyExchange'
check "TLS 1.2, RSA" shows "--tls1.2 --ciphers AES128-GCM-SHA256" '<= ServerHelloDone' 'encrypted premaster secret'
check "another group" shows "--tls1.3 --groups P-256" 'key_share  *group secp256r1' '<= ServerHello' 'group secp256r1'

no_secrets() {
	: >keys
	trace "$@" >text 2>&1
	sleep 0.5
	[ -s keys ] || { echo "s_server has logged no keys"; return 1; }
	! grep -q -F -f <(sed '/^#/d' keys | cut -d' ' -f3) text
}
check "secrets stay hidden, TLS 1.3" no_secrets --tls1.3
check "secrets stay hidden, TLS 1.2" no_secrets --tls1.2
check "secrets stay hidden in JSON" no_secrets --json
shows_secrets() {
	: >keys
	trace --show-secrets "$@" >text 2>&1
	sleep 0.5
	[ "$(sed '/^#/d' keys | cut -d' ' -f3 | while read -r secret; do grep -c -F -- "$secret" text; done | grep -vc '^0')" -gt 0 ]
}
check "and are shown on demand, TLS 1.3" shows_secrets --tls1.3
check "and are shown on demand, TLS 1.2" shows_secrets --tls1.2
json() {
	trace --json | python3 -c '
import json, sys
d = json.load(sys.stdin)
names = [e["event"] for e in d["events"]]
for want in ("TcpConnected", "ClientHello", "ServerHello", "Certificate", "CertificateChecked", "Finished", "KeysInstalled"):
    assert want in names, want
assert d["result"]["certificate_verified"] is True
assert "error" not in d["result"]
assert all("malformed" not in json.dumps(e) for e in d["events"])
times = [e["time_ms"] for e in d["events"]]
assert min(times) >= 0'
}
check "JSON that a program can read" json
failed_json() {
	timeout 60 tlsrec trace --json --ulp "$ULP" --name elsewhere.example --cafile "$PKI/ca.pem" "localhost:$port" 2>/dev/null >text
	[ $? = 4 ] && python3 -c 'import json; assert "elsewhere" in json.load(open("text"))["result"]["error"]'
}
check "also when the handshake fails" failed_json
stop_last

s_server -groups P-384
check "HelloRetryRequest" shows --tls1.3 '=> ClientHello' '<= HelloRetryRequest' 'group secp384r1' '=> ClientHello' \
	'<= ServerHello' 'keys installed'
stop_last
s_server -CAfile "$PKI/ca.pem" -Verify 1
refused_without() {
	! trace --tls1.2 >text 2>&1 &&
		in_order text '<= CertificateRequest' 'certificate types' '<= Alert' 'handshake failed'
}
check "CertificateRequest, and no certificate to answer with" refused_without
stop_last

check "the kernel carried the records" kernel_was_used
finish
