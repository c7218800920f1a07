#!/bin/bash
# SPDX-License-Identifier: MIT
# kernels: 6.12
# Resumed sessions: whoever a full handshake would refuse is not let in by one, client and server, with OpenSSL's s_server
# and s_client. All of that is decided in user space, hence on one kernel.
# shellcheck disable=SC2317 # functions are called by check
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

make_files
make_server_certs
make_cert client ec clientAuth DNS:client.example
make_cert brief ec clientAuth DNS:brief.example -enddate "$(date -u -d '+1 hour' +%Y%m%d%H%M%SZ)"
make_ocsp ec
make_crl
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=other -addext "subjectAltName=$HERE" \
	-keyout "$PKI/other.key" -out "$PKI/other.pem" 2>>pki.log
mark

# ---- client ----

printf 'GET /page.txt HTTP/1.0\r\n\r\n' >request
connect() {
	timeout 60 tlsrec connect --ulp "$ULP" "$version" --session-file session "$@" "localhost:$port" <request
}
page_comes() { connect "$@" 2>said | grep -q 'quick brown fox' || { cat said; false; }; }
trusting() { page_comes --cafile "$PKI/ca.pem" "$@"; }
resumed() { trusting "$@" && grep -q resumed said; }
in_full() { trusting "$@" && ! grep -q resumed said; }
# Each attempt begins with the same session.
keep() { cp session kept; }
refused() {
	cp kept session
	check_status "$1, $version" 4 "$2" connect "${@:3}"
}

for version in --tls1.2 --tls1.3; do
	rm -f session
	: >session
	chmod 644 session
	page_server ec -status_file "$PKI/ec.ocsp"
	check "a first session, $version" in_full
	check "is for nobody else to read, whatever was there, $version" test "$(stat -c %a session)" = 600
	keep
	check "is resumed, $version" resumed
	cp kept session
	check "with a list it is not on, and its OCSP response, $version" resumed --crl "$PKI/crl.pem" --require-ocsp
	refused "not with other roots" 'trusted roots' --cafile "$PKI/other.pem"
	refused "nor for another name" 'elsewhere.example' --cafile "$PKI/ca.pem" --name elsewhere.example
	refused "nor with larger keys" 'too small' --cafile "$PKI/ca.pem" --min-key-bits 2048,384
	stop_last

	rm -f session
	page_server ec
	check "a session without OCSP response, $version" in_full
	keep
	refused "is none where one is required" 'OCSP' --cafile "$PKI/ca.pem" --require-ocsp
	# From a server's point of view: it was good when it began.
	cp "$PKI/index.txt" "$PKI/index.before"
	openssl ca -config "$PKI/ca.cnf" -revoke "$PKI/ec.pem" 2>>pki.log
	openssl ca -gencrl -config "$PKI/ca.cnf" -out "$PKI/revoking.pem" 2>>pki.log
	cp "$PKI/index.before" "$PKI/index.txt"
	refused "nor when its certificate was revoked since" 'revoked' --cafile "$PKI/ca.pem" --crl "$PKI/revoking.pem"

	rm -f session
	check "a session with --no-verify, $version" page_comes --no-verify --cafile "$PKI/other.pem"
	keep
	check "is resumed with verification, if it is good, $version" resumed
	refused "and if not, not" 'trusted roots' --cafile "$PKI/other.pem"

	openssl s_client -connect "localhost:$port" -ign_eof "-tls1_${version#*.}" -sess_out session <request >/dev/null 2>&1
	check "a session of s_client's is not ours, $version" in_full
	check "which is said, $version" grep -q 'no session that this library saved' said
	check "and replaced, $version" resumed
	stop_last
done

# ---- server ----

# get OPTION...: s_client with a client certificate and a session file gets the page
get() {
	timeout 60 openssl s_client -connect "localhost:$port" "-${version#--}" -ign_eof -CAfile "$PKI/ca.pem" \
		-cert "$PKI/$client.pem" -key "$PKI/$client.key" "$@" <request >said 2>&1
	grep -q 'quick brown fox' said
}
began() { get -sess_out session && grep -q '^New, ' said; }
goes_on() { get -sess_in session -sess_out session && grep -q '^Reused, ' said; }
begins_again() { get -sess_in session && grep -q '^New, ' said; }
sent_away() { ! get -sess_in session && grep -qi 'certificate expired' said; }
later() { date -s "+$1" >/dev/null; }

for version in --tls1_2 --tls1_3; do
	for how in '' --no-tickets; do
		now=$(date +%s)
		# shellcheck disable=SC2086 # none or one
		serve --cert "$PKI/ec.pem" --key "$PKI/ec.key" --client-ca "$PKI/ca.pem" $how
		client=brief
		check "a client of serve, $version $how" began
		check "resumes, $version $how" goes_on
		later '70 minutes'
		check "and is sent away when its certificate has expired, $version $how" sent_away
		check "which serve says, $version $how" grep -qi expired "$WORK/serve-$port.log"
		date -s "@$now" >/dev/null

		client=client
		check "another, $version $how" began
		later '50 minutes'
		check "resumes, $version $how" goes_on
		later '50 minutes'
		check "and again, $version $how" goes_on
		later '50 minutes'
		check "until the session is two hours old, however often it was resumed, $version $how" begins_again
		date -s "@$now" >/dev/null
		stop_last
	done
done

check "the kernel carried the records" kernel_was_used
finish
