#!/bin/bash
# SPDX-License-Identifier: MIT
# guest: -r trixie -p replace_tls=1
# kernels: 6.12
#
# Apache, unmodified, with OpenSSL's option KTLS: README says that it hands no key to the kernel, because mod_ssl gives
# OpenSSL no socket, and that the option does no harm. When a check of U15 fails because the kernel has keys of Apache's,
# what README says is to be changed.
# shellcheck disable=SC2317 # functions are called by check
# shellcheck disable=SC2034 # for lib.sh
ULP=tls
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

SIZES="0 1 16383 16384 16385 1048576 8388608"
LARGE=8388608
mkdir www
for size in $SIZES; do
	head -c "$size" /dev/urandom >"www/$size"
done
make_server_certs
# Its workers are not root.
chmod 755 .

modules() {
	local module
	for module; do
		echo "LoadModule ${module}_module /usr/lib/apache2/modules/mod_$module.so"
	done
}

tls_server() {
	cat <<-EOF
		Listen 127.0.0.1:$1 https
		<VirtualHost 127.0.0.1:$1>
			SSLEngine on
			SSLProtocol $2
			SSLCertificateFile $PKI/ec.pem
			SSLCertificateKeyFile $PKI/ec.key
			SSLOpenSSLConfCmd Options KTLS
			Protocols h2 http/1.1
		</VirtualHost>
	EOF
}

port12=4012 port13=4013

cat >apache.conf <<EOF
$(modules mpm_event authz_core ssl http2 reflector)
ServerRoot $WORK
ServerName localhost
DefaultRuntimeDir $WORK
PidFile $WORK/apache.pid
User www-data
Group www-data
ErrorLog $WORK/error.log
DocumentRoot $WORK/www
EnableSendfile On
<Location /back>
	SetHandler reflector
</Location>
$(tls_server $port12 TLSv1.2)
$(tls_server $port13 TLSv1.3)
EOF

# OpenSSL is asked when Apache starts: one that it does not know ends that.
sed 's/Options KTLS/Options KTLX/' apache.conf >wrong.conf
unknown_option() {
	! timeout 120 apache2 -D FOREGROUND -f "$WORK/wrong.conf" && cat error.log && grep -q KTLX error.log && rm error.log
}
check "U15: the option goes to OpenSSL, which refuses one that it does not know" unknown_option

background apache apache2 -D FOREGROUND -f "$WORK/apache.conf"
if ! wait_for_port $port12 || ! wait_for_port $port13; then
	cat error.log apache.log >"$WORK/log"
	not_ok "Apache starts"
	finish
fi
check "nobody else is the kernel's TLS" in_the_place_of_tls

fetch() { timeout 120 curl -sS --cacert "$PKI/ca.pem" "${tls[@]}" "$@" 2>"$WORK/log"; }

# tls VERSION: its port and the options of curl
tls() {
	case $1 in
	1.2) port=$port12 tls=(--tlsv1.2 --tls-max 1.2) ;;
	1.3) port=$port13 tls=(--tlsv1.3) ;;
	esac
	url=https://localhost:$port
}

right() { [ "$(sha256sum <"$1")" = "$(sha256sum <"www/$2")" ]; }

no_keys() { expect TlsTxSw = 0 TlsRxSw = 0 TlsTxDevice = 0 TlsRxDevice = 0 TlsrecTxBytes = 0 TlsrecRxBytes = 0; }

# all_sizes HTTP SHOWN: with this version of HTTP, as curl shows it
all_sizes() {
	local size list=()
	for size in $SIZES; do
		list+=("$url/$size" -o "got.$size")
	done
	mark
	fetch "--http$1" -w '%{http_version} %{num_connects}\n' "${list[@]}" >results || return 1
	cat results
	awk -v want="$2" '$1 != want { exit 1 } { n += $2 } END { exit n != 1 }' results || return 1
	for size in $SIZES; do
		right "got.$size" "$size" || { echo "$size differs"; return 1; }
	done
	no_keys
}

there_and_back() {
	mark
	fetch --http1.1 --data-binary "@www/$LARGE" "$url/back" -o got && right got "$LARGE" && no_keys
}

# A connection that has carried data, and has no ULP.
no_ulp() {
	local pid result=1
	timeout 120 curl -sS --cacert "$PKI/ca.pem" "${tls[@]}" --limit-rate 100k "$url/$LARGE" -o slow &
	pid=$!
	if until_true test -s slow; then
		ss -Htie state established "sport = :$port" >connections
		cat connections
		! grep -q . connections || grep -q tcp-ulp connections || result=0
	fi
	kill "$pid"
	wait "$pid"
	rm slow
	return "$result"
}

# Beside a client that does hand over its keys: the counters see these and no others.
client_keys_only() {
	mark
	s_client openssl "localhost:$port" "$LARGE" "-tls${v/./_}" -ktls && right got "$LARGE" || return 1
	# The in-tree module counts no bytes, tlsrec those of the client.
	expect TlsTxSw = 1 TlsRxSw = 1 TlsrecTxBytes -lt 65536 TlsrecRxBytes -ge "$LARGE" TlsDecryptError = 0
}

for v in 1.2 1.3; do
	tls $v
	check "U15: TLS $v, HTTP/1.1: files of all sizes, and the kernel has no key" all_sizes 1.1 1.1
	check "U15: TLS $v, HTTP/2: the same" all_sizes 2 2
	check "U15: TLS $v, HTTP/1.1: 8 MiB to the server and back, and the kernel has no key" there_and_back
	check "U15: TLS $v: the server's sockets have no ULP" no_ulp
	check "U15: TLS $v: of both ends only OpenSSL's s_client -ktls hands keys to the kernel" client_keys_only
done

end() { kill -TERM "$(cat apache.pid)" && wait "$last_pid" && until_true all_closed; }
check "Apache ends as it should" end
nothing_bad() {
	cat error.log
	! grep -E ':(error|crit|alert|emerg)\]' error.log
}
check "there is nothing bad in its log" nothing_bad
finish
