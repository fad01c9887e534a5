# The targets that a person types: running the quickstart and the tests, checking, installing.
#
# Each `check-…` target installs what its suites need, builds it and runs scripts/run-suites.
# Variables besides those of the Makefile: JOBS (parallel compiles), ONLY (programs to run, an
# expression), BOOTSTRAP=no (install nothing), TOTALS (file to append the counts to), SOAK_MINUTES,
# SOAK_SEED (as a soak printed it).

JOBS ?= $(shell nproc 2>/dev/null || echo 1)
ONLY ?=
TOTALS ?=
SOAK_MINUTES ?= 10
SOAK_SEED    ?=

CONTRACT := $(if $(CONTRACT_SRC),$(B)/contract)
SUITES   := unit server contract preload preload-real bats bats-real differential cpython $(if $(wildcard tests/python/test_*.py),python) \
            instructions
PROGRAMS := $(SHIM) $(ENGINE) $(CLI) $(SERVER) $(UNITS) $(CONTRACT) $(PRELOADS) $(COUNTED)

# Inside a parallel make the sub-make shares its jobs, otherwise it gets JOBS of its own.
SUBMAKE    = $(MAKE) --no-print-directory $(if $(V),,-s) $(if $(filter -j%,$(MAKEFLAGS)),,-j$(JOBS))
RUN_SUITES = scripts/run-suites --build $(B) --san '$(SAN)' --cc '$(SAN_CC)' --only '$(ONLY)' \
             $(if $(TOTALS),--totals '$(TOTALS)')
# A server that cannot be had here (status 3) is reported by the suite that wanted it.
GET_SERVERS = scripts/servers install versitygw minio || [ $$? -eq 3 ]

# Preload tests pass NULL where libc declares nonnull, to see EFAULT; that is no mistake of theirs.
$(call obj,$(PRELOAD_SRC)): CFLAGS_ALL += $(if $(findstring undefined,$(SAN)),-fno-sanitize=nonnull-attribute)

.PHONY: quickstart bootstrap check check-unit check-server check-contract check-preload check-preload-real check-bats \
        check-bats-real check-differential check-cpython check-cpython-all check-python check-instructions check-fresh \
        soak format install clean

quickstart: ## everything from nothing: install, build, serve a bucket, train from it
	$(Q)scripts/bootstrap build quickstart
	$(Q)$(SUBMAKE) all $(SERVER)
	$(Q)scripts/quickstart --build $(B)

bootstrap: ## install by apt what building, testing and the quickstart need
	$(Q)scripts/bootstrap

check: ## install what tests need, build, run every test
	$(Q)scripts/bootstrap build test servers differential cpython
	$(Q)$(SUBMAKE) $(PROGRAMS)
	$(Q)$(GET_SERVERS)
	$(Q)$(RUN_SUITES) $(SUITES)

check-unit: ## test each module by itself
	$(Q)scripts/bootstrap build test
	$(Q)$(SUBMAKE) $(UNITS)
	$(Q)$(RUN_SUITES) unit

check-server: ## test the bundled S3 server
	$(Q)scripts/bootstrap build test
	$(Q)$(SUBMAKE) $(SERVER)
	$(Q)$(RUN_SUITES) server

check-contract: ## run the one store suite against every store and server
	$(Q)scripts/bootstrap build test servers
	$(Q)$(SUBMAKE) $(SERVER) $(CONTRACT)
	$(Q)$(GET_SERVERS)
	$(Q)$(RUN_SUITES) contract

check-preload: ## test calls of C programs under the shim
	$(Q)scripts/bootstrap build test
	$(Q)$(SUBMAKE) $(SHIM) $(ENGINE) $(SERVER) $(PRELOADS)
	$(Q)$(RUN_SUITES) preload

check-preload-real: ## the same calls against servers that are not ours
	$(Q)scripts/bootstrap build test servers
	$(Q)$(SUBMAKE) $(SHIM) $(ENGINE) $(PRELOADS)
	$(Q)$(GET_SERVERS)
	$(Q)$(RUN_SUITES) preload-real

check-bats: ## test whole programs under the shim against a local directory
	$(Q)scripts/bootstrap build test
	$(Q)$(SUBMAKE) all $(SERVER) $(COUNTED)
	$(Q)$(RUN_SUITES) bats

check-bats-real: ## those of them that fit any server, against servers that are not ours
	$(Q)scripts/bootstrap build test servers
	$(Q)$(SUBMAKE) all
	$(Q)$(GET_SERVERS)
	$(Q)$(RUN_SUITES) bats-real

check-differential: ## run unmodified programs on a disk and in a bucket, and compare
	$(Q)scripts/bootstrap build test differential
	$(Q)$(SUBMAKE) all $(SERVER)
	$(Q)$(RUN_SUITES) differential

check-cpython: ## run CPython's own tests on a disk and in a bucket, and compare
	$(Q)scripts/bootstrap build test cpython
	$(Q)$(SUBMAKE) all $(SERVER)
	$(Q)$(RUN_SUITES) cpython

check-cpython-all: ## the same with the modules that take long
	$(Q)scripts/bootstrap build test cpython
	$(Q)$(SUBMAKE) all $(SERVER)
	$(Q)$(RUN_SUITES) cpython-all

check-python: ## test the Python package
	$(Q)scripts/bootstrap build test
	$(Q)$(SUBMAKE) all $(SERVER)
	$(Q)$(RUN_SUITES) python

check-instructions: ## count the instructions of small workloads and compare them with those stored
	$(Q)scripts/bootstrap build test
	$(Q)$(SUBMAKE) $(SHIM) $(ENGINE) $(COUNTED)
	$(Q)$(RUN_SUITES) instructions

soak: ## run random programs and kill some of them, for SOAK_MINUTES (10)
	$(Q)scripts/bootstrap build test
	$(Q)$(SUBMAKE) all $(SERVER)
	$(Q)tests/soak/run --build $(B) --minutes $(SOAK_MINUTES) $(if $(SOAK_SEED),--seed $(SOAK_SEED))

check-fresh: ## run quickstart and check inside a new minimal Debian 12 (needs root)
	$(Q)scripts/bootstrap fresh
	$(Q)scripts/check-fresh

# ---- the layout of sources ------------------------------------------------------------------------
format: ## rewrite C sources in the house layout
	$(Q)scripts/bootstrap lint
	$(Q)clang-format -i $(shell find $(LINT_DIRS) -name '*.[ch]')

# ---- installing ----------------------------------------------------------------------------------
define PKG_CONFIG_FILE
prefix=$(PREFIX)
libdir=$${prefix}/lib
includedir=$${prefix}/include

Name: s3dlio
Description: objects in S3-compatible stores, read and written as files are
Version: $(VERSION)
Libs: -L$${libdir} -ls3dlio
Cflags: -I$${includedir}
endef

install: all ## install libraries, command, header, man page, profiles (PREFIX, DESTDIR)
	$(Q)install -d $(addprefix $(DESTDIR)$(PREFIX)/,lib/pkgconfig bin include share/man/man1 share/s3dlio/profiles)
	$(Q)install -m 755 $(SHIM) $(ENGINE) $(DESTDIR)$(PREFIX)/lib/
	$(Q)ln -sf libs3dlio.so.0 $(DESTDIR)$(PREFIX)/lib/libs3dlio.so
	$(Q)install -m 755 $(CLI) $(DESTDIR)$(PREFIX)/bin/
	$(Q)install -m 644 engine/s3dlio.h $(DESTDIR)$(PREFIX)/include/
	$(Q)install -m 644 docs/s3dlio.1 $(DESTDIR)$(PREFIX)/share/man/man1/
	$(Q)install -m 644 $(wildcard config/profiles/*.conf) $(DESTDIR)$(PREFIX)/share/s3dlio/profiles/
	$(file >$(B)/s3dlio.pc,$(PKG_CONFIG_FILE))
	$(Q)install -m 644 $(B)/s3dlio.pc $(DESTDIR)$(PREFIX)/lib/pkgconfig/

clean: ## remove every build folder
	$(Q)rm -rf build build-*
