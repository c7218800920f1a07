#!/bin/bash
# SPDX-License-Identifier: MIT
# The demonstration: an unmodified curl downloads a file that a kernel encrypted, and the other way round.
#
#	demo.sh			in a virtual machine with Debian's Linux 6.12 (KERNEL=6.1 or newest for others)
#	NATIVE=1 demo.sh	on this machine: loads the module into the running kernel
set -euo pipefail
# shellcheck source=../vm/lib.sh
. "$(dirname "$0")/../vm/lib.sh"

in_a_virtual_machine() {
	local kernel=${KERNEL:-6.12} emulated=1

	! grep -qwE 'vmx|svm' /proc/cpuinfo || emulated=

	say "Preparing (minutes the first time, seconds later)..."
	"$VM/setup" "$kernel"
	"$VM/build-module" "$kernel"
	in_root bookworm make -s -C "$TOP" user >&2
	say "Booting Linux $kernel in a virtual machine..."
	say
	exec "$VM/run" -k "$kernel" -m tlsrec -t 1500 -- \
		"VIRTUAL=1 EMULATED=$emulated /repo/selftests/demo/guest.sh"
}

on_this_machine() {
	local module status=0

	say "Building..."
	make -s -C "$TOP" user modules >&2
	if [ ! -e /proc/net/tlsrec_stat ]; then
		module=$(find "$TOP" -maxdepth 2 -name tlsrec.ko | head -n 1)
		as_root insmod "$module" ||
			die "cannot load $module: see the last lines of dmesg (with Secure Boot, modules must be signed)"
		loaded=1
	fi
	as_root env PATH="$BUILD/user:$PATH" "$TOP/selftests/demo/guest.sh" || status=$?
	[ -z "${loaded:-}" ] || as_root rmmod tlsrec
	exit "$status"
}

if [ -n "${NATIVE:-}" ] && [ "$NATIVE" != 0 ]; then
	on_this_machine
else
	in_a_virtual_machine
fi
