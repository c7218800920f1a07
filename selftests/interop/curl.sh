#!/bin/bash
# SPDX-License-Identifier: MIT
# curl as the client of tlsrec serve: HTTP over kernel records. Ranges, conditions, many connections at once, clients
# that go away early, resumption, ALPN, client certificates, names (SNI).
# shellcheck disable=SC2317 # functions are called by check
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

make_files
make_server_certs
make_cert a.example ec serverAuth DNS:a.example,DNS:*.a.example
make_cert b.example rsa serverAuth DNS:b.example
make_cert client ec clientAuth DNS:client.example
make_cert stranger ec clientAuth DNS:stranger.example
openssl ca -config "$PKI/ca.cnf" -revoke "$PKI/stranger.pem" 2>>pki.log
make_crl
mark

fetch() { timeout 120 curl -sS --cacert "$PKI/ca.pem" "$@" 2>"$WORK/log"; }

serve --cert "$PKI/rsa.pem" --key "$PKI/rsa.key" --cert "$PKI/ec.pem" --key "$PKI/ec.key"
url=https://localhost:$port

# ---- both versions, both families ----

for version in "--tlsv1.2 --tls-max 1.2" "--tlsv1.3"; do
	for family in -4 -6; do
		# shellcheck disable=SC2086
		fetch $version $family "$url/large.bin" -o got
		check_same "download of 8 MiB, ${version%% *} $family" got www/large.bin
	done
done
fetch --ciphers ECDHE-RSA-AES256-GCM-SHA384 --tls-max 1.2 "$url/million.bin" -o got
check_same "TLS 1.2, AES-256" got www/million.bin
fetch --tls13-ciphers TLS_AES_128_GCM_SHA256 --tlsv1.3 "$url/million.bin" -o got
check_same "TLS 1.3, AES-128" got www/million.bin

# ---- HTTP ----

status() { fetch -o got -w '%{http_code}' "$@"; }
gives() {
	local want=$1 code
	shift
	code=$(status "$@")
	echo "status $code, wanted $want"
	[ "$code" = "$want" ]
}
slice() { tail -c "+$(($1 + 1))" www/large.bin | head -c "$2" >wanted; }

check "a range gives 206" gives 206 -r 1000000-1999999 "$url/large.bin"
slice 1000000 1000000
check_same "the range has the right bytes" got wanted
check "the end of a file gives 206" gives 206 -r -100001 "$url/large.bin"
slice $((8388608 - 100001)) 100001
check_same "the end has the right bytes" got wanted
check "from the middle on gives 206" gives 206 -r 8000000- "$url/large.bin"
slice 8000000 388608
check_same "the rest has the right bytes" got wanted
check "a range behind the end gives 416" gives 416 -r 8388608- "$url/large.bin"
head -c 5000000 www/large.bin >got
fetch -C - "$url/large.bin" -o got
check_same "a broken-off download is continued" got www/large.bin

head_only() { fetch -I "$url/large.bin" | tr -d '\r' | grep -qi '^content-length: 8388608$'; }
check "HEAD gives the length" head_only
check "an empty file" gives 200 "$url/empty.bin"
check "a directory without slash is redirected" gives 301 "$url/sub"
check "a directory with an index" gives 200 "$url/sub/"
check_same "which is sent" got www/sub/index.html
listing() { fetch "$url/" | grep -q 'href="./million.bin"'; }
check "a directory without one is listed" listing
check "what is not there gives 404" gives 404 "$url/none"
check "what is outside gives 404" gives 404 --path-as-is "$url/../pki/ca.key"
check "also when written differently" gives 404 --path-as-is "$url/sub/%2e%2e/%2e%2e/pki/ca.key"
check "POST gives 405" gives 405 -d x "$url/page.txt"
tag() { fetch -I "$url/page.txt" | tr -d '\r' | sed -n 's/^etag: //Ip'; }
check "a file that has not changed gives 304 (tag)" gives 304 -H "If-None-Match: $(tag)" "$url/page.txt"
check "a file that has not changed gives 304 (date)" gives 304 -z www/page.txt "$url/page.txt"
check "one that has changed is sent" gives 200 -H 'If-None-Match: "x"' "$url/page.txt"

# ---- connections ----

kept_alive() {
	fetch -v "$url/page.txt" "$url/million.bin" "$url/page.txt" -o got1 -o got2 -o got3 2>"$WORK/log"
	grep -c 'Re-using existing connection' "$WORK/log" | grep -qx 2 && same got2 www/million.bin
}
check "three requests use one connection" kept_alive

fetch --parallel --parallel-immediate --parallel-max 64 "$url/million.bin?[1-64]" -o 'many.#1'
all_right() {
	local i
	for ((i = 1; i <= 64; i++)); do same "many.$i" www/million.bin || return 1; done
}
check "64 downloads at once" all_right
rm -f many.*

many_processes() {
	local i list=()
	for ((i = 1; i <= 24; i++)); do
		timeout 120 curl -sS --cacert "$PKI/ca.pem" "$url/million.bin" -o "many.$i" &
		list+=($!)
	done
	wait "${list[@]}"
	for ((i = 1; i <= 24; i++)); do same "many.$i" www/million.bin || return 1; done
}
check "24 clients at once" many_processes
rm -f many.*

for _ in 1 2 3 4 5; do
	timeout 120 curl -sS --cacert "$PKI/ca.pem" --limit-rate 100k --max-time 0.5 "$url/large.bin" -o /dev/null 2>/dev/null
	curl -sS --cacert "$PKI/ca.pem" "$url/large.bin" 2>/dev/null | head -c 100000 >/dev/null
done
fetch "$url/large.bin" -o got
check_same "clients that go away early hurt nobody" got www/large.bin

alpn() { fetch -v --http1.1 "$url/page.txt" -o got 2>&1; grep -q 'server accepted http/1.1' "$WORK/log"; }
check "the application protocol is chosen (ALPN)" alpn
check "the server's log has the requests" grep -q '"GET /large.bin" 200 8388608 bytes' "$WORK/serve-$port.log"
stop_last

# ---- names ----

serve --cert "$PKI/a.example.pem" --key "$PKI/a.example.key" --cert "$PKI/b.example.pem" --key "$PKI/b.example.key"
for name in a.example www.a.example b.example; do
	fetch --resolve "$name:$port:127.0.0.1" "https://$name:$port/page.txt" -o got
	check_same "the certificate for $name is chosen" got www/page.txt
done
refused_name() { ! fetch --resolve "c.example:$port:127.0.0.1" "https://c.example:$port/page.txt"; }
check "a name without certificate gets the first, which curl refuses" refused_name
stop_last
serve --strict-sni --cert "$PKI/a.example.pem" --key "$PKI/a.example.key"
refused_by_server() {
	! fetch --resolve "c.example:$port:127.0.0.1" "https://c.example:$port/page.txt" &&
		grep -qi 'unrecognized name' "$WORK/log"
}
check "--strict-sni refuses it" refused_by_server
stop_last

# ---- client certificates ----

serve --cert "$PKI/ec.pem" --key "$PKI/ec.key" --client-ca "$PKI/ca.pem" --client-crl "$PKI/crl.pem"
url=https://localhost:$port
for version in "--tls-max 1.2" "--tlsv1.3"; do
	# shellcheck disable=SC2086
	fetch $version --cert "$PKI/client.pem" --key "$PKI/client.key" "$url/million.bin" -o got
	check_same "a client with a certificate is served, $version" got www/million.bin
	# shellcheck disable=SC2086
	refused() { ! fetch $version "$@" "$url/page.txt"; }
	check "one without is not, $version" refused
	check "nor one whose certificate is revoked, $version" refused --cert "$PKI/stranger.pem" --key "$PKI/stranger.key"
	check "nor one with a certificate for servers, $version" refused --cert "$PKI/ec.pem" --key "$PKI/ec.key"
done
check "the server's log says why" grep -q 'revoked' "$WORK/serve-$port.log"
stop_last
serve --cert "$PKI/ec.pem" --key "$PKI/ec.key" --client-ca "$PKI/ca.pem" --client-optional
fetch "https://localhost:$port/page.txt" -o got
check_same "--client-optional serves clients without a certificate" got www/page.txt
stop_last

check "the kernel carried the records" kernel_was_used
finish
