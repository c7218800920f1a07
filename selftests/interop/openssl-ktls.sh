#!/bin/bash
# SPDX-License-Identifier: MIT
# guest: -p replace_tls=1 -M 2048
# guest: -r trixie -p replace_tls=1 -M 2048
#
# OpenSSL, unmodified, with its own support for kernel TLS switched on: s_server and s_client against each other, against
# OpenSSL without it, and against tlsrec; ciphers, large transfers both ways, sendfile, key updates.
# shellcheck disable=SC2317 # functions are called by check
# shellcheck disable=SC2034 # for lib.sh
ULP=tls
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

make_server_certs
mkdir www
head -c 262144 /dev/urandom >www/file
head -c 16777216 /dev/urandom >www/large
head -c 8388608 /dev/urandom >there
head -c 8388608 /dev/urandom >back

version=$(openssl_version)
newer() { [ "$(printf '%s\n' "$1" "$2" | sort -V | head -n 1)" = "$2" ]; }

# From 3.2 on the kernel also gets the reading of TLS 1.3, and its CCM; before it is a file that switches KTLS on.
mkdir bin
PATH=$WORK/bin:$PATH
cat >ktls.cnf <<EOF
openssl_conf = init
[init]
ssl_conf = ssl
[ssl]
system_default = all
[all]
Options = KTLS
EOF
if newer "$version" 3.2; then
	rx13=1
	# shellcheck disable=SC2016 # expanded by the program
	run='command=$1; shift; exec openssl $command -ktls "$@"'
else
	rx13=0
	run="OPENSSL_CONF=$WORK/ktls.cnf exec openssl \"\$@\""
fi
printf '#!/bin/sh\n%s\n' "$run" >bin/with_ktls
chmod +x bin/with_ktls

# get HOW FILE [OPTION...]: with s_client
get() { s_client "$1" "localhost:$port" "${@:2}" 2>"$WORK/client.log"; }

in_the_place_of_tls >/dev/null || { not_ok "nobody else is the kernel's TLS"; finish; }

# ---- ciphers ----

# keys_of VERSION: of one end, to send and to receive
keys_of() {
	tx=1 rx=1
	[ "$1" = 1.2 ] || rx=$rx13
}

# server VERSION COMMAND...: somebody without KTLS fetches into the file got
server() {
	keys_of "$1"
	mark
	"${@:2}"
	same got www/file && expect TlsTxSw = 1 TlsRxSw = "$rx" TlsrecTxBytes -ge 262144 TlsDecryptError = 0 && driver_named
}
# client VERSION [OPTION OF s_client...]: from somebody without KTLS
client() {
	keys_of "$1"
	mark
	get with_ktls file "${@:2}"
	same got www/file && expect TlsTxSw = 1 TlsRxSw = "$rx" TlsrecRxBytes -ge $((rx * 262144)) TlsDecryptError = 0 && driver_named
}

ciphers() {
	local who=$1 v cipher suite12 suite13 tls
	while read -r cipher suite12 suite13; do
		for v in 1.2 1.3; do
			if [ "$v$cipher$rx13" = 1.3AES-128-CCM0 ]; then
				skip "TLS $v, $cipher: s_$who" "OpenSSL $version does not offer it to the kernel"
				continue
			fi
			if [ $v = 1.2 ]; then tls="-tls1_2 -cipher $suite12"; else tls="-tls1_3 -ciphersuites $suite13"; fi
			# shellcheck disable=SC2086 # a list
			if [ "$who" = server ]; then
				check "TLS $v, $cipher: s_server" server $v get openssl file $tls
				proved OpenSSL "$version" server "TLS $v" "s_server -WWW -sendfile with KTLS, $cipher; driver $(drivers)"
			else
				check "TLS $v, $cipher: s_client" client $v $tls
				proved OpenSSL "$version" client "TLS $v" "s_client with KTLS, $cipher; driver $(drivers)"
			fi
		done
	done <<-EOF
		AES-128-GCM ECDHE-RSA-AES128-GCM-SHA256 TLS_AES_128_GCM_SHA256
		AES-256-GCM ECDHE-ECDSA-AES256-GCM-SHA384 TLS_AES_256_GCM_SHA384
		AES-128-CCM ECDHE-ECDSA-AES128-CCM TLS_AES_128_CCM_SHA256
		CHACHA20-POLY1305 ECDHE-RSA-CHACHA20-POLY1305 TLS_CHACHA20_POLY1305_SHA256
	EOF
}
all=(-cipher ALL -ciphersuites TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_AES_128_CCM_SHA256:TLS_CHACHA20_POLY1305_SHA256)
s_server openssl -WWW "${all[@]}"
ciphers client
stop_last
s_server with_ktls -WWW -sendfile "${all[@]}"
ciphers server

# ---- sendfile, and tlsrec as the other end ----

get_with_tlsrec() {
	printf 'GET /file HTTP/1.0\r\n\r\n' |
		timeout 120 tlsrec connect --ulp tls --cafile "$PKI/ca.pem" "--tls$1" "localhost:$port" 2>"$WORK/client.log" | body >got
}
# libtlsrec gives the kernel another key to see whether it has the cipher.
to_tlsrec() {
	keys_of "$1"
	mark
	get_with_tlsrec "$1"
	same got www/file && expect TlsTxSw -ge 2 TlsRxSw -ge $((1 + rx))
}
large_file() {
	mark
	get openssl large "$1"
	same got www/large && grep "KTLS SENDFILE 'large' OK" s_server.log &&
		expect TlsTxSw = 1 TlsrecTxBytes -ge 16777216
}
for v in 1.2 1.3; do
	check "TLS $v: s_server to tlsrec connect" to_tlsrec $v
	check "TLS $v: s_server says that it used SSL_sendfile()" large_file "-tls1_${v#*.}"
	proved OpenSSL "$version" server "TLS $v" "SSL_sendfile() of 16 MiB; driver $(drivers)"
done
stop_last
if newer "$version" 3.2; then
	s_server with_ktls -WWW -sendfile -zerocopy_sendfile
	check "TLS 1.3: zero-copy sendfile" server 1.3 get openssl file
	proved OpenSSL "$version" server "TLS 1.3" "s_server -zerocopy_sendfile"
	stop_last
	s_server openssl -WWW -record_padding 4096
	check "TLS 1.3: s_client takes padded records" client 1.3
	proved OpenSSL "$version" client "TLS 1.3" "records padded to multiples of 4096 bytes"
	stop_last
fi

# ---- both ways at the same time ----

# An input that stays open when the file has been read.
both_ways() {
	local client_pid
	next_port
	rm -f in out got_there got_back
	mkfifo in out
	# shellcheck disable=SC2094 # a pipe
	exec {in}<>in {out}<>out
	mark
	"$2" s_server -accept "$port" -quiet -nbio "$1" -cert "$PKI/rsa.pem" -key "$PKI/rsa.key" <in >got_there 2>"$WORK/s_server.log" &
	last_pid=$!
	pids+=("$last_pid")
	wait_for_port "$port"
	"$3" s_client -connect "localhost:$port" -quiet -nbio "$1" -CAfile "$PKI/ca.pem" <out >got_back 2>"$WORK/client.log" &
	client_pid=$!
	pids+=("$client_pid")
	cat back >in &
	cat there >out
	wait $!
	until_true same got_there there
	until_true same got_back back
	kill "$last_pid" "$client_pid"
	wait "$last_pid" "$client_pid"
	exec {in}>&- {out}>&-
	same got_there there && same got_back back
}
both_ways_counted() {
	both_ways "$1" "$3" "$4" && keys_of "$2" && expect TlsTxSw = "$5" TlsRxSw = $(($5 * rx)) \
		TlsrecTxBytes -ge $(($5 * 8388608)) TlsrecRxBytes -ge $(($5 * rx * 8388608)) TlsDecryptError = 0
}
for v in 1.2 1.3; do
	check "TLS $v: 8 MiB each way at the same time, both ends" both_ways_counted "-tls1_${v#*.}" $v with_ktls with_ktls 2
	proved OpenSSL "$version" "client and server" "TLS $v" "8 MiB each way at the same time; driver $(drivers)"
done

# ---- key updates ----

# Sends 40 pieces each way, with the commands of s_client and s_server for key updates between them. Payload is made of
# characters that OpenSSL does not print itself.
cat >talk.py <<'P'
import fcntl, os, random, struct, subprocess, sys, termios, threading, time

port, ca, cert, key = sys.argv[1:5]
server_command, client_command = sys.argv[5].split(), sys.argv[6].split()
server_says, client_says = sys.argv[7], sys.argv[8]
ALPHABET = b"!#$%&*^~"

def start(command, out):
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=open(out, "wb"), stderr=open(out + ".err", "wb"))

def payload(name):
    return [random.Random(name + str(i)).randbytes(25000).translate(ALPHABET * 32) for i in range(40)]

def received(out):
    return open(out, "rb").read().translate(None, bytes(set(range(256)) - set(ALPHABET)))

def until_says(out, text):
    end = time.time() + 200
    while text not in open(out, "rb").read():
        if time.time() > end:
            raise SystemExit(out + " does not say " + text.decode())
        time.sleep(0.1)

def feed(process, line):
    """What was written is read at once and by itself: a command is one only at the beginning of what is read."""
    process.stdin.write(line)
    process.stdin.flush()
    end = time.time() + 200
    while struct.unpack("i", fcntl.ioctl(process.stdin, termios.FIONREAD, b"    "))[0]:
        if client.poll() is not None or time.time() > end:
            raise SystemExit("openssl does not read its input")
        time.sleep(0.001)

def talk(process, pieces, says):
    for i, piece in enumerate(pieces):
        feed(process, piece)
        if says != "-":
            feed(process, says[i % len(says)].encode() + b"\n")

def wait(out, want):
    end = time.time() + 200
    while received(out) != want and client.poll() is None and time.time() < end:
        time.sleep(0.1)
    got = received(out)
    print(out, len(got), "of", len(want), "bytes,", "the same" if got == want else "NOT THE SAME")
    return got == want

server = start([*server_command, "-accept", port, "-cert", cert, "-key", key, "-num_tickets", "0"], "at_server")
until_says("at_server", b"ACCEPT")
client = start([*client_command, "-connect", "localhost:" + port, "-brief", "-CAfile", ca], "at_client")
until_says("at_server", b"CIPHER is")
to_client, to_server = payload("server"), payload("client")
threads = [threading.Thread(target=talk, args=a) for a in ((server, to_client, server_says), (client, to_server, client_says))]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
right = wait("at_server", b"".join(to_server)) & wait("at_client", b"".join(to_client))
client.kill()
server.kill()
sys.exit(not right)
P
talk() {
	next_port
	mark
	timeout 400 python3 talk.py "$port" "$PKI/ca.pem" "$PKI/ec.pem" "$PKI/ec.key" "$@"
}
ktls_server="with_ktls s_server -tls1_3" ktls_client="with_ktls s_client -tls1_3"
plain_server="openssl s_server -tls1_3" plain_client="openssl s_client -tls1_3"
errorless=(TlsTxRekeyError "=" 0 TlsRxRekeyError "=" 0 TlsDecryptError "=" 0)

# Every key update that was read is answered by a new key.
update_both() {
	talk "$ktls_server" "$ktls_client" "$1" "$2" && expect TlsTxSw = 2 TlsRxSw = 2 TlsRxRekeyOk -ge 40 "${errorless[@]}" &&
		expect TlsRxRekeyReceived = "$(moved TlsRxRekeyOk)" TlsTxRekeyOk = "$(moved TlsRxRekeyOk)"
}
update_one() { # SERVER CLIENT SERVER-SAYS CLIENT-SAYS TX RX: at least so many of one end
	talk "${@:1:4}" && expect TlsTxSw = 1 TlsRxSw = 1 TlsTxRekeyOk -ge "$5" TlsRxRekeyOk -ge "$6" "${errorless[@]}" &&
		expect TlsRxRekeyReceived = "$(moved TlsRxRekeyOk)"
}
if newer "$version" 3.2; then
	check "key updates by the client, without being asked" update_both - k
	check "key updates by the server, without being asked" update_both k -
	check "key updates by the client, who asks for the same" update_both - K
	check "key updates by the server, who asks for the same" update_both K -
	check "key updates of all kinds by both at once" update_both kKK Kk
	proved OpenSSL "$version" "client and server" "TLS 1.3" "key updates (K and k of s_server and s_client) among 1 MB each way; driver $(drivers)"
	check "key updates with a client in user space" update_one "$ktls_server" "$plain_client" kK Kk 40 40
	proved OpenSSL "$version" server "TLS 1.3" "key updates with a client in user space"
	check "key updates with a server in user space" update_one "$plain_server" "$ktls_client" kK Kk 40 40
	proved OpenSSL "$version" client "TLS 1.3" "key updates with a server in user space"
else
	# It has no code that gives the kernel a second key: it sends the KeyUpdate and goes on with the old key.
	peer_updates() { talk "$@" && expect TlsTxSw = 1 TlsRxSw = 0; }
	check "key updates of a client in user space" peer_updates "$ktls_server" "$plain_client" - k
	proved OpenSSL "$version" server "TLS 1.3" "the client's key updates; it cannot make its own with KTLS"
	check "key updates of a server in user space" peer_updates "$plain_server" "$ktls_client" k -
	proved OpenSSL "$version" client "TLS 1.3" "the server's key updates; it cannot make its own with KTLS"
	own_update() {
		! talk "$plain_server" "$ktls_client" - k && grep 'bad record mac' at_server.err && expect TlsTxSw = 1 TlsTxRekeyOk = 0
	}
	check "OpenSSL $version sets no new key for its own update, and is found out by its peer" own_update
fi

check "no socket has keys any more" until_true all_closed
finish
