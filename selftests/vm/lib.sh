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
# trixie-backports has kernels of this series for some time after it has a newer one.
OLDER_SERIES=7.2
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

# A kernel is known by its series (6.12) on the command line, and newest is whatever
# is newest in trixie-backports; they are those for virtual machines (cloud), and with
# -generic the other ones. This says which build root has its headers.
suite_of() {
	case $1 in
	6.1 | 6.1-generic | 6.12 | debug) echo bookworm ;;
	arm64) echo bookworm-arm64 ;;
	newest | newest-generic | [0-9]*.[0-9]*) echo trixie ;;
	*) die "unknown kernel '$1' (known: 6.1 6.12 newest debug arm64)" ;;
	esac
}

# Everything in the cache is named after a hash of what it is made from, so that
# a change of the recipe makes a new one and nothing has to be thrown away.
digest() { cat "$@" | sha256sum | cut -c1-12; }

root_dir() { echo "$CACHE/root-$1-$(digest "$VM/packages/build-$1")"; }
guest_image() { echo "$CACHE/guest-$1-$(digest "$VM/packages/guest-$1").squashfs"; }

# What kernels a build root has headers of was written into it when it was made: name
# and release, a line each, the newest first.
root_kernels() { cat "$(root_dir "$1")/kernels"; }
newest_kernel() { root_kernels trixie | awk '$1 !~ /-/ { print $1; exit }'; }
# All of them, known when there are build roots: 6.1, 6.12, the newest, and last the
# older one while the archive has it.
stock_kernels() {
	echo "6.1 6.12 $(root_kernels trixie | awk '$1 !~ /-/ { print $1 }' | paste -sd' ')"
}
# readme_lines SECTION: the commands of a section of README.md.
readme_lines() {
	sed -n "/^## $1\$/,/^## /s/^    //p" "$TOP/README.md"
}
# What is installed as README.md says: the first line of that is, already.
INSTALL_KERNEL=6.1
clean_dir() {
	echo "$CACHE/clean-bookworm-$({
		cat "$VM/packages/clean-bookworm"
		readme_lines "Install it" | head -n 1
		kernel_release "$INSTALL_KERNEL"
	} | sha256sum | cut -c1-12)"
}
# series_of NAME: of a kernel whose build root is there.
series_of() {
	local series=$1
	[[ $series != newest* ]] || series=$(newest_kernel)${series#newest}
	[ "$series" = debug ] || kernel_release "$series" >/dev/null
	echo "$series"
}
kernel_release() {
	local suite
	if [ "$1" = debug ]; then
		cat "$(kernel_dir debug)/release"
		return
	fi
	suite=$(suite_of "$1")
	root_kernels "$suite" | awk -v s="$1" '$1 == s { print $2; found = 1 } END { exit !found }' ||
		die "there is no Linux $1: Debian $suite had $(root_kernels "$suite" |
			sed 's/ .*//' | paste -sd' ') when its build root was made"
}
kernel_dir() {
	local release
	if [ "$1" = debug ]; then
		echo "$CACHE/kernel-debug-$(source_version 6.12)-gcc$(root_version bookworm gcc)-$(
			digest "$VM/debug.config")"
	else
		release=$(kernel_release "$1")
		echo "$CACHE/kernel-$release-$(digest "$VM/guest/modules")"
	fi
}
# Which they are, in a line.
kernels_in_words() {
	local series words=''
	for series in $(stock_kernels); do
		words+=", $(source_version "$series" | sed 's/[-~].*//')"
		[ "$series" != "$(newest_kernel)" ] || words+=" (newest)"
	done
	echo "Linux ${words#, }"
}

# root_version SUITE PACKAGE: of a package in a build root.
root_version() {
	dpkg-query --admindir="$(root_dir "$1")/var/lib/dpkg" -W -f '${Version}\n' "$2" |
		sed 's/.*://' | tail -n 1
}
# A kernel's source is that of its headers. Of 6.12 there is all, of the others what
# is wanted of them.
source_version() {
	local series=${1%-generic}
	[ "$series" != arm64 ] || series=6.12
	root_version "$(suite_of "$1")" "linux-headers-$series.*-common"
}
source_dir() {
	case $1 in
	6.12 | arm64) echo "$CACHE/linux-source-$(source_version 6.12)" ;;
	*) echo "$CACHE/linux-parts-$(source_version "$1")" ;;
	esac
}
# What make is told where a kernel is not of this machine's architecture.
cross() { [ "$1" != arm64 ] || echo ARCH=arm64 CROSS_COMPILE=aarch64-linux-gnu-; }
# The ciphers of a kernel that Debian did not build.
ciphers_dir() {
	echo "$CACHE/ciphers-$1-$(source_version "$1")-$(digest "$VM/guest/ciphers")"
}

# in_root SUITE COMMAND...: runs a command in a build root, as the calling user,
# in the current directory; the repository and the cache are where they are
# outside. IN_ROOT_AS=0:0 before it: as root. The mounts are in a namespace of their own and vanish with it, except
# where that cannot be kept private, in a chroot: there they are undone.
in_root() {
	local root who
	root=$(root_dir "$1")
	who=${IN_ROOT_AS:-$(id -u):$(id -g)}
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
	' in_root "$root" "$who" "$PWD" "$TOP" "$CACHE" "$@"
}

# emulator [ARCHITECTURE]: the command for QEMU, a word a line. It is trixie's where the rig has that:
# with it the host's processor does a guest's AES, which spares most suites a third of
# their time. It runs outside of its root, with its own libraries.
emulator() {
	local root system=qemu-system-${1:-x86_64}
	root=$(root_dir trixie-qemu)
	if [ -e "$root/.complete" ]; then
		printf '%s\n' "$root/lib64/ld-linux-x86-64.so.2" \
			--library-path "$root/usr/lib/x86_64-linux-gnu" "$root/usr/bin/$system" \
			-L "$root/usr/share/qemu" -L "$root/usr/share/seabios"
	else
		echo "$system"
	fi
}
