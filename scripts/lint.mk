# Checking without running: `make lint`. What was clean is not looked at again before it changes: a
# stamp for each source follows its clang object, which follows the headers; cppcheck keeps its own.
LINT_DIRS   := $(wildcard config engine shim cli tests bench)
LINT_CC     ?= clang
C_SOURCES    = $(shell find $(LINT_DIRS) -name '*.c')
SHELL_FILES  = $(shell grep -lE '^\#!.*\<(bash|sh)$$' scripts/* .ci/run) $(wildcard tests/bats/lib/*.bash)

# Left out of cppcheck: uninitialised variables (it does not see through uthash's loops; the others
# look), alloca (used where malloc must not be), and leaks of tests that end at once.
CPPCHECK_OFF := missingIncludeSystem uninitvar legacyUninitvar ctuuninitvar uninitStructMember allocaCalled \
                resourceLeak:tests/* leakReturnValNotUsed:tests/*

.PHONY: lint lint-tools lint-layers lint-shell lint-cppcheck lint-clang tidy-stamps
lint: lint-layers lint-shell lint-cppcheck lint-clang ## clang, clang-tidy, cppcheck, shellcheck, layers
lint-layers lint-shell lint-cppcheck lint-clang: lint-tools

lint-tools:
	$(Q)scripts/bootstrap build test lint

lint-layers:
	$(Q)scripts/check-layers

lint-shell:
	$(Q)shellcheck --severity=warning $(SHELL_FILES)
	$(Q)shellcheck --severity=error $(wildcard tests/bats/*.bats tests/server/test/*.bats)

lint-cppcheck:
	$(Q)mkdir -p $(B)/lint/cppcheck
	$(Q)cppcheck --quiet --error-exitcode=1 --std=c11 --inline-suppr -j $(JOBS) \
	    --cppcheck-build-dir=$(B)/lint/cppcheck \
	    --enable=warning,performance $(CPPCHECK_OFF:%='--suppress=%') $(C_SOURCES) -I. -Iengine

# Compiled by clang (its warnings are errors) in a build folder of its own, then tidied there.
lint-clang:
	$(Q)$(SUBMAKE) -k B=$(B)/lint SAN= CC='$(LINT_CC)' tidy-stamps

TIDY_STAMPS = $(patsubst %.c,$(B)/tidy/%.ok,$(C_SOURCES))

tidy-stamps: $(TIDY_STAMPS)
$(filter $(B)/tidy/engine/api/%,$(TIDY_STAMPS)): engine/api/.clang-tidy

# One file a process: clang-tidy 14 takes the va_lists of a second one for uninitialised.
$(B)/tidy/%.ok: $(B)/obj/%.o .clang-tidy
	$(Q)mkdir -p $(@D)
	$(Q)clang-tidy --quiet $*.c -- -std=c11 $(CPPFLAGS_ALL) >$@.out 2>/dev/null || { cat $@.out; false; }
	$(Q)mv $@.out $@
