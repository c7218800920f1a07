# SPDX-License-Identifier: MIT
"""Which kernels the rig has; lib.sh knows. The build root that says so is made first."""
import functools
import pathlib
import subprocess
import sys

VM = pathlib.Path(__file__).resolve().parent


def _lib(command, *arguments):
    script = f'. "{VM}/lib.sh"; {command} "$@"'
    result = subprocess.run(["bash", "-c", script, VM / "series", *arguments], stdout=subprocess.PIPE, text=True, check=False)
    if result.returncode:
        sys.exit(result.returncode)
    return result.stdout.strip()


@functools.cache
def _stock():
    if subprocess.run([VM / "setup", "root-trixie"], check=False).returncode:
        sys.exit("there is no build root that says which kernels there are")
    return _lib("stock_kernels").split()


def main():
    """The series of those that everything is tried on: 6.1, 6.12 and the newest."""
    return _stock()[:3]


def newest():
    return _stock()[2]


def older():
    """The one between, in a list while the archive has it."""
    return _stock()[3:]


def chosen(names):
    """What somebody calls 6.12, newest, debug, ...; without a choice, main()."""
    return [_lib("series_of", name) for name in names] if names and _stock() else main()


def release(series):
    return _lib("kernel_release", series)


def in_words():
    _stock()
    return _lib("kernels_in_words")
