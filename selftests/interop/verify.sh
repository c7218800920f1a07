#!/bin/bash
# SPDX-License-Identifier: MIT
# kernels: 6.12
# Identity: certificates that must be refused are refused, with the reason in words and the right exit status; good ones
# are taken. Names, dates, roots, revocation lists, stapled OCSP responses, client certificates, key sizes, versions, ALPN.
# All of that is decided in user space, hence on one kernel.
# shellcheck disable=SC2317 # functions are called by check
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

make_files
make_server_certs
make_cert expired ec serverAuth "$HERE" -startdate 20200101000000Z -enddate 20210101000000Z
make_cert future ec serverAuth "$HERE" -startdate 20480101000000Z -enddate 20490101000000Z
make_cert elsewhere ec serverAuth DNS:elsewhere.example
make_cert revoked ec serverAuth "$HERE"
make_cert usage ec clientAuth "$HERE"
make_cert client ec clientAuth DNS:client.example
make_ocsp ec
make_ocsp expired
make_ocsp revoked
cp "$PKI/revoked.ocsp" "$PKI/revoked-was-good.ocsp"
openssl ca -config "$PKI/ca.cnf" -revoke "$PKI/revoked.pem" 2>>pki.log
make_ocsp revoked
make_crl
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=self -addext "subjectAltName=$HERE" \
	-keyout "$PKI/self.key" -out "$PKI/self.pem" 2>>pki.log
openssl req -x509 -newkey rsa:1024 -nodes -days 30 -subj /CN=small -addext "subjectAltName=$HERE" \
	-keyout "$PKI/small.key" -out "$PKI/small.pem" 2>>pki.log
mark

printf 'GET /page.txt HTTP/1.0\r\n\r\n' >request
connect() { timeout 60 tlsrec connect --ulp "$ULP" --cafile "$PKI/ca.pem" "$@" "localhost:$port" <request; }
page_comes() { connect "$@" | tee "$WORK/page" | grep -q 'quick brown fox'; }
refused() { check_status "$1" 4 "$2" connect "${@:3}"; }

# ---- dates, names, usage, roots ----

page_server ec
check "a good certificate is taken" page_comes
check "also by address" timeout 60 tlsrec trace --brief --ulp "$ULP" --cafile "$PKI/ca.pem" "127.0.0.1:$port"
check "also by IPv6 address" timeout 60 tlsrec trace --brief --ulp "$ULP" --cafile "$PKI/ca.pem" "[::1]:$port"
refused "an unknown root" 'neither among the trusted roots' --cafile "$PKI/self.pem"
refused "another name than wanted" 'elsewhere.example' --name elsewhere.example
check "--no-verify connects all the same" page_comes --no-verify --cafile "$PKI/self.pem"
not_verified() { connect --no-verify --cafile "$PKI/self.pem" 2>&1 >/dev/null | grep -q 'NOT VERIFIED'; }
check "and says that nothing was verified" not_verified
in_directory() {
	mkdir hashed && cp "$PKI/ca.pem" hashed && openssl rehash hashed || return 1
	timeout 60 tlsrec connect -q --ulp "$ULP" --capath hashed "localhost:$port" <request | grep -q 'quick brown fox'
}
check "--capath finds the root" in_directory
stop_last
page_server expired
refused "an expired certificate" expired
stop_last
page_server future
refused "a certificate that is not valid yet" 'not valid before 2048'
stop_last
page_server elsewhere
refused "a certificate for another host" 'localhost'
check "which --name makes right" page_comes --name elsewhere.example
stop_last
page_server usage
refused "a certificate for clients only" 'usage\|purpose\|server'
stop_last
page_server self
refused "a self-signed certificate" 'self-signed\|trusted roots\|itself'
check "which is taken as its own root" page_comes --cafile "$PKI/self.pem"
stop_last
page_server small -cipher DEFAULT@SECLEVEL=0
refused "a key of 1024 bits" '1024\|too small\|bits' --cafile "$PKI/small.pem"
stop_last
page_server rsa
check "an RSA key of 2048 bits" page_comes
refused "is too small for --min-key-bits 3072" '2048\|3072' --min-key-bits 3072
stop_last

# ---- revocation ----

page_server ec
check "a certificate that is on no list" page_comes --crl "$PKI/crl.pem"
refused "--require-ocsp and no response" 'OCSP' --require-ocsp
stop_last
page_server revoked
refused "a certificate on the revocation list" 'revoked' --crl "$PKI/crl.pem"
stop_last
for version in --tls1.2 --tls1.3; do
	page_server ec -status_file "$PKI/ec.ocsp"
	check "a good OCSP response, $version" page_comes "$version" --require-ocsp
	stop_last
	page_server revoked -status_file "$PKI/revoked.ocsp"
	refused "a response that says revoked, $version" 'revoked' "$version"
	check "--no-ocsp does not ask, $version" page_comes "$version" --no-ocsp
	stop_last
	page_server ec -status_file "$PKI/revoked.ocsp"
	refused "a response for another certificate, $version" 'OCSP' "$version" --require-ocsp
	stop_last
done

# As most authorities do it: a server below two intermediates, whose issuer leaves the answers to a responder.

# sign NAME ISSUER EXTENSION...: NAME.pem, NAME.key
sign() {
	openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" -keyout "$PKI/$1.key" -out "$PKI/$1.csr" &&
		printf '%s\n' "${@:3}" >"$PKI/$1.ext" &&
		openssl x509 -req -days 30 -in "$PKI/$1.csr" -CA "$PKI/$2.pem" -CAkey "$PKI/$2.key" -CAcreateserial \
			-extfile "$PKI/$1.ext" -out "$PKI/$1.pem"
} >>pki.log 2>&1

# respond STATUS [HASH [OPTION...]]: below.ocsp, by a responder that knows of one certificate
respond() {
	local number
	number=$(openssl x509 -in "$PKI/below.pem" -noout -serial)
	if [ "$1" = V ]; then
		printf 'V\t491231235959Z\t\t%s\tunknown\t/CN=below\n' "${number#serial=}"
	else
		printf 'R\t491231235959Z\t250101000000Z,keyCompromise\t%s\tunknown\t/CN=below\n' "${number#serial=}"
	fi >"$PKI/below.index"
	openssl ocsp "${2--sha1}" -issuer "$PKI/lower.pem" -cert "$PKI/below.pem" -reqout "$PKI/below.req" -no_nonce &&
		openssl ocsp -index "$PKI/below.index" -CA "$PKI/lower.pem" -rsigner "$PKI/responder.pem" \
			-rkey "$PKI/responder.key" -reqin "$PKI/below.req" -respout "$PKI/below.ocsp" "${@:3}"
} >>pki.log 2>&1

sign upper ca basicConstraints=critical,CA:TRUE keyUsage=keyCertSign,cRLSign
sign lower upper basicConstraints=critical,CA:TRUE keyUsage=keyCertSign,cRLSign
sign below lower "subjectAltName=$HERE" extendedKeyUsage=serverAuth
sign responder lower extendedKeyUsage=OCSPSigning noCheck=ignored
cat "$PKI/lower.pem" "$PKI/upper.pem" >"$PKI/chain.pem"

# below WHAT: the response is taken, or refused, or counts as none
below() {
	page_server below -cert_chain "$PKI/chain.pem" -status_file "$PKI/below.ocsp"
	case $1 in
	good) check "U7: $2" page_comes --require-ocsp ;;
	none)
		refused "U7: $2 is not enough for --require-ocsp" "$3" --require-ocsp
		check "U7: $2 is nothing" page_comes
		;;
	*)
		refused "U7: $2" "$3"
		not_verified() { connect -k 2>&1 >/dev/null | grep -q "NOT VERIFIED: .*$1"; }
		check "U7: $2: not verified" not_verified "$3"
		;;
	esac
	stop_last
}
respond V -sha1 -ndays 7
below good "a responder below two intermediates"
respond V -sha1 -ndays 7 -resp_key_id
below good "which is named by its key"
respond V -sha256 -ndays 7
below good "a CertID with SHA-256"
respond V
below good "a new response that does not say how long it is good"
respond R -sha256 -ndays 7
below bad "a responder below two intermediates says revoked" revoked
respond V -sha1 -ndays 7 -resp_no_certs
below bad "a responder without its certificate" 'not signed by'
printf '\060\003\012\001\003' >"$PKI/below.ocsp"
below none "a stapled tryLater" trylater

# tlsrec serve staples, s_client checks.
serve --cert "$PKI/ec.pem" --key "$PKI/ec.key" --ocsp "$PKI/ec.ocsp"
stapled() {
	openssl s_client -connect "localhost:$port" "$1" -status -CAfile "$PKI/ca.pem" </dev/null 2>&1 |
		tee "$WORK/status" | grep -q 'Cert Status: good'
}
check "serve staples its OCSP response, TLS 1.2" stapled -tls1_2
check "serve staples its OCSP response, TLS 1.3" stapled -tls1_3
check "which tlsrec connect requires" page_comes --require-ocsp
stop_last

# ---- client certificates ----

for version in --tls1.2 --tls1.3; do
	page_server ec -CAfile "$PKI/ca.pem" -Verify 1 -verify_return_error
	check "a client certificate for s_server, $version" page_comes "$version" --cert "$PKI/client.pem" --key "$PKI/client.key"
	without() { ! page_comes "$version"; }
	check "without one s_server sends us away, $version" without
	stop_last
	serve --cert "$PKI/ec.pem" --key "$PKI/ec.key" --client-ca "$PKI/ca.pem"
	check "a client certificate for serve, $version" page_comes "$version" --cert "$PKI/client.pem" --key "$PKI/client.key"
	check "without one serve sends us away, $version" without
	check "and says so in its log" grep -qi certificate "$WORK/serve-$port.log"
	stop_last
done

# ---- own certificates ----

serve --cert "$PKI/expired.pem" --key "$PKI/expired.key" --ocsp "$PKI/expired.ocsp"
check "U10: serve says that its certificate has expired" grep -q 'expired.pem.* expired on 2021' "$WORK/serve-$port.log"
refused "U10: and serves it" 'it expired on 2021'
stop_last
serve --cert "$PKI/revoked.pem" --key "$PKI/revoked.key" --ocsp "$PKI/revoked.ocsp"
check "U10: serve says that its staple says revoked" grep -q 'revoked.ocsp.*was revoked' "$WORK/serve-$port.log"
stop_last

# ---- versions, suites, ALPN ----

page_server ec -tls1_2
check_status "a server with TLS 1.2 only, and we want TLS 1.3" 5 'version' connect --tls1.3
stop_last
page_server ec -no_tls1_2 -no_tls1_3 -cipher DEFAULT@SECLEVEL=0
check_status "a server with TLS 1.1 at most" 5 'version' connect
stop_last
page_server ec -tls1_2 -cipher ECDHE-ECDSA-AES128-SHA256
check_status "a server with nothing but CBC" 5 'cipher\|handshake' connect
stop_last
page_server ec -alpn http/1.1,h2
alpn() { connect --alpn "$1" 2>&1 >/dev/null | grep -q "protocol *$2\$"; }
check "ALPN: the protocol both have" alpn x,http/1.1 http/1.1
check_status "ALPN: nothing in common" 5 'protocol' connect --alpn x
stop_last
serve --alpn http/1.1
check_status "ALPN: serve refuses a client that wants something else" 5 'protocol' connect -k --alpn h2
check "the throw-away certificate works with --no-verify" page_comes -k
stop_last

check "the kernel carried the records" kernel_was_used
finish
