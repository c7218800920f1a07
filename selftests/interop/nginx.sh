#!/bin/bash
# SPDX-License-Identifier: MIT
# guest: -p replace_tls=1 -M 2048
# guest: -r trixie -p replace_tls=1 -M 2048
#
# nginx, unmodified, with KTLS switched on in its configuration: as a server with sendfile, HTTP/1.1 and HTTP/2, as the
# receiver of uploads, and as the client of another server. curl, which does TLS by itself, is the other end.
# shellcheck disable=SC2317 # functions are called by check
# shellcheck disable=SC2034 # for lib.sh
ULP=tls
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

SIZES="0 1 16383 16384 16385 262144 1048576"
MIDDLE=8388608
BIG=67108864
mkdir -p www/files www/stored body client_body proxy
for size in $SIZES $MIDDLE $BIG; do
	head -c "$size" /dev/urandom >"www/files/$size"
done
make_server_certs

nginx_version=$(nginx_version)
openssl_version=$(openssl_version)
version="$nginx_version (OpenSSL $openssl_version)"
newer() { [ "$(printf '%s\n' "$1" "$2" | sort -V | head -n 1)" = "$2" ]; }

# OpenSSL 3.0 does not leave the reading of TLS 1.3 to the kernel; later ones do.
rx13=0
! newer "$openssl_version" 3.2 || rx13=1

if newer "$nginx_version" 1.25.1; then
	h2_on="http2 on;" h2_listen=
else
	h2_on="" h2_listen=http2
fi

# The ports: what is served over each version of TLS; the same in plaintext, which also stores what is uploaded.
port12=4012 port13=4013 plain=4080

tls_server() {
	cat <<-EOF
		server {
			listen 127.0.0.1:$1 ssl $h2_listen;
			$h2_on
			ssl_protocols $2;
			ssl_certificate $PKI/rsa.pem;
			ssl_certificate_key $PKI/rsa.key;
			ssl_certificate $PKI/ec.pem;
			ssl_certificate_key $PKI/ec.key;
			ssl_ciphers ALL:@SECLEVEL=1;
			ssl_conf_command Ciphersuites TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_CCM_SHA256;
			ssl_conf_command Options KTLS;
			location / { }
			location /stored/ { dav_methods PUT; }
			location /behind/ { proxy_pass http://127.0.0.1:$plain/; proxy_request_buffering off; proxy_http_version 1.1; }
			location /behind12/ { proxy_pass https://127.0.0.1:$port12/; proxy_ssl_protocols TLSv1.2; }
			location /behind13/ { proxy_pass https://127.0.0.1:$port13/; proxy_ssl_protocols TLSv1.3; }
		}
	EOF
}

# Connections from 127.0.0.2 are logged in detail.
cat >nginx.conf <<EOF
user root;
daemon off;
pid $WORK/nginx.pid;
worker_processes 2;
error_log $WORK/error.log notice;
events { worker_connections 1024; debug_connection 127.0.0.2; }
http {
	log_format it '\$server_port \$server_protocol \$ssl_protocol \$ssl_cipher \$request_method \$uri \$status \$body_bytes_sent \$connection';
	access_log $WORK/access.log it;
	root $WORK/www;
	sendfile on;
	tcp_nopush on;
	client_max_body_size 0;
	client_body_temp_path $WORK/client_body;
	proxy_temp_path $WORK/proxy;
	fastcgi_temp_path $WORK/proxy;
	uwsgi_temp_path $WORK/proxy;
	scgi_temp_path $WORK/proxy;
	proxy_ssl_conf_command Options KTLS;
	proxy_ssl_trusted_certificate $PKI/ca.pem;
	proxy_ssl_verify on;
	proxy_ssl_name localhost;
	proxy_ssl_session_reuse off;
	server {
		listen 127.0.0.1:$plain;
		location / { dav_methods PUT; }
	}
$(tls_server $port12 TLSv1.2)
$(tls_server $port13 TLSv1.3)
}
EOF
start_nginx $port13
check "nobody else is the kernel's TLS" in_the_place_of_tls

fetch() { timeout 120 curl -sS --cacert "$PKI/ca.pem" "$@" 2>"$WORK/log"; }

# tls VERSION: its port, the options of curl and what the kernel reads
tls() {
	case $1 in
	1.2) port=$port12 rx=1 tls=(--tlsv1.2 --tls-max 1.2) ;;
	1.3) port=$port13 rx=$rx13 tls=(--tlsv1.3) ;;
	esac
	url=https://localhost:$port
}

right() { [ "$(sha256sum <"$1")" = "$(sha256sum <"www/files/$2")" ]; }

# ---- downloads of all sizes on one connection ----

# all_sizes HTTP SHOWN BIG: with this version of HTTP, as curl shows it
all_sizes() {
	local size list=() n=0
	for size in $SIZES "$3"; do
		list+=("$url/files/$size" -o "got.$size")
		n=$((n + size))
	done
	mark
	fetch "${tls[@]}" "--http$1" -w '%{http_version} %{num_connects}\n' "${list[@]}" >results || return 1
	cat results
	# One connection, and the version of HTTP that was asked for.
	awk -v want="$2" '$1 != want { exit 1 } { n += $2 } END { exit n != 1 }' results || return 1
	for size in $SIZES "$3"; do
		right "got.$size" "$size" || { echo "$size differs"; return 1; }
	done
	expect TlsTxSw = 1 TlsRxSw = "$rx" TlsrecTxBytes -ge "$n" TlsDecryptError = 0 && driver_named
}

shown_by_ss() {
	local pid result=1
	timeout 60 curl -s --cacert "$PKI/ca.pem" "${tls[@]}" --limit-rate 1M "$url/files/$BIG" -o /dev/null &
	pid=$!
	! until_true seen_by_ss || result=0
	kill "$pid"
	return "$result"
}
seen_by_ss() { ss -Htie state established "sport = :$port" | grep "tcp-ulp-tls version: $v .*txconf: sw"; }

# nginx says itself whether the kernel has the key, and when it sends a file.
says_so() {
	fetch "${tls[@]}" "--http$1" --interface 127.0.0.2 "$url/files/1048576" -o got && right got 1048576 || return 1
	sed -n '/debug.*BIO_get_ktls_send(): 1/p; /debug.*SSL to sendfile: .* 1048576/p' error.log >text
	cat text
	grep -q BIO_get text && grep -q sendfile text
}

for v in 1.2 1.3; do
	tls $v
	if [ $v = 1.3 ]; then largest=$BIG; else largest=$MIDDLE; fi
	check "TLS $v, HTTP/1.1: files of all sizes on one connection" all_sizes 1.1 1.1 $largest
	check "TLS $v: ss names the ULP" shown_by_ss
	check "TLS $v: nginx says that it uses SSL_sendfile()" says_so 1.1
	proved nginx "$version" server "TLS $v, HTTP/1.1" "sendfile of 0 B to $((largest / 1048576)) MiB on a kept connection; driver $(drivers)"
	check "TLS $v, HTTP/2: files of all sizes on one connection" all_sizes 2 2 $MIDDLE
	proved nginx "$version" server "TLS $v, HTTP/2" "files of 0 B to 8 MiB on a kept connection; driver $(drivers)"
done

# ---- ciphers ----

# with_cipher SUITE OF TLS 1.2, SUITE OF TLS 1.3
with_cipher() {
	mark
	fetch "${tls[@]}" --ciphers "$1" --tls13-ciphers "$2" "$url/files/1048576" -o got && right got 1048576 &&
		expect TlsTxSw = 1 TlsrecTxBytes -ge 1048576 && driver_named
}
while read -r cipher suite12 suite13; do
	for v in 1.2 1.3; do
		if [ "$v$cipher$rx13" = 1.3AES-128-CCM0 ]; then
			skip "TLS $v, $cipher" "OpenSSL $openssl_version does not offer it to the kernel"
			continue
		fi
		tls $v
		check "TLS $v, $cipher" with_cipher "$suite12" "$suite13"
		proved nginx "$version" server "TLS $v, HTTP/1.1 and 2" "$cipher; driver $(drivers)"
	done
done <<EOF
AES-128-GCM ECDHE-RSA-AES128-GCM-SHA256 TLS_AES_128_GCM_SHA256
AES-256-GCM ECDHE-ECDSA-AES256-GCM-SHA384 TLS_AES_256_GCM_SHA384
AES-128-CCM ECDHE-ECDSA-AES128-CCM TLS_AES_128_CCM_SHA256
CHACHA20-POLY1305 ECDHE-RSA-CHACHA20-POLY1305 TLS_CHACHA20_POLY1305_SHA256
EOF

# ---- ranges ----

range() {
	fetch "${tls[@]}" "--http$1" -r "$2" "$url/files/1048576" -o got -w '%{http_code}' | grep -qx 206 &&
		tail -c "+$(($3 + 1))" www/files/1048576 | head -c "$4" | cmp - got
}

# Several ranges: headers in memory and pieces of the file in turn. The same without TLS differs in the boundary only.
many_ranges() {
	local ranges=0-0,5-20000,16384-32768,40000-40001,100000-900000,-1 u
	mark
	fetch "${tls[@]}" "--http$1" -r "$ranges" "$url/files/1048576" -o got -D got.head &&
		fetch -r "$ranges" "http://localhost:$plain/files/1048576" -o wanted -D wanted.head || return 1
	for u in got wanted; do
		python3 - "$u" <<-'P'
			import re, sys
			name = sys.argv[1]
			boundary = re.search(rb"(?i)boundary=(\S+)", open(name + ".head", "rb").read()).group(1)
			body = open(name, "rb").read().replace(boundary, b"-")
			open(name, "wb").write(body)
		P
	done
	same got wanted && expect TlsTxSw = 1
}
for v in 1.2 1.3; do
	tls $v
	for http in 1.1 2; do
		check "TLS $v, HTTP/$http: a range" range $http 16000-516000 16000 500001
		check "TLS $v, HTTP/$http: the last byte" range $http -1 1048575 1
		check "TLS $v, HTTP/$http: six ranges in one answer" many_ranges $http
	done
done
proved nginx "$version" server "TLS 1.2 and 1.3, HTTP/1.1 and 2" "ranges, also several in one answer"

# ---- many at once, and clients that go away ----

parallel() {
	local i
	mark
	fetch "${tls[@]}" "--http$1" --parallel --parallel-immediate --parallel-max 32 "$url/files/262144?[1-32]" -o 'many.#1' || return 1
	for ((i = 1; i <= 32; i++)); do right "many.$i" 262144 || return 1; done
	rm -f many.*
	expect TlsTxSw -ge "$2" TlsrecTxBytes -ge $((32 * 262144)) TlsDecryptError = 0
}

# Ends as they come: a client that stops reading and is killed, one that resets, one that sends no close_notify.
cat >early.py <<'P'
import socket, ssl, struct, sys
context = ssl.create_default_context(cafile=sys.argv[2])
context.set_alpn_protocols(["http/1.1"])
for n in range(24):
    tcp = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 30)
    tls = context.wrap_socket(tcp, server_hostname="localhost")
    tls.sendall(b"GET /files/67108864 HTTP/1.1\r\nHost: localhost\r\n\r\n")
    got = 0
    while got < n * 10000:
        got += len(tls.recv(16384))
    if n % 3 == 0:
        tls.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    elif n % 3 == 1:
        tls.shutdown(socket.SHUT_WR)
    tls.close()
P
go_away() {
	mark
	timeout 120 python3 early.py "$port" "$PKI/ca.pem" && expect TlsTxSw = 24 && until_true all_closed &&
		fetch "${tls[@]}" "$url/files/16385" -o got && right got 16385
}
for v in 1.2 1.3; do
	tls $v
	check "TLS $v: 32 connections at once" parallel 1.1 32
	check "TLS $v: 32 streams of HTTP/2 at once" parallel 2 1
	check "TLS $v: clients that go away early hurt nobody" go_away
done
proved nginx "$version" server "TLS 1.2 and 1.3, HTTP/1.1 and 2" "32 connections, 32 streams at once; clients that reset or close early"

# ---- uploads, and nginx as a client ----

upload() {
	rm -f "www/stored/$2"
	mark
	fetch "${tls[@]}" "--http$1" -T "www/files/$MIDDLE" -o /dev/null "$url/$3stored/$2" || return 1
	right "www/stored/$2" "$MIDDLE" && expect TlsTxSw = 1 TlsRxSw = "$rx" TlsrecRxBytes -ge $((rx * MIDDLE))
}
# Three keys to send with: the server's, those of both ends of the connection to the server behind.
through_tls() {
	mark
	fetch "${tls[@]}" "$url/behind$1/files/$MIDDLE" -o got && right got "$MIDDLE" && until_true all_closed &&
		expect TlsTxSw = 3 TlsRxSw = "$((rx + $2 * 2))" TlsrecTxBytes -ge "$MIDDLE" TlsrecRxBytes -ge "$(($2 * MIDDLE))" TlsDecryptError = 0
}
for v in 1.2 1.3; do
	tls $v
	for http in 1.1 2; do
		check "TLS $v, HTTP/$http: an upload is stored" upload $http here ""
		check "TLS $v, HTTP/$http: an upload goes on to the server behind" upload $http there behind/
	done
done
proved nginx "$version" server "TLS 1.2 and 1.3, HTTP/1.1 and 2" "uploads of 8 MiB, stored and handed on (proxy_pass)"
tls 1.2
check "nginx as client and server, TLS 1.2" through_tls 12 1
proved nginx "$version" client "TLS 1.2, HTTP/1.0" "proxy_pass to https, proxy_ssl_conf_command Options KTLS"
check "nginx as client and server, TLS 1.3" through_tls 13 "$rx13"
proved nginx "$version" client "TLS 1.3, HTTP/1.0" "proxy_pass to https, proxy_ssl_conf_command Options KTLS"

# ---- the end ----

end() {
	kill -QUIT "$(cat nginx.pid)" && wait "$last_pid" && all_closed
}
check "nginx ends as it should" end
nothing_bad() {
	grep -v ' \[debug\] ' error.log | grep -E '\[(error|crit|alert|emerg)\]'
	[ $? = 1 ]
}
check "there is nothing bad in its log" nothing_bad
finish
