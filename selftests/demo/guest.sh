#!/bin/bash
# SPDX-License-Identifier: MIT
# The demonstration itself: runs as root on a machine (virtual or not) whose kernel has the module loaded, with the
# tlsrec command in PATH. Ends with 0 only if every comparison is right.
# shellcheck disable=SC2317 # cleanup is called by the trap
set -uo pipefail
export LC_ALL=C

HERE=$(cd "$(dirname "$0")" && pwd)
WORK=$(mktemp -d)
STAT=/proc/net/tlsrec_stat
TEXT='The quick brown fox jumps over the lazy dog'
SIZE=${SIZE:-67108864}
SERVE=8443 S_SERVER=8444 PLAIN=8080
# Packets captured of each download: pages whole, and enough of the large file.
LIMIT=300
failed=0
pids=()

cleanup() {
	local pid
	for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null; done
	wait "${pids[@]}" 2>/dev/null
	rm -rf "$WORK"
}
trap cleanup EXIT
cd "$WORK" || exit 1

give_up() {
	echo
	echo "FAILED: $*"
	[ ! -s log ] || tail -n 5 log
	exit 1
}

bold() { if [ -t 1 ]; then printf '\033[1m%s\033[0m\n' "$*"; else echo "$*"; fi; }
counter() { awk -v name="$1" '$1 == name { print $2 }' "$STAT"; }
commas() { sed -E ':a; s/^([0-9]+)([0-9]{3})/\1,\2/; ta' <<<"$1"; }

background() {
	"$@" >>background.log 2>&1 </dev/null &
	pids+=($!)
}

wait_for_port() {
	local i
	for ((i = 0; i < 300; i++)); do
		! ss -Hltn "sport = :$1" | grep -q . || return 0
		sleep 0.1
	done
	cp background.log log
	give_up "nothing listens on port $1"
}

# Two files with the same SHA-256?
compare() {
	local what=$1 wanted got
	wanted=$(sha256sum <"$2" | cut -c 1-64)
	got=$(sha256sum <"$3" | cut -c 1-64)
	if [ -s "$3" ] && [ "$wanted" = "$got" ]; then
		printf '   %-44s SHA-256 %s... equal\n' "$what" "${got:0:12}"
	else
		printf '   %-44s SHA-256 DIFFERS (%s... wanted)\n' "$what" "${wanted:0:12}"
		failed=1
	fi
}

# capture NAME: what goes over the loopback device from now on, until uncapture
capture() {
	local i
	tcpdump -i lo -s 0 -c "$LIMIT" -B 65536 -U -w "$1.pcap" \
		"tcp port $SERVE or tcp port $S_SERVER or tcp port $PLAIN" 2>tcpdump.log &
	tcpdump=$!
	pids+=("$tcpdump")
	for ((i = 0; i < 600; i++)); do
		! grep -q 'listening on' tcpdump.log || return 0
		sleep 0.1
	done
	cp tcpdump.log log
	give_up "tcpdump does not start"
}

# The last packets are the FINs of a connection that is over for the client already.
uncapture() {
	sleep 1
	kill -INT "$tcpdump" 2>/dev/null
	wait "$tcpdump"
}

make_certificates() {
	{
		openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -keyout ca.key -out ca.pem \
			-subj '/CN=Throw-away CA' -addext keyUsage=critical,keyCertSign &&
			openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout server.key -out server.csr \
				-subj /CN=localhost &&
			openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -days 2 -out server.pem \
				-extfile <(echo subjectAltName=DNS:localhost,IP:127.0.0.1)
	} 2>log || give_up "openssl cannot make certificates"
}

# fetch VERSION FILE: with curl from tlsrec serve
fetch() {
	local version=$1 file=$2 label=$3 seconds
	capture "down-$version-$file"
	seconds=$(curl -sS --cacert ca.pem --tlsv"$version" --tls-max "$version" "https://127.0.0.1:$SERVE/$file" -o got \
		-w '%{time_total}' 2>log) || give_up "curl could not download $file over TLS $version"
	uncapture
	compare "TLS $version  $label, $(printf '%.1f' "$seconds") s" "www/$file" got
}

# fetch_back VERSION FILE LABEL: with tlsrec connect from openssl s_server
fetch_back() {
	local version=$1 file=$2 label=$3
	capture "back-$version-$file"
	printf 'GET /%s HTTP/1.0\r\n\r\n' "$file" |
		tlsrec connect --cafile ca.pem --tls"$version" "127.0.0.1:$S_SERVER" 2>summary >answer ||
		{ cp summary log; give_up "tlsrec connect could not download $file over TLS $version"; }
	uncapture
	sed '1,/^\r$/d' answer >got
	compare "TLS $version  $label" "www/$file" got
}

suite_of() { grep -o "\"GET /$1\".*" background.log | sed -n "s/.*TLS $2 \(TLS_[A-Z0-9_]*\).*/\1/p" | head -n 1; }

# ---- set the stage ----

[ -r "$STAT" ] || give_up "the module tlsrec is not loaded: modprobe tlsrec"
mkdir www
printf '<!DOCTYPE html>\n<p>%s.</p>\n' "$TEXT" >www/page.html
head -c "$SIZE" /dev/urandom >www/random.bin
make_certificates
background python3 -m http.server --bind 127.0.0.1 --directory www "$PLAIN"
background tlsrec serve www --listen 127.0.0.1 --port "$SERVE" --cert server.pem --key server.key
background bash -c "cd www && exec openssl s_server -accept 127.0.0.1:$S_SERVER -cert ../server.pem -key ../server.key -WWW"
for port in "$PLAIN" "$SERVE" "$S_SERVER"; do wait_for_port "$port"; done

tx_records=$(counter TlsrecTxRecords) tx_bytes=$(counter TlsrecTxBytes)
rx_records=$(counter TlsrecRxRecords) rx_bytes=$(counter TlsrecRxBytes)

bold "tlsrec: TLS records made and opened by the kernel"
echo "   kernel       Linux $(uname -r)${VIRTUAL:+, in a virtual machine}"
echo "   module       $(dmesg | sed -n 's/.*\(tlsrec: version .*\)/\1/p' | tail -n 1)"
echo "   certificate  for localhost, by a throw-away CA that curl and tlsrec connect are told to trust"
[ -z "${EMULATED:-}" ] || echo "   speed        the CPU is emulated: the times below say nothing about real ones"
echo "   files        page.html, and random.bin: $((SIZE >> 20)) MiB from /dev/urandom"

# ---- the kernel encrypts ----

echo
bold "1. curl downloads from \"tlsrec serve\": the kernel encrypts"
echo "   \$ tlsrec serve www --port $SERVE --cert server.pem --key server.key"
echo "   \$ curl --cacert ca.pem --tlsv1.3 https://127.0.0.1:$SERVE/random.bin"
for version in 1.3 1.2; do
	fetch "$version" page.html "page.html"
	fetch "$version" random.bin "random.bin"
done
for version in 1.3 1.2; do
	echo "   TLS $version used $(suite_of random.bin "$version")"
done

# ---- the kernel decrypts ----

echo
bold "2. \"tlsrec connect\" downloads from \"openssl s_server\": the kernel decrypts"
echo "   \$ openssl s_server -accept $S_SERVER -cert server.pem -key server.key -WWW"
echo "   \$ tlsrec connect --cafile ca.pem --tls1.3 127.0.0.1:$S_SERVER < request > answer"
for version in 1.3 1.2; do
	fetch_back "$version" page.html "page.html"
	fetch_back "$version" random.bin "random.bin"
done

# ---- proof ----

echo
bold "3. What the kernel says it did ($STAT)"
tx_records=$(($(counter TlsrecTxRecords) - tx_records)) tx_bytes=$(($(counter TlsrecTxBytes) - tx_bytes))
rx_records=$(($(counter TlsrecRxRecords) - rx_records)) rx_bytes=$(($(counter TlsrecRxBytes) - rx_bytes))
printf '   encrypted %8s records  %14s bytes\n' "$(commas $tx_records)" "$(commas $tx_bytes)"
printf '   decrypted %8s records  %14s bytes\n' "$(commas $rx_records)" "$(commas $rx_bytes)"
if [ "$tx_bytes" -lt $((2 * SIZE)) ] || [ "$rx_bytes" -lt $((2 * SIZE)) ]; then
	echo "   That is LESS than the files that were sent: somebody else did the work."
	failed=1
fi

echo
bold "4. What was on the wire (captured on the loopback device: pages whole, of the large files the beginning)"
capture plain
curl -sS "http://127.0.0.1:$PLAIN/page.html" -o got 2>log || give_up "the plain download for comparison failed"
uncapture
python3 "$HERE/capture.py" ./*.pcap --tls "$SERVE" "$S_SERVER" --plain "$PLAIN" --secret "$TEXT" --limit "$LIMIT" || failed=1

echo
if [ "$failed" = 0 ]; then
	bold "Everything was equal, and everything was encrypted."
else
	bold "FAILED: see above."
fi
exit "$failed"
