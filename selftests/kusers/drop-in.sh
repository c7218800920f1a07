#!/bin/bash
# SPDX-License-Identifier: MIT
# guest: -M 2048 -t 900
# Who is the ULP "tls", whoever is loaded when: the in-tree module, tlsrec with replace_tls, or tlsrec's own module tls; and
# bonds, which import symbols of a module tls. None of it may make the kernel complain.
# shellcheck disable=SC2317,SC2086 # functions are called by check; numbers and names have no spaces
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

UPDATES=/lib/modules/$(uname -r)/updates
ROUNDS=8
[ -z "$SLOW" ] || ROUNDS=3

# ---- what is there ----

loaded() { [ -e "/sys/module/$1/refcnt" ]; }
is_ulp() { grep -qw "$1" /proc/sys/net/ipv4/tcp_available_ulp; }
# The module tls that is loaded is tlsrec's: only that has a version.
is_drop_in() { [ -e /sys/module/tls/version ]; }

# state WORD...: exactly these of the modules and names are there.
state() {
	local all=
	! loaded tls || if is_drop_in; then all+=" drop-in"; else all+=" in-tree"; fi
	! loaded tlsrec || all+=" tlsrec"
	! loaded bonding || all+=" bonding"
	! is_ulp tls || all+=" ulp-tls"
	! is_ulp tlsrec || all+=" ulp-tlsrec"
	[ ! -e /proc/net/tls_stat ] || all+=" tls_stat"
	echo "there is:$all"
	[ "$all" = "${*:+ $*}" ]
}

log_mark() { log_lines=$(dmesg | wc -l); }
log_says() { dmesg | tail -n +$((log_lines + 1)) | grep -F "$1"; }

# Nothing is loaded.
unload() {
	ip link del trunk 2>/dev/null
	for module in bonding tls tlsrec; do
		! loaded $module || until_true rmmod $module || return 1
	done
	state
}

# The ULP of both ends of a connection, as a program sets it; it waits for the end of its input when told to.
cat >ulp.py <<-'EOF_PY'
	import socket, sys
	listener = socket.create_server(("127.0.0.1", 0))
	ends = [socket.create_connection(listener.getsockname()), listener.accept()[0]]
	for end in ends:
	    end.setsockopt(socket.IPPROTO_TCP, 31, sys.argv[1].encode())
	print("set", flush=True)
	if sys.argv[2:] == ["wait"]:
	    sys.stdin.read()
EOF_PY
set_ulp() { python3 "$WORK/ulp.py" "$@"; }

install_drop_in() { mkdir -p "$UPDATES" && cp /drop-in/tls.ko "$UPDATES/" && depmod; }

# ---- replace_tls, and the in-tree module ----

replace_comes_first() {
	unload && modprobe tlsrec replace_tls=1 || return 1
	log_mark
	# There is a "tls", so this may well succeed.
	modprobe tls
	log_says "another module tls is not let in" && state tlsrec ulp-tls ulp-tlsrec tls_stat && set_ulp tls
}

# In the way it came, and only once the place is free.
in_tree_comes_after() {
	unload && modprobe tls && state in-tree ulp-tls tls_stat && set_ulp tls && unload
}

in_tree_comes_first() {
	unload && modprobe tls || return 1
	log_mark
	! modprobe tlsrec replace_tls=1 || return 1
	log_says "replace_tls: the module tls is loaded" && state in-tree ulp-tls tls_stat && set_ulp tls || return 1
	# Beside it, for its own name.
	modprobe tlsrec && state in-tree tlsrec ulp-tls ulp-tlsrec tls_stat && set_ulp tlsrec && unload
}

# race FIRST SECOND: exactly one of two that are loaded at once gets in.
race() {
	local results
	$1 2>/dev/null & local first=$!
	$2 2>/dev/null & local second=$!
	wait $first; results=$?
	wait $second; results+=$?
	case $(state) in
	*": in-tree ulp-tls tls_stat") [ $results != 00 ] ;;
	*": tlsrec ulp-tls ulp-tlsrec tls_stat") true ;;
	*) state; false ;;
	esac && unload
}

both_at_once() {
	local i
	local tls="modprobe tls" tlsrec="modprobe tlsrec replace_tls=1"
	unload || return 1
	for ((i = 0; i < ROUNDS; i++)); do
		race "$tls" "$tlsrec" && race "$tlsrec" "$tls" || return 1
	done
}

bond_without_drop_in() {
	unload && modprobe tlsrec replace_tls=1 || return 1
	# It lacks symbols, and says so; the connections do not notice.
	! modprobe bonding || return 1
	state tlsrec ulp-tls ulp-tlsrec tls_stat && set_ulp tls && unload
}

bond_in_tree() {
	unload && ip link add trunk type bond && state in-tree bonding ulp-tls tls_stat || return 1
	! modprobe tlsrec replace_tls=1 && state in-tree bonding ulp-tls tls_stat && modprobe tlsrec && unload
}

check "replace_tls is loaded first: the in-tree module stays out" replace_comes_first
check "the in-tree module is loaded once replace_tls is gone" in_tree_comes_after
check "the in-tree module is loaded first: replace_tls fails" in_tree_comes_first
check "both are loaded at once, many times" both_at_once
if modinfo bonding >/dev/null 2>&1; then
	check "a bond with the in-tree module" bond_in_tree
	check "no bond beside replace_tls alone" bond_without_drop_in
else
	skip "bonds" "this kernel has no bonding"
fi

# ---- the drop-in ----

check "the drop-in is installed" install_drop_in

by_name() {
	unload && modprobe tls && state drop-in tlsrec ulp-tls ulp-tlsrec tls_stat && set_ulp tls && set_ulp tlsrec &&
		unload
}

by_ulp() { unload && set_ulp tls && state drop-in tlsrec ulp-tls ulp-tlsrec tls_stat && unload; }

tlsrec_was_there() {
	unload && set_ulp tlsrec && state tlsrec ulp-tlsrec && set_ulp tls &&
		state drop-in tlsrec ulp-tls ulp-tlsrec tls_stat && rmmod tls && state tlsrec ulp-tlsrec && unload
}

# Both want the name; it goes when the last does.
with_replace_tls() {
	unload && modprobe tlsrec replace_tls=1 && modprobe tls &&
		state drop-in tlsrec ulp-tls ulp-tlsrec tls_stat && set_ulp tls && rmmod tls &&
		state tlsrec ulp-tls ulp-tlsrec tls_stat && set_ulp tls && unload
}

in_use() {
	local result=1
	unload || return 1
	exec {hold}> >(set_ulp tls wait >ulp.out)
	until_true grep -q set ulp.out
	! rmmod tls && ! rmmod tlsrec && state drop-in tlsrec ulp-tls ulp-tlsrec tls_stat && result=0
	exec {hold}>&-
	[ $result = 0 ] && unload
}

check "modprobe tls loads the drop-in" by_name
check "the ULP tls loads the drop-in" by_ulp
check "the drop-in joins a tlsrec that is in use" tlsrec_was_there
check "the drop-in and replace_tls" with_replace_tls
check "the drop-in stays while a socket has it" in_use

# ---- bonds with the drop-in ----

# A bond over veth, the other ends in a namespace of their own. (The module makes a bond0 by itself.)
BOND=10.9.0.1 PEER=10.9.0.2
make_bond() {
	ip netns add peer &&
		ip link add trunk type bond mode active-backup miimon 100 &&
		ip link add slave0 type veth peer name far0 netns peer &&
		ip link add slave1 type veth peer name far1 netns peer &&
		ip link set slave0 master trunk && ip link set slave1 master trunk &&
		ip link set trunk up && ip addr add $BOND/24 dev trunk &&
		ip -n peer link add far type bridge && ip -n peer link set far0 master far &&
		ip -n peer link set far1 master far && ip -n peer link set far0 up && ip -n peer link set far1 up &&
		ip -n peer link set far up && ip -n peer addr add $PEER/24 dev far &&
		until_true ping -c 1 -W 1 -I trunk $PEER
}

del_bond() {
	ip link del trunk
	ip link del slave0
	ip link del slave1
	ip netns del peer
}

# The record layer's packets leave by the bond.
download() {
	rm -f got
	mark
	ip netns exec peer curl -sS --max-time 120 --cacert "$PKI/ca.pem" \
		--connect-to localhost:$port:$BOND:$port "https://localhost:$port/million.bin" -o got &&
		same www/million.bin got && expect TlsTxSw -gt 0
}

bond_first() {
	unload && make_bond && state drop-in tlsrec bonding ulp-tls ulp-tlsrec tls_stat
}

bond_and_tls() {
	ULP=tls serve --cert "$PKI/ec.pem" --key "$PKI/ec.key" && download || return 1
	ip link set trunk type bond active_slave slave1 && download && stop_last
}

needed_by_the_bond() {
	! rmmod tls && ! rmmod tlsrec && del_bond && state drop-in tlsrec bonding ulp-tls ulp-tlsrec tls_stat &&
		modprobe -r bonding && unload
}

bond_last() {
	unload && set_ulp tls && state drop-in tlsrec ulp-tls ulp-tlsrec tls_stat && make_bond &&
		state drop-in tlsrec bonding ulp-tls ulp-tlsrec tls_stat && del_bond && unload
}

bond_beside_replace_tls() {
	unload && modprobe tlsrec replace_tls=1 && set_ulp tls && make_bond &&
		state drop-in tlsrec bonding ulp-tls ulp-tlsrec tls_stat && del_bond && unload
}

if modinfo bonding >/dev/null 2>&1; then
	make_files
	make_server_certs
	check "a bond loads the drop-in" bond_first
	check "TLS through a bond" bond_and_tls
	check "the drop-in stays while there is a bond" needed_by_the_bond
	check "a bond after the drop-in" bond_last
	check "a bond beside replace_tls, with the drop-in there" bond_beside_replace_tls
else
	skip "bonds with the drop-in" "this kernel has no bonding"
fi

finish
