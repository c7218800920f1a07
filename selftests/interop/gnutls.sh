#!/bin/bash
# SPDX-License-Identifier: MIT
# GnuTLS as the peer, gnutls-cli and gnutls-serv: every key exchange, both versions and key sizes, both address families,
# bytes compared in both directions. (gnutls-cli is slow at printing: the files are small.)
# shellcheck disable=SC2317 # functions are called by check
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

make_files
head -c 100000 www/large.bin >www/small.bin
head -c 500000 www/large.bin >www/medium.bin
make_server_certs
make_cert a.example ec serverAuth DNS:a.example
make_cert client ec clientAuth DNS:client.example
make_ocsp ec
mark

# Priority strings of GnuTLS and what they stand for.
V12=NORMAL:-VERS-ALL:+VERS-TLS1.2
V13=NORMAL:-VERS-ALL:+VERS-TLS1.3
priorities="
$V12:-KX-ALL:+ECDHE-RSA:-CIPHER-ALL:+AES-128-GCM
$V12:-KX-ALL:+ECDHE-RSA:-CIPHER-ALL:+AES-256-GCM
$V12:-KX-ALL:+ECDHE-ECDSA:-CIPHER-ALL:+AES-128-GCM
$V12:-KX-ALL:+ECDHE-ECDSA:-CIPHER-ALL:+AES-256-GCM
$V12:-KX-ALL:+DHE-RSA:-CIPHER-ALL:+AES-128-GCM
$V13:-CIPHER-ALL:+AES-128-GCM
$V13:-CIPHER-ALL:+AES-256-GCM
$V13:-GROUP-ALL:+GROUP-SECP256R1
"
short() { echo "${1#NORMAL:-VERS-ALL:+VERS-}" | sed 's/-KX-ALL:+//; s/-CIPHER-ALL:+//; s/-GROUP-ALL:+//; s/:/ /g'; }

# get_with_gnutls HOST FILE [OPTION...]: its input must not end before the answer is there.
get_with_gnutls() {
	local host=$1 file=$2
	shift 2
	rm -f input
	mkfifo input
	timeout 120 gnutls-cli --x509cafile "$PKI/ca.pem" --logfile gnutls.log -p "$port" "$@" "$host" \
		<input 2>"$WORK/log" | body >got &
	exec {input}>input
	printf 'GET /%s HTTP/1.0\r\n\r\n' "$file" >&"$input"
	wait $!
	exec {input}>&-
	cat gnutls.log >>"$WORK/log"
}

# ---- tlsrec serve, gnutls-cli ----

serve --cert "$PKI/rsa.pem" --key "$PKI/rsa.key" --cert "$PKI/ec.pem" --key "$PKI/ec.key" \
	--cert "$PKI/a.example.pem" --key "$PKI/a.example.key"
for priority in $priorities; do
	get_with_gnutls localhost small.bin --priority "$priority"
	check_same "serve to gnutls-cli, $(short "$priority")" got www/small.bin
done
for host in 127.0.0.1 ::1; do
	for priority in "$V12" "$V13"; do
		get_with_gnutls "$host" medium.bin --priority "$priority"
		check_same "serve to gnutls-cli over $host, $(short "$priority")" got www/medium.bin
	done
done
get_with_gnutls localhost page.txt --alpn http/1.1
check "the application protocol is chosen (ALPN)" grep -q 'Application protocol: http/1.1' gnutls.log
get_with_gnutls 127.0.0.1 page.txt --sni-hostname a.example --verify-hostname a.example
check_same "the certificate for the name is chosen (SNI)" got www/page.txt
resumed() {
	timeout 60 gnutls-cli --x509cafile "$PKI/ca.pem" -p "$port" --resume --priority "$1" localhost <&"$SILENCE" &
	local client=$!
	until_true grep -qi 'This is a resumed session' "$WORK/log"
	kill "$client"
	grep -qi 'This is a resumed session' "$WORK/log"
}
check "serve resumes a TLS 1.2 session of gnutls-cli" resumed "$V12"
stop_last
for priority in "$V12" "$V13"; do
	serve --cert "$PKI/ec.pem" --key "$PKI/ec.key" --client-ca "$PKI/ca.pem"
	get_with_gnutls localhost small.bin --priority "$priority" --x509certfile "$PKI/client.pem" --x509keyfile "$PKI/client.key"
	check_same "a client certificate of gnutls-cli, $(short "$priority")" got www/small.bin
	stop_last
done

# ---- gnutls-serv, tlsrec connect: it sends back what it gets, as long as that is text ----

base64 www/large.bin | head -c 1000000 >text
gnutls_serv() {
	next_port
	background "gnutls-serv-$port" gnutls-serv --echo -p "$port" --x509certfile "$PKI/ec.pem" --x509keyfile "$PKI/ec.key" \
		--x509certfile "$PKI/rsa.pem" --x509keyfile "$PKI/rsa.key" "$@"
	wait_for_port "$port"
}
echo_through() {
	timeout 120 tlsrec connect -N --ulp "$ULP" --cafile "$PKI/ca.pem" "$@" <text 2>"$WORK/log" >got
}
for priority in $priorities; do
	gnutls_serv --priority "$priority"
	echo_through "localhost:$port"
	check_same "connect to gnutls-serv and back, $(short "$priority")" got text
	stop_last
done
gnutls_serv
for version in --tls1.2 --tls1.3; do
	for host in 127.0.0.1 '[::1]'; do
		echo_through "$version" "$host:$port"
		check_same "connect to gnutls-serv and back over $host, $version" got text
	done
done
stop_last
gnutls_serv --require-client-cert --x509cafile "$PKI/ca.pem" --verify-client-cert
for version in --tls1.2 --tls1.3; do
	echo_through "$version" --cert "$PKI/client.pem" --key "$PKI/client.key" "localhost:$port"
	check_same "a client certificate for gnutls-serv, $version" got text
done
stop_last
next_port
background "gnutls-serv-$port" gnutls-serv --echo -p "$port" --x509certfile "$PKI/ec.pem" --x509keyfile "$PKI/ec.key" \
	--ocsp-response "$PKI/ec.ocsp"
wait_for_port "$port"
for version in --tls1.2 --tls1.3; do
	echo_through "$version" --require-ocsp "localhost:$port"
	check_same "an OCSP response of gnutls-serv, $version" got text
done
stop_last

check "the kernel carried the records" kernel_was_used
finish
