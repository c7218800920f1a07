#!/bin/bash
# SPDX-License-Identifier: MIT
# OpenSSL as the peer, s_client and s_server: every key exchange, both versions and key sizes, both address families,
# bytes compared in both directions.
# shellcheck disable=SC2317 # functions are called by check
# shellcheck disable=SC2094 # what a program says is read while it says it
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

make_files
make_server_certs
mark

# get_with_s_client HOST:PORT FILE [OPTION...]
get_with_s_client() { s_client openssl "$@" 2>"$WORK/log"; }

# get_with_connect HOST:PORT FILE [OPTION...]
get_with_connect() {
	local peer=$1 file=$2
	shift 2
	printf 'GET /%s HTTP/1.0\r\n\r\n' "$file" |
		timeout 120 tlsrec connect --ulp "$ULP" --cafile "$PKI/ca.pem" "$@" "$peer" 2>"$WORK/log" | body >got
}

# TLS 1.2 suites by the names of OpenSSL; the certificate follows from the suite.
suites12="ECDHE-RSA-AES128-GCM-SHA256 ECDHE-RSA-AES256-GCM-SHA384 ECDHE-ECDSA-AES128-GCM-SHA256
	ECDHE-ECDSA-AES256-GCM-SHA384 DHE-RSA-AES128-GCM-SHA256 DHE-RSA-AES256-GCM-SHA384
	ECDHE-RSA-CHACHA20-POLY1305 ECDHE-ECDSA-CHACHA20-POLY1305"
suites13="TLS_AES_128_GCM_SHA256 TLS_AES_256_GCM_SHA384 TLS_CHACHA20_POLY1305_SHA256"
# Those that neither side takes unless it is told so.
rare12="AES128-GCM-SHA256 AES256-GCM-SHA384 ECDHE-ECDSA-AES128-CCM DHE-RSA-AES128-CCM AES128-CCM ECDHE-ARIA128-GCM-SHA256 ECDHE-ECDSA-ARIA256-GCM-SHA384"
rare13=TLS_AES_128_CCM_SHA256

# ---- tlsrec serve, s_client ----

serve --cert "$PKI/rsa.pem" --key "$PKI/rsa.key" --cert "$PKI/ec.pem" --key "$PKI/ec.key"
for suite in $suites12; do
	get_with_s_client "localhost:$port" million.bin -tls1_2 -cipher "$suite"
	check_same "serve to s_client, TLS 1.2 $suite" got www/million.bin
done
for suite in $suites13; do
	get_with_s_client "localhost:$port" million.bin -tls1_3 -ciphersuites "$suite"
	check_same "serve to s_client, TLS 1.3 $suite" got www/million.bin
done
for group in X25519 P-256 P-384; do
	get_with_s_client "localhost:$port" million.bin -groups "$group"
	check_same "serve to s_client, group $group" got www/million.bin
done
for peer in 127.0.0.1 '[::1]'; do
	get_with_s_client "$peer:$port" large.bin
	check_same "serve to s_client over $peer, 8 MiB" got www/large.bin
done
for version in -tls1_2 -tls1_3; do
	get_with_s_client "localhost:$port" million.bin "$version" -max_send_frag 1024
	check_same "serve to s_client $version, small records from the client" got www/million.bin
done
for version in -tls1_2 -tls1_3; do
	get_with_s_client "localhost:$port" million.bin "$version" -maxfraglen 512
	check_same "serve to s_client $version, which takes records of 512 bytes at most" got www/million.bin
done

# Sessions: -reconnect drops the connection and resumes it five times (TLS 1.2); TLS 1.3 needs a file.
resumed12() {
	echo | openssl s_client -connect "localhost:$port" -tls1_2 -reconnect -CAfile "$PKI/ca.pem" \
		| tee "$WORK/sessions" | grep -c '^Reused, TLSv1.2' | grep -qx 5
}
check "serve resumes TLS 1.2 sessions of s_client" resumed12
resumed13() {
	local i
	for i in out in; do
		printf 'GET /page.txt HTTP/1.0\r\n\r\n' | openssl s_client -connect "localhost:$port" -tls1_3 -ign_eof \
			-CAfile "$PKI/ca.pem" "-sess_$i" session >"$WORK/sessions" 2>&1
	done
	cat "$WORK/sessions"
	grep -q '^Reused, TLSv1.3' "$WORK/sessions" && grep -q 'quick brown fox' "$WORK/sessions"
}
check "serve resumes a TLS 1.3 session of s_client" resumed13
stop_last
serve --cert "$PKI/rsa.pem" --key "$PKI/rsa.key" --no-tickets
check "serve --no-tickets resumes TLS 1.2 sessions by ID" resumed12
check "serve --no-tickets resumes a TLS 1.3 session" resumed13
stop_last

serve --cert "$PKI/rsa.pem" --key "$PKI/rsa.key" --cert "$PKI/ec.pem" --key "$PKI/ec.key" \
	--ciphers "ALL:$rare13:TLS_AES_128_GCM_SHA256"
for suite in $rare12; do
	get_with_s_client "localhost:$port" million.bin -tls1_2 -cipher "$suite"
	check_same "serve to s_client, TLS 1.2 $suite" got www/million.bin
done
get_with_s_client "localhost:$port" million.bin -tls1_3 -ciphersuites $rare13
check_same "serve to s_client, TLS 1.3 $rare13" got www/million.bin
stop_last

# ---- s_server, tlsrec connect ----

s_server openssl -WWW
for suite in $suites12; do
	get_with_connect "localhost:$port" million.bin --tls1.2 --ciphers "$suite"
	check_same "s_server to connect, TLS 1.2 $suite" got www/million.bin
done
for suite in $suites13; do
	get_with_connect "localhost:$port" million.bin --tls1.3 --ciphers "$suite"
	check_same "s_server to connect, TLS 1.3 $suite" got www/million.bin
done
for peer in 127.0.0.1 '[::1]'; do
	for version in --tls1.2 --tls1.3; do
		get_with_connect "$peer:$port" large.bin "$version"
		check_same "s_server to connect over $peer $version, 8 MiB" got www/large.bin
	done
done

stop_last
s_server openssl -WWW -cipher ALL -ciphersuites $rare13
for suite in $rare12; do
	get_with_connect "localhost:$port" million.bin --tls1.2 --ciphers "$suite"
	check_same "s_server to connect, TLS 1.2 $suite" got www/million.bin
done
get_with_connect "localhost:$port" million.bin --tls1.3 --ciphers $rare13
check_same "s_server to connect, TLS 1.3 $rare13" got www/million.bin
stop_last
s_server openssl -WWW

# Into a file: the other way of splicing.
printf 'GET /large.bin HTTP/1.0\r\n\r\n' >request
tlsrec connect --ulp "$ULP" --cafile "$PKI/ca.pem" "localhost:$port" <request >got.http 2>"$WORK/log"
body <got.http >got
check_same "s_server to connect, from file to file" got www/large.bin
: >got.http
tlsrec connect -q --ulp "$ULP" --cafile "$PKI/ca.pem" "localhost:$port" <request >>got.http 2>"$WORK/log"
body <got.http >got
check_same "s_server to connect, appended to a file" got www/large.bin

resumed_by_connect() {
	rm -f session
	get_with_connect "localhost:$port" page.txt "$1" --session-file session
	! grep -q resumed "$WORK/log" || return 1
	get_with_connect "localhost:$port" page.txt "$1" --session-file session
	grep -q resumed "$WORK/log" && same got www/page.txt && [ "$(stat -c %a session)" = 600 ]
}
check "connect resumes a TLS 1.2 session of s_server" resumed_by_connect --tls1.2
check "connect resumes a TLS 1.3 session of s_server" resumed_by_connect --tls1.3
stop_last

# Upload: s_server writes what it gets to its standard output.
# upload NAME FILE-OR-PIPE [OPTION OF connect...]
upload() {
	local name=$1 how=$2 server
	shift 2
	next_port
	openssl s_server -accept "$port" -quiet -naccept 1 -cert "$PKI/rsa.pem" -key "$PKI/rsa.key" \
		<&"$SILENCE" >got 2>"$WORK/s_server.log" &
	server=$!
	last_pid=$server
	pids+=("$server")
	wait_for_port "$port"
	set -- tlsrec connect -q -N --ulp "$ULP" --cafile "$PKI/ca.pem" "$@" "localhost:$port"
	if [ "$how" = pipe ]; then
		timeout 120 cat www/large.bin | "$@" >/dev/null 2>"$WORK/log"
	else
		timeout 120 "$@" <www/large.bin >/dev/null 2>"$WORK/log"
	fi
	until_true same got www/large.bin
	check_same "$name" got www/large.bin
	kill "$server" 2>/dev/null
}
for version in --tls1.2 --tls1.3; do
	upload "connect to s_server $version, a file" file "$version"
	upload "connect to s_server $version, a pipe" pipe "$version"
done

# ---- key updates ----

# What one side says: lines, each of them read by itself, for s_client and s_server know their commands for key updates
# at the beginning of what they read. ?WORDS waits until its FILE has these words.
cat >say.py <<'P'
import fcntl, os, struct, sys, termios, time

def until(condition):
    end = time.time() + 100
    while not condition() and time.time() < end:
        time.sleep(0.05)

name = sys.argv[1]
for line in sys.argv[2:]:
    if line[0] == "?":
        until(lambda: os.path.exists(name) and line[1:].encode() in open(name, "rb").read())
    else:
        os.write(1, line.encode() + b"\n")
        until(lambda: struct.unpack("i", fcntl.ioctl(1, termios.FIONREAD, b"    "))[0] == 0)
P
say() { python3 say.py "$@"; }

mark_rekeys() { tx_rekeys=$(counter TlsTxRekeyOk) rx_rekeys=$(counter TlsRxRekeyOk); }
# rekeyed TX RX: by how much
rekeyed() {
	echo "tx $tx_rekeys to $(counter TlsTxRekeyOk), rx $rx_rekeys to $(counter TlsRxRekeyOk)"
	[ "$(counter TlsTxRekeyOk)" = $((tx_rekeys + $1)) ] && [ "$(counter TlsRxRekeyOk)" = $((rx_rekeys + $2)) ] &&
		[ "$(counter TlsTxRekeyError)" = 0 ] && [ "$(counter TlsRxRekeyError)" = 0 ]
}
serve --cert "$PKI/ec.pem" --key "$PKI/ec.key"
updates_of_s_client() {
	mark_rekeys
	rm -f text
	say text '?Verify return code' k $'GET /page.txt HTTP/1.1\r' K $'Host: x\r\n\r' '?quick brown' K \
		$'GET /sub/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r' '?<h1>index' |
		timeout 200 openssl s_client -connect "localhost:$port" -tls1_3 -CAfile "$PKI/ca.pem" >text 2>&1
	grep 'quick brown fox' text && grep '<h1>index' text && rekeyed 2 3
}
check "serve follows the key updates of s_client, in a request and between two" updates_of_s_client
stop_last
updates_of_s_server() {
	local server
	next_port
	rm -f at_server at_client
	say at_server '?client says one' K 'server says one' k 'server says two' '?client says two' Q |
		openssl s_server -accept "$port" -tls1_3 -cert "$PKI/ec.pem" -key "$PKI/ec.key" >at_server 2>&1 &
	server=$!
	last_pid=$server
	wait_for_port "$port"
	mark_rekeys
	say at_client 'client says one' '?server says two' 'client says two' |
		timeout 200 tlsrec connect -q --ulp "$ULP" --cafile "$PKI/ca.pem" "localhost:$port" >at_client
	wait "$server"
	cat at_client
	grep 'client says one' at_server && grep 'client says two' at_server &&
		[ "$(cat at_client)" = $'server says one\nserver says two' ] && rekeyed 1 2
}
check "connect follows the key updates of s_server" updates_of_s_server

check "the kernel carried the records" kernel_was_used
finish
