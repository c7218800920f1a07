#!/bin/bash
# SPDX-License-Identifier: MIT
# guest: -r trixie -p replace_tls=1 -M 2048
#
# Other programs with kernel TLS at one end: h2load with KTLS against nginx with KTLS, and GnuTLS, with its key updates,
# against OpenSSL with KTLS.
# shellcheck disable=SC2317 # functions are called by check
# shellcheck disable=SC2034 # for lib.sh
ULP=tls
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

make_server_certs
mkdir www
head -c 100000 /dev/urandom >www/file
check "nobody else is the kernel's TLS" in_the_place_of_tls

# ---- h2load ----

nginx_version=$(nginx_version)
openssl_version=$(openssl_version)
h2load_version="$(h2load --version | sed 's|.*/||') (OpenSSL $openssl_version)"
# shellcheck disable=SC2016 # nginx's own variables
ktls_nginx '$server_protocol $ssl_protocol $status $body_bytes_sent'

# load HTTP VERSION-OF-TLS OPTION...: 200 requests on 8 connections. Every connection gives the kernel four keys.
load() {
	local http=$1 port=401${2#1.}
	shift 2
	mark
	: >access.log
	timeout 300 h2load --ktls -n 200 -c 8 "$@" "https://localhost:$port/file" >text 2>&1
	grep -E '^(requests|status codes|traffic|TLS Protocol|Cipher|Application protocol)' text
	grep -q '200 total, 200 started, 200 done, 200 succeeded, 0 failed, 0 errored' text || return 1
	until_true logged "$http" || return 1
	# Each answer is the file: its length is checked by h2load, its bytes by the records' authentication.
	expect TlsTxSw = 16 TlsRxSw = 16 TlsrecTxBytes -ge 20000000 TlsrecRxBytes -ge 20000000 TlsDecryptError = 0 && driver_named
}
logged() { grep -c "^HTTP/$1 .* 200 100000$" access.log | grep -qx 200; }
for v in 1.2 1.3; do
	check "h2load, TLS $v, HTTP/2, 8 connections with 10 streams" load 2.0 $v -m 10
	proved h2load "$h2load_version" client "TLS $v, HTTP/2" "--ktls: 200 requests, 8 connections with 10 streams, nginx $nginx_version with KTLS; driver $(drivers)"
	check "h2load, TLS $v, HTTP/1.1, 8 connections" load 1.1 $v --h1
	proved h2load "$h2load_version" client "TLS $v, HTTP/1.1" "--ktls: 200 requests, 8 connections, nginx $nginx_version with KTLS; driver $(drivers)"
done
stop_last
nothing_bad() { ! grep -E '\[(error|crit|alert|emerg)\]' error.log; }
check "there is nothing bad in nginx's log" nothing_bad

# ---- GnuTLS ----

gnutls_version=$(gnutls-cli --version | sed -n '1s/.* //p')
printf '[global]\nktls = true\n' >gnutls.cfg
export GNUTLS_SYSTEM_PRIORITY_FILE=$WORK/gnutls.cfg

# s_server KTLS... ends its input when asked to; gnutls-cli sends lines with key updates between them, which the other
# side answers, and then the other way.
V12=NORMAL:-VERS-ALL:+VERS-TLS1.2
V13=NORMAL:-VERS-ALL:+VERS-TLS1.3
has_lines() {
	local n
	for n in 1 2 3 4 5; do
		grep -q "$2 line $n\$" "$1" || return 1
	done
}
# with_updates PRIORITY LOCAL-COMMAND...: three lines, and the commands of gnutls-cli between them
talk() {
	local priority=$1 n server in out
	shift
	next_port
	rm -f in out
	mkfifo in out
	# shellcheck disable=SC2094 # a pipe
	exec {in}<>in {out}<>out
	mark
	openssl s_server -ktls -accept "$port" -quiet -cert "$PKI/ec.pem" -key "$PKI/ec.key" <in >at_server 2>s_server.log &
	last_pid=$!
	pids+=("$last_pid")
	wait_for_port "$port"
	timeout 200 gnutls-cli --inline-commands --priority "$priority" --x509cafile "$PKI/ca.pem" -p "$port" localhost <out >at_client 2>&1 &
	server=$last_pid
	last_pid=$!
	pids+=("$last_pid")
	until_true grep -q 'Handshake was completed' at_client
	for n in 1 2 3 4 5; do
		echo "client line $n" >out
		until_true grep -q "client line $n\$" at_server
		echo "server line $n" >in
		until_true grep -q "server line $n\$" at_client
		if [ $# -gt 0 ]; then
			echo "$1" >out
			until_true eval "[ \"\$(grep -c 'Rekey was completed' at_client)\" = $n ]"
			shift
		fi
	done
	kill "$last_pid" "$server"
	wait "$last_pid" "$server"
	exec {in}>&- {out}>&-
	cat s_server.log
	has_lines at_server client && has_lines at_client server && expect TlsTxSw -ge 1 TlsRxSw -ge 1 TlsDecryptError = 0
}
check "gnutls-cli and s_server, TLS 1.2" talk $V12
proved GnuTLS "$gnutls_version" client "TLS 1.2" "gnutls-cli in user space, OpenSSL $openssl_version with KTLS at the other end"
updates() {
	talk "$@" && expect TlsRxRekeyReceived = 4 TlsRxRekeyOk = 4 TlsTxRekeyOk = 2 TlsTxRekeyError = 0 TlsRxRekeyError = 0
}
check "gnutls-cli and s_server, TLS 1.3, key updates" updates $V13 '^rekey^' '^rekey1^' '^rekey^' '^rekey1^'
proved GnuTLS "$gnutls_version" client "TLS 1.3" "gnutls-cli in user space makes and asks for key updates, OpenSSL $openssl_version with KTLS at the other end"

# Its own support for KTLS is chosen when it is built, and Debian does not.
own_ktls() {
	# shellcheck disable=SC2046 # a list of one
	grep -q 'Unable to set TCP_ULP' $(find /usr/lib -name 'libgnutls.so.30*' -type f)
}
if own_ktls; then
	check "gnutls-cli gives its keys to the kernel" eval "talk $V13 && expect TlsTxSw = 2 TlsRxSw = 2"
	proved GnuTLS "$gnutls_version" client "TLS 1.3" "ktls = true in its configuration; driver $(drivers)"
else
	skip "gnutls-cli gives its keys to the kernel" "GnuTLS $gnutls_version of Debian was built without support for kernel TLS"
fi

finish
