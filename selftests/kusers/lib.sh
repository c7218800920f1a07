# shellcheck shell=bash disable=SC2034 # the suites use what is set here
# SPDX-License-Identifier: MIT
#
# What the suites about users inside the kernel have in common, on top of those about interoperation: tlshd, which does
# the handshakes that the kernel asks for, and input and output that can be compared.
#
# ULP=tls tries the in-tree module.

# shellcheck source=../interop/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../interop/lib.sh"
HERE_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
RANDOM_IO=$HERE_DIR/random-io.py

# The debug kernel is slow: less volume there.
SLOW=
[ ! -e /sys/kernel/debug/kmemleak ] || SLOW=1

# start_tlshd CONFIGURATION: it listens to the kernel as long as the suite runs, or until stop_tlshd.
start_tlshd() {
	background tlshd tlshd -s -c "$1"
	tlshd_pid=$last_pid
	# It says so once it is about to subscribe to the kernel's requests.
	until_true grep -q 'PSK.*priority string' "$WORK/tlshd.log"
	sleep 1
}

stop_tlshd() {
	kill "$tlshd_pid" 2>/dev/null
	wait "$tlshd_pid" 2>/dev/null
}

# Without Debian's suffixes.
kernel_version() { uname -r | sed 's/[-+].*//'; }

tlshd_version() { dpkg-query -W -f '${Version}' ktls-utils; }

# connections_use_tls PORT: every one of them, at both ends; at least one.
connections_use_tls() {
	local all with
	ss -tinH "( sport = :$1 or dport = :$1 )" >connections
	cat connections
	all=$(grep -c '^ESTAB' connections)
	with=$(grep -c 'tcp-ulp-tls version: 1.3 .*rxconf: sw txconf: sw' connections)
	[ "$all" -gt 0 ] && [ "$all" = "$with" ]
}

# no_connections PORT
no_connections() { ! ss -tnH state established "( sport = :$1 or dport = :$1 )" | grep -q .; }

# drop_cache: what is read next comes from the server.
drop_cache() {
	sync
	echo 3 >/proc/sys/vm/drop_caches
}
