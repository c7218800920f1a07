#!/bin/bash
# SPDX-License-Identifier: MIT
# guest: -r trixie -p replace_tls=1 -M 2048
# kernels: 6.12 newest
# NFS over TLS: the kernel's server and its client, tlshd for the handshakes, records by whoever is ULP "tls".
# shellcheck disable=SC2317,SC2086 # functions are called by check; numbers and names have no spaces
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

EXPORT=/srv/export
MNT=/mnt/nfs
PORT=2049
BIG=8388608
LARGE=67200001
OPERATIONS=100
[ -z "$SLOW" ] || BIG=524288 LARGE=3000001 OPERATIONS=20

make_ca
make_cert server ec serverAuth "$HERE"
make_cert client ec clientAuth "$HERE"
PKI=$WORK/other make_ca

# tlshd_conf FILE CLIENT_CA [CLIENT_CERTIFICATE]
tlshd_conf() {
	cat >"$1" <<-EOF_CONF
		[debug]
		loglevel=1
		tls=0
		nl=0
		[authenticate]
		[authenticate.client]
		x509.truststore=$2
		${3:+x509.certificate=$PKI/$3.pem}
		${3:+x509.private_key=$PKI/$3.key}
		[authenticate.server]
		x509.truststore=$PKI/ca.pem
		x509.certificate=$PKI/server.pem
		x509.private_key=$PKI/server.key
	EOF_CONF
}
tlshd_conf with-certificate.conf "$PKI/ca.pem" client
tlshd_conf without-certificate.conf "$PKI/ca.pem"
tlshd_conf wrong-ca.conf "$WORK/other/ca.pem"

start_server() {
	modprobe nfsd
	mount -t nfsd nfsd /proc/fs/nfsd
	mkdir -p "$EXPORT" "$MNT" /var/lib/nfs
	mount -t tmpfs -o size=1g export "$EXPORT"
	touch /var/lib/nfs/etab /var/lib/nfs/rmtab
	# Nobody has state to reclaim.
	echo 10 >/proc/fs/nfsd/nfsv4leasetime
	echo 10 >/proc/fs/nfsd/nfsv4gracetime
	export_with tls:mtls
	background mountd rpc.mountd -F -N 3
	rpc.nfsd -N 3 -V 4.1 -V 4.2 4
	echo Y >/proc/fs/nfsd/v4_end_grace
	listening $PORT
}

export_with() {
	echo "$EXPORT 127.0.0.1(rw,no_root_squash,no_subtree_check,fsid=0,insecure,xprtsec=$1)" >/etc/exports
	exportfs -ra
}

# mount_nfs VERSION SECURITY
mount_nfs() { timeout 90 mount -t nfs -o "vers=$1,proto=tcp,xprtsec=$2" localhost:/ "$MNT"; }
unmount() { timeout 90 umount "$MNT"; }
remount() { unmount && mount_nfs "$@"; }
is_mounted() { grep -q " $MNT nfs" /proc/mounts; }

check "tlshd starts" start_tlshd without-certificate.conf
check "the server starts" start_server
mark

# ---- version 4.2 ----

for size in 0 1 4095 16384 16385 300003; do
	head -c $size /dev/urandom >"file.$size"
done
head -c $BIG /dev/urandom >file.big
head -c $LARGE /dev/urandom >file.large

# all_same DIRECTORY [FILE...]
all_same() {
	local f dir=$1
	shift
	[ $# -gt 0 ] || set -- file.*
	for f; do cmp "$f" "$dir/$f" || return 1; done
}

check "mount, version 4.2, xprtsec=tls" mount_nfs 4.2 tls
is_mounted || finish
check "every connection is TLS 1.3 in the kernel, at both ends" connections_use_tls $PORT
check "the files are written" cp file.* "$MNT/"
check "the server has them" all_same "$EXPORT"
drop_cache
check "and they are read back" all_same "$MNT"
check "random reads and writes past the cache" python3 "$RANDOM_IO" "$MNT/file.big" $BIG $OPERATIONS 1
check "the server has what they left" cmp "$MNT/file.big" "$EXPORT/file.big"
cp "$EXPORT/file.big" file.big

many_files() {
	local i
	mkdir -p many/a/b
	for ((i = 0; i < 150; i++)); do
		head -c $((i * 97)) file.300003 >"many/$i"
		head -c $((i * 31)) file.300003 >"many/a/b/$i"
	done
	cp -r many "$MNT/"
	drop_cache
	diff -r many "$MNT/many" && diff -r many "$EXPORT/many"
}
check "300 small files" many_files

in_parallel() {
	local i list=() result=0
	for i in 1 2 3 4; do
		{ cp file.big "$MNT/parallel.$i" && cmp file.big "$EXPORT/parallel.$i"; } &
		list+=($!)
		cmp file.300003 "$MNT/file.300003" &
		list+=($!)
		head -c 262144 /dev/zero >"$MNT/random.$i"
		python3 "$RANDOM_IO" "$MNT/random.$i" 262144 $((OPERATIONS / 5)) "$i" &
		list+=($!)
	done
	for i in "${list[@]}"; do wait "$i" || result=1; done
	return $result
}
check "twelve programs at once" in_parallel

# Each file went there and back; the random reads and the parallel part come on top.
bytes_carried() {
	local least=$((2 * LARGE + 6 * BIG))
	expect TlsTxSw -ge 2 TlsRxSw -ge 2 TlsrecTxBytes -gt $least TlsrecRxBytes -gt $least TlsDecryptError -eq 0
}
check "kernel TLS carried all of it" bytes_carried
check "and nobody else answers to \"tls\"" in_the_place_of_tls
check "unmount" unmount
check "no connection keeps its keys" until_true all_closed
version=$(kernel_version)
proved "Linux NFS" "$version" "client and server" "NFS 4.2, xprtsec=tls" \
	"64 MiB and small files, random I/O, 300 files, 12 programs at once; handshakes by tlshd $(tlshd_version)"

# ---- a connection that breaks ----

check "mount again" mount_nfs 4.2 tls
drop_cache
break_it() {
	local result
	cp "$MNT/file.large" got &
	sleep 2
	ss -K dst 127.0.0.1 dport = $PORT
	wait $!
	result=$?
	same got file.large && [ $result = 0 ]
}
mark
check "a read goes on when its connection was killed" break_it
handshaken_again() { expect TlsTxSw -ge 2 TlsRxSw -ge 2; }
check "after another handshake" handshaken_again
rm -f got
proved "Linux NFS" "$version" "client" "NFS 4.2, xprtsec=tls" "connection killed while 64 MiB are read"

# ---- version 4.1 ----

check "mount, version 4.1, xprtsec=tls" remount 4.1 tls
mark
check "files are read" all_same "$MNT" file.[0-9]* file.big
check "a file is written" cp file.300003 "$MNT/new"
check "the server has it" cmp file.300003 "$EXPORT/new"
read_carried() { expect TlsrecRxBytes -gt $BIG; }
check "kernel TLS carried them" read_carried
check "unmount, version 4.1" unmount
proved "Linux NFS" "$version" "client and server" "NFS 4.1, xprtsec=tls" "files up to 8 MiB"

# ---- who is refused ----

refused() { ! mount_nfs "$@"; }
check "without TLS the export is refused" refused 4.2 none
export_with mtls
no_use_without_certificate() { ! mount_nfs 4.2 tls || ! ls "$MNT"; }
check "without client certificate an export with mtls is refused" no_use_without_certificate
! is_mounted || unmount

stop_tlshd
start_tlshd with-certificate.conf
check "mount, version 4.2, xprtsec=mtls" mount_nfs 4.2 mtls
check "a file is read" cmp file.300003 "$MNT/new"
check "and written" cp file.big "$MNT/new"
check "the server has it, mtls" cmp file.big "$EXPORT/new"
peer_known() { grep -q 'The peer offered 1 certificate' "$WORK/tlshd.log"; }
check "the server has seen the client's certificate" peer_known
check "unmount, mtls" unmount
proved "Linux NFS" "$version" "client and server" "NFS 4.2, xprtsec=mtls" "certificates of both sides, 8 MiB"

export_with tls:mtls
stop_tlshd
start_tlshd wrong-ca.conf
check "a server of another CA is refused" refused 4.2 tls
says_why() {
	tail -n 12 "$WORK/tlshd.log"
	grep -q 'Certificate signer not found' "$WORK/tlshd.log"
}
check "tlshd says why" says_why
check "nothing is left of the attempt" until_true all_closed

rpc.nfsd 0
finish
