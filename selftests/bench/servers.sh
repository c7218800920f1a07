#!/bin/bash
# SPDX-License-Identifier: MIT
#
# nginx serves files of several sizes, TLS 1.3 with AES-128-GCM, to clients that do TLS in user space: one worker with the
# contenders in turn, the module behind the name "tls" changed between them. Run as root, in a guest or not; `servers` starts it.
#
#	servers.sh ROUNDS MIB SECONDS [MODULE]
#
# h2load gets MIB in each run, wrk what comes in SECONDS. MODULE is tlsrec or the path of its .ko. Prints
#
#	run CONTENDER CLIENT FILE REQUESTS SECONDS SECONDS-OF-CPU MILLISECONDS-P99
#	ttfb CONTENDER HTTP FILE MILLISECONDS...
#
# Each run is the difference of a long one and a short one, so that start and handshakes are not in it.
set -euo pipefail
export LC_ALL=C
rounds=$1 mib=$2 seconds=$3 module=${4:-tlsrec}
FILES="1024 16384 262144 1048576 16777216"
CONNECTIONS=4 STREAMS=4 FETCHES=3
USER_SPACE=4001 KTLS=4002

work=$(mktemp -d)
nginx=''
cd "$work"

die() { echo "servers: $*" >&2; exit 1; }

cleanup() {
	[ -z "$nginx" ] || { kill "$nginx" && wait "$nginx"; } || true
	unload
	rm -rf "$work"
}
trap cleanup EXIT

# ---- the contenders ----

loaded() { grep -q "^$1 " /proc/modules; }

# A module goes when nginx has closed the last of its connections.
unload() {
	local name i
	for name in tls tlsrec; do
		for ((i = 0; i < 100; i++)); do
			loaded $name || break
			rmmod $name 2>/dev/null || sleep 0.1
		done
		! loaded $name || die "something on this machine uses $name, which cannot be unloaded therefore"
	done
}

# contend CONTENDER: from now on, on the port $port
contend() {
	unload
	contender=$1 port=$KTLS connected=0
	case $contender in
	openssl) port=$USER_SPACE ;;
	tls) modprobe tls ;;
	tlsrec) modprobe "$module" replace_tls=1 || die "$module cannot be loaded: the last lines of dmesg say why" ;;
	esac
}

# Every connection had the contender's kernel TLS, or none.
verify() {
	local used=0
	[ ! -e /proc/net/tls_stat ] || used=$(awk '$1 == "TlsTxSw" { print $2 }' /proc/net/tls_stat)
	[ "$contender" != openssl ] || connected=0
	[ "$used" = "$connected" ] || die "of $connected connections with $contender $used gave it their keys"
	! grep -E '\[(warn|error|crit|alert|emerg)\]' error.log || die "nginx complains"
}

# ---- the server ----

start_nginx() {
	local size
	mkdir www
	for size in $FILES; do
		head -c "$size" /dev/urandom >"www/$size"
	done
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=localhost \
		-keyout key.pem -out cert.pem 2>openssl.log || die "$(tail -n 1 openssl.log)"
	cat >nginx.conf <<-EOF
		user root;
		daemon off;
		pid $work/nginx.pid;
		worker_processes 1;
		error_log $work/error.log notice;
		events { worker_connections 1024; }
		http {
			access_log off;
			root $work/www;
			sendfile on;
			tcp_nopush on;
			http2 on;
			keepalive_requests 1000000;
			ssl_certificate $work/cert.pem;
			ssl_certificate_key $work/key.pem;
			ssl_protocols TLSv1.3;
			ssl_ecdh_curve X25519;
			server {
				listen 127.0.0.1:$USER_SPACE ssl;
				ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
			}
			server {
				listen 127.0.0.1:$KTLS ssl;
				ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
				ssl_conf_command Options KTLS;
			}
		}
	EOF
	chmod -R a+rX "$work"
	taskset -c 0 nginx -e "$work/error.log" -p "$work" -c "$work/nginx.conf" >nginx.log 2>&1 &
	nginx=$!
	local i
	for ((i = 0; i < 100; i++)); do
		worker=$(pgrep -P "$nginx") && break
		sleep 0.1
	done
	[ -n "$worker" ] || die "nginx does not start: $(tail -n 1 nginx.log error.log)"
}

# timed COMMAND...: sets elapsed, in microseconds, and cpu, the worker's time in nanoseconds. The clients have the last
# processor, which may be the worker's as well.
last=$(($(nproc) - 1))
timed() {
	local began=${EPOCHREALTIME/./} before after rest
	read -r before rest <"/proc/$worker/schedstat"
	taskset -c "$last" "$@" >client.log 2>&1 || die "$1 failed: $(tail -n 1 client.log)"
	elapsed=$((${EPOCHREALTIME/./} - began))
	# Connections that were closed have been taken down.
	sleep 0.1
	# shellcheck disable=SC2034 # the other fields
	read -r after rest <"/proc/$worker/schedstat"
	cpu=$((after - before))
}

# report CLIENT FILE REQUESTS P99: what the long run took longer than the short one
report() {
	awk -v name="run $contender $1 $2 $3" -v us=$((elapsed - short_elapsed)) -v ns=$((cpu - short_cpu)) -v p99="$4" \
		'BEGIN { printf "%s %.6f %.9f %.3f\n", name, us / 1e6, ns / 1e9, p99 }'
}

# ---- time to first byte ----

# fetch HTTP: each file several times on one connection, after a request that warms it up. The client has priority, so that it
# sees the first byte when it comes even where it shares the processor with the server.
fetch() {
	local size i options=("https://127.0.0.1:$port/1024" -o /dev/null)
	for size in $FILES; do
		for ((i = 0; i < FETCHES; i++)); do
			options+=("https://127.0.0.1:$port/$size" -o "got.$size")
		done
	done
	timed chrt -f 1 curl -ksS "--http$1" -w '%{size_header} %{num_connects} %{time_pretransfer} %{time_starttransfer} %{url}\n' \
		"${options[@]}"
	connected=$((connected + 1))
	for size in $FILES; do
		cmp "www/$size" "got.$size" || die "$size came differently with $contender"
	done
	rm got.*
	awk -v name="ttfb $contender $1" -v fetches="$FETCHES" '{ sub(".*/", "", $5) }
		NR == 1 { next }
		$2 { exit 1 }
		{ t[$5] = t[$5] " " 1000 * ($4 - $3) }
		++n[$5] == fetches { print name, $5 t[$5] }' client.log || die "curl did not keep its connection"
	if [ "$1" = 1.1 ]; then
		awk '{ sub(".*/", "", $5); print $5, $1 }' client.log | uniq >headers
	fi
}

# ---- load ----

h2load_gets() {
	local file=$1 requests=$2
	shift 2
	rm -f requests.log
	timed h2load -n "$requests" -c "$CONNECTIONS" "$@" --log-file=requests.log "https://127.0.0.1:$port/$file"
	connected=$((connected + CONNECTIONS))
	grep -q " $requests succeeded, 0 failed, 0 errored" client.log || die "h2load failed: $(grep '^requests' client.log)"
}

# with_h2load NAME OPTION...
with_h2load() {
	local name=$1 size requests counted
	shift
	h2load_gets 1024 "$CONNECTIONS" "$@"
	short_elapsed=$elapsed short_cpu=$cpu
	for size in $FILES; do
		# Of small files not so many, of the largest one for each connection.
		requests=$((mib * 1048576 / size))
		[ "$requests" -le $((mib * 64)) ] || requests=$((mib * 64))
		[ "$requests" -ge "$CONNECTIONS" ] || requests=$CONNECTIONS
		h2load_gets "$size" "$requests" "$@"
		counted=$requests
		[ "$size" != 1024 ] || counted=$((requests - CONNECTIONS))
		report "$name" "$size" "$counted" \
			"$(sort -n -k 3 requests.log | awk -v n="$requests" 'NR >= n * 0.99 { print $3 / 1000; exit }')"
		if [ "$size" = 1024 ]; then
			# The handshakes alone, for the larger files.
			short_elapsed=$((short_elapsed - CONNECTIONS * (elapsed - short_elapsed) / counted))
			short_cpu=$((short_cpu - CONNECTIONS * (cpu - short_cpu) / counted))
		fi
	done
}

cat >wrk.lua <<'EOF'
function done(summary, latency)
	local e = summary.errors
	io.write(string.format("done %d %d %d\n", summary.bytes, latency:percentile(99),
		e.connect + e.read + e.write + e.status + e.timeout))
end
EOF

# wrk_gets FILE SECONDS: sets bytes and p99. wrk's own -d takes whole seconds.
wrk_gets() {
	local errors
	timed timeout --preserve-status -s INT "$2" wrk -t 1 -c "$CONNECTIONS" -d 1h -s wrk.lua "https://127.0.0.1:$port/$1"
	connected=$((connected + CONNECTIONS))
	read -r bytes p99 errors < <(sed -n 's/^done //p' client.log)
	[ "$errors" = 0 ] || die "wrk failed: $(grep -i errors client.log)"
}

with_wrk() {
	local size header short_bytes
	while read -r size header; do
		# Hardly one would be complete in the time.
		[ "$size" -le 1048576 ] || continue
		wrk_gets "$size" 0.1
		short_elapsed=$elapsed short_cpu=$cpu short_bytes=$bytes
		wrk_gets "$size" "$seconds"
		# wrk itself counts complete answers, of which large files make few.
		report wrk "$size" "$(awk -v n=$((bytes - short_bytes)) -v size=$((size + header)) 'BEGIN { print n / size }')" \
			"$(awk -v us="$p99" 'BEGIN { print us / 1000 }')"
	done <headers
}

# What udev loads where there is one, so that all have the same cipher.
modprobe -qa aesni-intel ghash-clmulni-intel || true
unload
start_nginx
# The programs' files are read now: waiting for an emulated disk makes a guest's clock jump.
contend openssl
fetch 1.1 >/dev/null
# wrk has to be there already when it is told to end.
wrk_gets 1024 2
h2load_gets 1024 "$CONNECTIONS"
for ((round = 0; round < rounds; round++)); do
	for c in openssl tls tlsrec; do
		contend $c
		fetch 1.1
		fetch 2
		with_wrk
		with_h2load h2load-h1 --h1
		with_h2load h2load-h2 -m "$STREAMS"
		verify
	done
done
echo "release $(uname -r)"
echo "nginx $(nginx -v 2>&1 | sed 's|.*/||')"
echo "openssl $(openssl version | awk '{ print $2 }')"
awk '/^driver/ { driver = $3 } /^name/ { name = $3 } /^priority/ && name == "gcm(aes)" { print $3, driver }' /proc/crypto |
	sort -n | sed -n '$s/.* /driver /p'
