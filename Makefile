# SPDX-License-Identifier: MIT
# make             the module for the running kernel, the library, the command
# make help        everything else

PREFIX ?= /usr/local
KDIR ?= /lib/modules/$(shell uname -r)/build
MODLIB = $(INSTALL_MOD_PATH)/lib/modules/$(shell cut -d '"' -f 2 $(KDIR)/include/generated/utsrelease.h)
# The module tls.ko, for the place of the in-tree one. One that was installed before is
# renewed, for it fits only its own tlsrec.ko.
DROP_IN := $(CURDIR)/kmod/tls
TLS ?= $(if $(wildcard $(MODLIB)/updates/tls.ko*),1)
KERNEL ?= 6.12
# The key of a kernel that somebody else built is not there, and signing says so at length.
UNSIGNED = $(if $(wildcard $(KDIR)/certs/signing_key.pem),,CONFIG_MODULE_SIG_ALL=)
BUILD := $(CURDIR)/build
USER_DIRS := userspace/lib tools
VM := selftests/vm

export PREFIX DESTDIR

.PHONY: all modules modules_install user install clean demo check check-debug soak interop selftest \
	unit static bench bench-check vm-shell help

all: user
ifneq ($(wildcard $(KDIR)/Makefile),)
all: modules
else
all: no-headers
.PHONY: no-headers
no-headers: user
	@echo "The module was not built: $(KDIR) is not there (install the headers" \
		"of your kernel, on Debian linux-headers-$(shell uname -r))."
endif

modules:
	$(MAKE) -C $(KDIR) M=$(CURDIR) $@
	$(MAKE) -C $(KDIR) M=$(DROP_IN) KBUILD_EXTRA_SYMBOLS=$(CURDIR)/Module.symvers $@

modules_install:
	@[ "$(TLS)" != 1 ] || $(DROP_IN)/symbols $(KDIR) $(DROP_IN)
	$(MAKE) -C $(KDIR) M=$(CURDIR) $(UNSIGNED) $@
	@[ "$(TLS)" != 1 ] || { $(MAKE) -C $(KDIR) M=$(DROP_IN) $(UNSIGNED) INSTALL_MOD_DIR=updates $@ && \
		install -D -m 755 $(DROP_IN)/kernel-postinst $(INSTALL_MOD_PATH)/etc/kernel/postinst.d/tlsrec; }

# One after the other: the command links with the library.
user:
	@set -e; for d in $(USER_DIRS); do $(MAKE) --no-print-directory -C $$d O=$(BUILD); done

install: user
	@set -e; for d in $(USER_DIRS); do \
		$(MAKE) --no-print-directory -C $$d O=$(BUILD) install; done

clean:
	rm -rf $(BUILD)
	@[ ! -e $(KDIR)/Makefile ] || { $(MAKE) -C $(KDIR) M=$(DROP_IN) clean && \
		$(MAKE) -C $(KDIR) M=$(CURDIR) clean; }

demo:
	@NATIVE=$(NATIVE) selftests/demo/demo.sh

check:
	@$(VM)/check

check-debug:
	@$(VM)/check debug

soak:
	@$(VM)/check soak

interop:
	@$(VM)/check interop

selftest:
	@$(VM)/check selftest

unit:
	@$(VM)/check unit

static:
	@$(VM)/check static

bench:
	@selftests/bench/all $(PARTS)

bench-check:
	@selftests/bench/bench --check

vm-shell:
	@$(VM)/run -i -k $(KERNEL)

help:
	@echo "make                    the module for the running kernel, libtlsrec, the command"
	@echo "make modules            the module only (KDIR=... for another kernel)"
	@echo "make modules_install    installs the module for the running kernel (TLS=1: and a module"
	@echo "                        tls, which is loaded in the place of the kernel's own)"
	@echo "make install            installs library, header, command, man pages (PREFIX, DESTDIR)"
	@echo "make demo               an unmodified curl downloads what a kernel encrypted, in a"
	@echo "                        virtual machine (NATIVE=1: on this machine)"
	@echo "make check              all tests, in virtual machines, on Linux 6.1, 6.12 and the newest that"
	@echo "                        Debian's trixie-backports has; some also on arm64 and generic ones"
	@echo "make check-debug        the kernel's tests on a debug kernel (built the first time)"
	@echo "make soak               what finds more the longer it runs: a million random calls against a"
	@echo "                        model and bulk data, on each kernel (hours)"
	@echo "make interop            only the tests with other programs and with NFS and NVMe over"
	@echo "                        TCP; writes what they proved to docs/interop.md"
	@echo "make selftest           only the kernel's own TLS selftest, with tlsrec and with the in-tree"
	@echo "                        module, in one table (an hour when that one was not measured yet)"
	@echo "make unit | static      only the unit tests | checkpatch, sparse, shellcheck, warnings"
	@echo "make bench              measures what records cost, of tlsrec and what it competes with, and writes"
	@echo "                        docs/performance.md (PARTS=counts: instructions only)"
	@echo "make bench-check        fails if a record costs 3 % more than selftests/bench/baseline.json"
	@echo "make vm-shell           a shell in a virtual machine (KERNEL=6.1, 6.12, newest, arm64 or debug)"
	@echo "make clean              removes build/; what is expensive is kept in ~/.cache/tlsrec"
