#!/bin/bash
# SPDX-License-Identifier: MIT
# guest: -r trixie -p replace_tls=1 -M 2048
# kernels: 6.12 newest
# NVMe over TCP with TLS: the kernel's target and its host, tlshd for the handshakes with a pre-shared key, records by
# whoever is ULP "tls". The host reads with read_sock, the target with recvmsg; both send pages and replace the socket's
# callbacks.
# shellcheck disable=SC2317,SC2086 # functions are called by check; numbers and names have no spaces
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

PORT=4420
NQN=nqn.2014-08.org.tlsrec:disk
HOST=nqn.2014-08.org.tlsrec:host
NVMET=/sys/kernel/config/nvmet
BACKING=$WORK/disk
DISK=/dev/nvme0n1
MNT=/mnt/nvme
BIG=33554432
OPERATIONS=200
[ -z "$SLOW" ] || BIG=3145728 OPERATIONS=40

cat >tlshd.conf <<-EOF_CONF
	[debug]
	loglevel=1
	tls=0
	nl=0
	[authenticate]
	keyrings=.nvme
	[authenticate.client]
	[authenticate.server]
EOF_CONF

# make_key HOST: a new key for both sides, of this host; they look it up in the same keyring.
make_key() { nvme gen-tls-key --insert --hmac=1 --identity=1 --subsysnqn=$NQN --hostnqn="$1"; }

# The disk is a file behind a loop device.
start_target() {
	local subsystem=$NVMET/subsystems/$NQN port=$NVMET/ports/1
	grep -q ' /sys/kernel/config ' /proc/mounts || mount -t configfs config /sys/kernel/config
	truncate -s 96M "$BACKING"
	loop=$(losetup -f --show "$BACKING") || return 1
	mkdir "$subsystem"
	echo 1 >"$subsystem/attr_allow_any_host"
	mkdir "$subsystem/namespaces/1"
	echo -n "$loop" >"$subsystem/namespaces/1/device_path"
	echo 1 >"$subsystem/namespaces/1/enable"
	mkdir "$port"
	echo tcp >"$port/addr_trtype"
	echo ipv4 >"$port/addr_adrfam"
	echo 127.0.0.1 >"$port/addr_traddr"
	echo $PORT >"$port/addr_trsvcid"
	echo tls1.3 >"$port/addr_tsas"
	echo required >"$port/addr_treq"
	ln -s "$subsystem" "$port/subsystems/"
	listening $PORT
}

# connect [OPTION...]
connect() {
	timeout 90 nvme connect -t tcp -a 127.0.0.1 -s $PORT -n $NQN -q "${host:-$HOST}" \
		--hostid 11111111-1111-1111-1111-111111111111 --nr-io-queues=2 "$@" &&
		until_true test -b $DISK
}
disconnect() { timeout 90 nvme disconnect -n $NQN; }

# The keyring, into which the key goes, comes with them.
check "the modules are loaded" modprobe -a loop nvmet-tcp nvme-tcp
check "tlshd starts" start_tlshd tlshd.conf
check "a key for both sides" make_key $HOST
check "the target starts" start_target
mark
check "the host connects" connect --tls
[ -b $DISK ] || finish
three_connections() { connections_use_tls $PORT && [ "$(grep -c '^ESTAB' connections)" = 6 ]; }
check "all queues are TLS 1.3 in the kernel, at both ends" three_connections
key_named() { cat /sys/class/nvme/nvme0/tls_key && [ -n "$(cat /sys/class/nvme/nvme0/tls_key)" ]; }
check "the controller names its key" key_named

# ---- blocks ----

head -c $BIG /dev/urandom >pattern

# transfer BLOCK_SIZE BYTES OFFSET_IN_BLOCKS: write it, look on the other side, read it back; past the cache.
transfer() {
	local bs=$1 bytes=$2 skip=$3
	dd if=pattern of=$DISK bs="$bs" seek="$skip" count="$bytes" iflag=count_bytes oflag=direct status=none conv=notrunc &&
		cmp -n "$bytes" pattern "$BACKING" 0 $((bs * skip)) &&
		dd if=$DISK of=got bs="$bs" skip="$skip" count="$bytes" iflag=direct,count_bytes status=none &&
		cmp -n "$bytes" pattern got
}
check "blocks of 1 MiB" transfer 1048576 $BIG 1
check "blocks of 64 KiB" transfer 65536 $((BIG / 4)) 7
check "blocks of 4 KiB" transfer 4096 $((BIG / 32)) 3
check "blocks of 512 bytes" transfer 512 65536 1
check "random reads and writes" python3 "$RANDOM_IO" $DISK $((BIG / 4)) $OPERATIONS 1 8388608

in_parallel() {
	local i list=() result=0
	for i in 1 2 3 4; do
		python3 "$RANDOM_IO" $DISK $((BIG / 16)) $((OPERATIONS / 4)) "$i" $((i * 4194304)) &
		list+=($!)
	done
	for i in "${list[@]}"; do wait "$i" || result=1; done
	return $result
}
check "four programs at once" in_parallel

# ---- a file system ----

make_file_system() { mkfs.ext4 -q -E nodiscard,lazy_itable_init=0 $DISK && mkdir -p $MNT && mount $DISK $MNT; }
check "a file system is made and mounted" make_file_system
files() {
	local i
	for ((i = 0; i < 100; i++)); do head -c $((i * 1013)) pattern >"$MNT/$i" || return 1; done
	cp pattern $MNT/large && drop_cache && cmp pattern $MNT/large || return 1
	for ((i = 0; i < 100; i++)); do cmp -n $((i * 1013)) pattern "$MNT/$i" || return 1; done
}
check "files are written and read back" files

during_reset() {
	local result
	dd if=pattern of=$MNT/reset bs=64k oflag=direct status=none &
	sleep 1
	nvme reset /dev/nvme0
	wait $!
	result=$?
	drop_cache
	[ $result = 0 ] && cmp pattern $MNT/reset
}
check "a controller reset in the middle of a write loses nothing" during_reset
check "the new connections use TLS, too" until_true three_connections
check "the file system is unmounted" umount $MNT
check "it is in order on the other side" e2fsck -fn "$BACKING"

carried() {
	expect TlsTxSw -ge 12 TlsRxSw -ge 12 TlsrecTxBytes -gt $((4 * BIG)) TlsrecRxBytes -gt $((4 * BIG)) TlsDecryptError -eq 0
}
check "kernel TLS carried all of it" carried
check "and nobody else answers to \"tls\"" in_the_place_of_tls
check "the host disconnects" disconnect
check "no connection keeps its keys" until_true all_closed
version=$(kernel_version)
proved "Linux NVMe/TCP" "$version" "host and target" "TLS 1.3, pre-shared key" \
	"blocks of 512 bytes to 1 MiB, random I/O, ext4, reset during a write; handshakes by tlshd $(tlshd_version)"

# ---- digests ----

check "the host connects, with digests of headers and data" connect --tls --hdr-digest --data-digest
check "blocks of 64 KiB with digests" transfer 65536 $((BIG / 8)) 5
check "random reads and writes with digests" python3 "$RANDOM_IO" $DISK 1048576 $((OPERATIONS / 4)) 2
check "the host disconnects again" disconnect
proved "Linux NVMe/TCP" "$version" "host and target" "TLS 1.3, pre-shared key" "header and data digests"

# ---- who is refused ----

no_tls() { ! connect && ! [ -e $DISK ]; }
check "a host without TLS is refused" no_tls
wrong_host() { ! host=$HOST-without-key connect --tls && ! [ -e $DISK ]; }
check "a host without a key is refused" wrong_host
check "nothing is left of the attempts" until_true all_closed
finish
