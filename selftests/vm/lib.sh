# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034  # used where this is sourced
# Shared by the scripts of the rig: where things are, and how to enter a build
# root. Sourced, never run.

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
VM=$TOP/selftests/vm
BUILD=$TOP/build
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/tlsrec
# Where depmod is; not every user looks there.
PATH=$PATH:/usr/sbin:/sbin
STOCK_KERNELS="6.1 6.12 7.2"
GUEST_ROOTS="bookworm trixie"

say() { printf '%s\n' "$*" >&2; }
die() { say "${0##*/}: $*"; exit 1; }

# Runs a command as root, by sudo when somebody else calls.
as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo -- "$@"
	else
		die "needs root (or sudo) to run: $*"
	fi
}

# A kernel is known by its series (6.12) on the command line; these say which
# Debian release it comes from, and what its packages are called there.
suite_of() {
	case $1 in
	6.1|6.12|debug) echo bookworm ;;
	7.2) echo trixie ;;
	*) die "unknown kernel '$1' (known: $STOCK_KERNELS debug)" ;;
	esac
}

# Everything in the cache is named after a hash of what it is made from, so that
# a change of the recipe makes a new one and nothing has to be thrown away.
digest() { cat "$@" | sha256sum | cut -c1-12; }

root_dir() { echo "$CACHE/root-$1-$(digest "$VM/packages/build-$1")"; }
guest_image() { echo "$CACHE/guest-$1-$(digest "$VM/packages/guest-$1").squashfs"; }
# Stock kernels belong to the build root that has their headers.
kernel_dir() {
	local root
	case $1 in
	debug)
		echo "$CACHE/kernel-debug-$(source_version 6.12)-gcc$(root_version bookworm gcc)-$(
			digest "$VM/debug.config")"
		;;
	*)
		root=$(root_dir "$(suite_of "$1")")
		echo "$CACHE/kernel-$1-${root##*-}-$(digest "$VM/guest/modules")"
		;;
	esac
}
kernel_release() { cat "$(kernel_dir "$1")/release"; }

# root_version SUITE PACKAGE: of a package in a build root.
root_version() {
	dpkg-query --admindir="$(root_dir "$1")/var/lib/dpkg" -W -f '${Version}\n' "$2" |
		sed 's/.*://' | tail -n 1
}
# A kernel's source is that of its headers. Of 6.12 there is all, of the others what
# is wanted of them.
source_version() { root_version "$(suite_of "$1")" "linux-headers-$1.*-common"; }
source_dir() {
	case $1 in
	6.12) echo "$CACHE/linux-source-$(source_version 6.12)" ;;
	*) echo "$CACHE/linux-parts-$(source_version "$1")" ;;
	esac
}
# The ciphers of a kernel that Debian did not build.
ciphers_dir() {
	echo "$CACHE/ciphers-$1-$(source_version "$1")-$(digest "$VM/guest/ciphers")"
}

# in_root SUITE COMMAND...: runs a command in a build root, as the calling user,
# in the current directory; the repository and the cache are where they are
# outside. The mounts are in a namespace of their own and vanish with it, except
# where that cannot be kept private, in a chroot: there they are undone.
in_root() {
	local root
	root=$(root_dir "$1")
	shift
	# shellcheck disable=SC2016  # expanded by the inner shell
	as_root unshare --mount --propagation unchanged bash -c '
		set -e
		root=$1 who=$2 cwd=$3 top=$4 cache=$5
		shift 5
		private=1
		mount --make-rprivate / 2>/dev/null || private=
		mount -t proc proc "$root/proc"
		for d in "$top" "$cache"; do
			mkdir -p "$root$d"
			mount --bind "$d" "$root$d"
		done
		set -- chroot --userspec="$who" "$root" env -i -C "$cwd" HOME=/tmp \
			PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 \
			XDG_CACHE_HOME="${cache%/tlsrec}" "$@"
		[ -z "$private" ] || exec "$@"
		status=0
		"$@" || status=$?
		umount "$root$top" "$root$cache" "$root/proc"
		exit $status
	' in_root "$root" "$(id -u):$(id -g)" "$PWD" "$TOP" "$CACHE" "$@"
}

# emulator: the command for QEMU, a word a line. It is trixie's where the rig has that:
# with it the host's processor does a guest's AES, which spares most suites a third of
# their time. It runs outside of its root, with its own libraries.
emulator() {
	local root
	root=$(root_dir trixie-qemu)
	if [ -e "$root/.complete" ]; then
		printf '%s\n' "$root/lib64/ld-linux-x86-64.so.2" \
			--library-path "$root/usr/lib/x86_64-linux-gnu" "$root/usr/bin/qemu-system-x86_64" \
			-L "$root/usr/share/qemu" -L "$root/usr/share/seabios"
	else
		echo qemu-system-x86_64
	fi
}
