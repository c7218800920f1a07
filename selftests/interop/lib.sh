# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# What the suites have in common: results in TAP, a throw-away PKI, servers that are started and ended,
# the counters of the record layer. A suite sources this file, runs its checks and calls `finish`.
#
# ULP names the record layer (default tlsrec); "tls" tries the in-tree one.

set -u
export LC_ALL=C
ULP=${ULP:-tlsrec}
STAT=/proc/net/${ULP}_stat
WORK=$(mktemp -d)
PKI=$WORK/pki
cd "$WORK" || exit 1
[ -e "$STAT" ] || modprobe "$ULP"

count=0 failed=0
pids=()

# An input that never has anything and never ends.
mkfifo silence
# shellcheck disable=SC2034 # the suites use it
exec {SILENCE}<>silence

# ---- results ----

ok() { count=$((count + 1)); echo "ok $count $1"; }

not_ok() {
	count=$((count + 1)) failed=$((failed + 1))
	echo "not ok $count $1"
	show "$WORK/log" 20
	show "$WORK/serve-$port.log" 3
}

# The end of a file as a comment.
show() {
	[ ! -s "$1" ] || tail -n "$2" "$1" | cut -c 1-300 | tr -c '[:print:]\n' . | sed 's/^/# /'
}

skip() { count=$((count + 1)); echo "ok $count $1 # SKIP $2"; }

# check NAME COMMAND...: its output goes to $WORK/log and is shown when it fails.
check() {
	local name=$1
	shift
	if "$@" >"$WORK/log" 2>&1; then ok "$name"; else not_ok "$name"; fi
}

# check_status NAME STATUS SENTENCE COMMAND...: the command ends with this status and says this.
check_status() {
	local name=$1 want=$2 sentence=$3 status=0
	shift 3
	"$@" >"$WORK/log" 2>&1 </dev/null || status=$?
	if [ "$status" = "$want" ] && grep -qi -e "$sentence" "$WORK/log"; then
		ok "$name"
	else
		echo "status $status, wanted $want and \"$sentence\"" >>"$WORK/log"
		not_ok "$name"
	fi
}

# same FILE FILE
same() { [ -s "$1" ] && [ "$(sha256sum <"$1")" = "$(sha256sum <"$2")" ]; }

check_same() {
	if same "$2" "$3"; then
		ok "$1"
	else
		{ echo "files differ:"; ls -l "$2" "$3"; cmp "$2" "$3"; } >>"$WORK/log" 2>&1
		not_ok "$1"
	fi
}

finish() {
	if dmesg 2>/dev/null | grep -E 'BUG:|WARNING:|Oops|KASAN:|general protection' >"$WORK/log"; then
		not_ok "the kernel's log is clean"
	else
		ok "the kernel's log is clean"
	fi
	echo "1..$count"
	exit $((failed > 0))
}

cleanup() {
	local pid
	for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null; done
	wait "${pids[@]}" 2>/dev/null
	rm -rf "$WORK"
}
trap cleanup EXIT

# ---- counters ----

counter() { awk -v name="$1" '$1 == name { print $2 }' "$STAT" 2>/dev/null; }

# ---- programs that use the ULP "tls" and know nothing of tlsrec ----

# proved PEER VERSION ROLE PROTOCOL WHAT: a row of the table docs/interop.md, unless a check failed since the last.
failed_before=0
proved() {
	[ "$failed" != "$failed_before" ] || printf '# proved: %s | %s | %s | %s | %s\n' "$@"
	failed_before=$failed
}

# All counters, those of tls first; the in-tree module has no others.
counters() { cat /proc/net/tls_stat /proc/net/tlsrec_stat 2>/dev/null; }

mark() {
	counters >"$WORK/counters"
	[ ! -e "$KEY_EVENT" ] || : >"$TRACING/trace"
}

# moved COUNTER: by how much since mark
moved() {
	counters | awk -v name="$1" 'NR == FNR { if ($1 == name && !was[name]++) before = $2; next }
		$1 == name && !seen++ { print $2 - before }' "$WORK/counters" -
}

# expect [COUNTER OPERATOR NUMBER]...: by how much counters moved since mark. The in-tree module does not count bytes
# and records.
expect() {
	local value result=0
	while [ $# -ge 3 ]; do
		value=$(moved "$1")
		echo "$1 moved by ${value:-nothing} (wanted $2 $3)"
		if [ -n "$value" ]; then
			test "$value" "$2" "$3" || result=1
		elif [ -e /proc/net/tlsrec_stat ]; then
			result=1
		fi
		shift 3
	done
	return $result
}

# Both directions were given to the kernel since mark.
kernel_was_used() { expect TlsTxSw -gt 0 TlsRxSw -gt 0; }

TRACING=/sys/kernel/tracing
KEY_EVENT=$TRACING/events/tlsrec/tlsrec_key/enable
[ ! -e "$KEY_EVENT" ] || echo 1 >"$KEY_EVENT"

# The crypto drivers of the keys that were set since mark; without tlsrec nobody says.
drivers() {
	if [ -e "$KEY_EVENT" ]; then
		sed -n 's/.*tlsrec_key:.* driver=//p' "$TRACING/trace" | sort -u | paste -sd' '
	else
		echo unknown
	fi
}

driver_named() {
	drivers
	[ -n "$(drivers)" ]
}

# The record layer under test is the only one that answers to "tls".
in_the_place_of_tls() {
	grep -E '^tls(rec)? ' /proc/modules
	[ -e /proc/net/tls_stat ] && { [ ! -e /proc/net/tlsrec_stat ] || ! grep -q '^tls ' /proc/modules; }
}

# No socket has keys any more.
all_closed() { [ "$(counter TlsCurrTxSw)" = 0 ] && [ "$(counter TlsCurrRxSw)" = 0 ]; }

# ---- servers ----

port=4000
next_port() { port=$((port + 1)); }

listening() { ss -Hltn "sport = :$1" 2>/dev/null | grep -q .; }

# A process that runs until the suite ends; its output goes to $WORK/NAME.log. wait_for_port waits until it listens.
background() {
	local name=$1
	shift
	"$@" >"$WORK/$name.log" 2>&1 </dev/null &
	last_pid=$!
	pids+=("$last_pid")
}

wait_for_port() {
	local i
	for ((i = 0; i < 600; i++)); do
		! listening "$1" || return 0
		kill -0 "$last_pid" 2>/dev/null || return 1
		sleep 0.1
	done
	return 1
}

# serve [OPTION...]: tlsrec serve of $WORK/www on the next port. Emulated processors take long for handshakes.
serve() {
	next_port
	background "serve-$port" tlsrec serve "$WORK/www" --ulp "$ULP" --port "$port" --handshake-timeout 300 "$@"
	if ! wait_for_port "$port"; then
		cp "$WORK/serve-$port.log" "$WORK/log"
		not_ok "tlsrec serve $* starts"
	fi
}

# s_server PROGRAM [OPTION...]: openssl s_server of $WORK/www on the next port
s_server() {
	local program=$1
	shift
	next_port
	(cd www && exec "$program" s_server -accept "$port" -cert "$PKI/rsa.pem" -key "$PKI/rsa.key" \
		-dcert "$PKI/ec.pem" -dkey "$PKI/ec.key" "$@") >"$WORK/s_server.log" 2>&1 </dev/null &
	last_pid=$!
	pids+=("$last_pid")
	wait_for_port "$port"
}

# page_server CERTIFICATE [OPTION...]: openssl s_server of $WORK/www with that one, until it is killed or the suite ends
page_server() {
	local name=$1
	shift
	next_port
	(cd www && exec openssl s_server -accept "$port" -WWW -cert "$PKI/$name.pem" -key "$PKI/$name.key" "$@") \
		>"$WORK/s_server.log" 2>&1 <&"$SILENCE" &
	last_pid=$!
	pids+=("$last_pid")
	wait_for_port "$port"
}

# s_client PROGRAM HOST:PORT FILE [OPTION...]: openssl s_client gets the file into the file got
s_client() {
	local program=$1 peer=$2 file=$3
	shift 3
	printf 'GET /%s HTTP/1.0\r\n\r\n' "$file" |
		timeout 120 "$program" s_client -connect "$peer" -quiet -CAfile "$PKI/ca.pem" -verify_return_error \
			"$@" | body >got
}

nginx_version() { nginx -v 2>&1 | sed 's|.*nginx/\([0-9.]*\).*|\1|'; }
openssl_version() { openssl version | awk '{ print $2 }'; }

# start_nginx PORT: with nginx.conf, the last of whose ports this is
start_nginx() {
	background nginx nginx -e "$WORK/error.log" -p "$WORK" -c "$WORK/nginx.conf"
	if ! wait_for_port "$1"; then
		cat error.log nginx.log >"$WORK/log"
		not_ok "nginx starts"
		finish
	fi
}

# ktls_nginx LOG-FORMAT [LINE...]: a new nginx with KTLS serves www, TLS 1.2 on port 4012 and TLS 1.3 on port 4013
ktls_nginx() {
	local format=$1
	shift
	cat >nginx.conf <<-EOF
		user root;
		daemon off;
		pid $WORK/nginx.pid;
		worker_processes 2;
		error_log $WORK/error.log notice;
		events { worker_connections 1024; }
		http {
			log_format it '$format';
			access_log $WORK/access.log it;
			root $WORK/www;
			sendfile on;
			ssl_certificate $PKI/ec.pem;
			ssl_certificate_key $PKI/ec.key;
			ssl_conf_command Options KTLS;
			$(printf '%s\n' "$@")
			server { listen 127.0.0.1:4012 ssl; http2 on; ssl_protocols TLSv1.2; }
			server { listen 127.0.0.1:4013 ssl; http2 on; ssl_protocols TLSv1.3; }
		}
	EOF
	start_nginx 4013
}

stop_last() {
	kill "$last_pid" 2>/dev/null
	wait "$last_pid" 2>/dev/null
}

# until_true COMMAND...: repeat for up to two minutes.
until_true() {
	local i
	for ((i = 0; i < 1200; i++)); do
		! "$@" >/dev/null 2>&1 || return 0
		sleep 0.1
	done
	return 1
}

# ---- files ----

make_files() {
	mkdir -p www/sub
	echo 'The quick brown fox jumps over the lazy dog.' >www/page.txt
	head -c 1000000 /dev/urandom >www/million.bin
	head -c 8388608 /dev/urandom >www/large.bin
	: >www/empty.bin
	echo '<h1>index</h1>' >www/sub/index.html
}

# The body of an HTTP/1.0 answer on standard input.
body() { sed '1,/^\r$/d'; }

# ---- certificates ----

# openssl ca keeps the index that revocation lists and OCSP answers are made from.
make_ca() {
	mkdir -p "$PKI/new"
	: >"$PKI/index.txt"
	echo 1000 >"$PKI/serial"
	echo 1000 >"$PKI/crlnumber"
	cat >"$PKI/ca.cnf" <<-EOF
		[ca]
		default_ca = it
		[it]
		dir = $PKI
		database = $PKI/index.txt
		serial = $PKI/serial
		crlnumber = $PKI/crlnumber
		new_certs_dir = $PKI/new
		certificate = $PKI/ca.pem
		private_key = $PKI/ca.key
		default_md = sha256
		default_days = 30
		default_crl_days = 30
		policy = any
		unique_subject = no
		copy_extensions = copy
		[any]
		commonName = supplied
	EOF
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 \
		-subj '/CN=tlsrec test CA' -addext keyUsage=critical,keyCertSign,cRLSign,digitalSignature \
		-keyout "$PKI/ca.key" -out "$PKI/ca.pem" 2>>"$WORK/pki.log"
}

# make_cert NAME rsa|ec USAGE ALTNAMES [OPTION OF openssl ca...]: NAME.pem, NAME.key
make_cert() {
	local name=$1 type=$2 usage=$3 names=$4
	local key=(ec -pkeyopt ec_paramgen_curve:P-256)
	shift 4
	[ "$type" != rsa ] || key=(rsa:2048)
	openssl req -new -newkey "${key[@]}" -nodes -subj "/CN=$name" \
		-addext "subjectAltName=$names" -addext "extendedKeyUsage=$usage" \
		-addext "keyUsage=digitalSignature,keyEncipherment" \
		-keyout "$PKI/$name.key" -out "$PKI/$name.csr" 2>>"$WORK/pki.log" &&
		openssl ca -batch -notext -config "$PKI/ca.cnf" -in "$PKI/$name.csr" \
			-out "$PKI/$name.pem" "$@" 2>>"$WORK/pki.log"
}

HERE=DNS:localhost,IP:127.0.0.1,IP:::1

make_server_certs() {
	make_ca
	make_cert rsa rsa serverAuth "$HERE"
	make_cert ec ec serverAuth "$HERE"
}

make_crl() { openssl ca -gencrl -config "$PKI/ca.cnf" -out "$PKI/crl.pem" 2>>"$WORK/pki.log"; }

# make_ocsp NAME: NAME.ocsp, what the index says about it now
make_ocsp() {
	openssl ocsp -issuer "$PKI/ca.pem" -cert "$PKI/$1.pem" -reqout "$PKI/$1.req" -no_nonce 2>>"$WORK/pki.log" >&2 &&
		openssl ocsp -index "$PKI/index.txt" -CA "$PKI/ca.pem" -rsigner "$PKI/ca.pem" \
			-rkey "$PKI/ca.key" -reqin "$PKI/$1.req" -respout "$PKI/$1.ocsp" -ndays 7 \
			2>>"$WORK/pki.log" >&2
}
