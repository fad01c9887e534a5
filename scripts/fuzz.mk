# Fuzzers: tests/fuzz/fuzz_NAME.c with seeds in tests/fuzz/corpus/NAME. Each is a unit test, too, which
# feeds the seeds and small changes of them.
FUZZERS   := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_RUNS ?= 200000
UNITS     += $(FUZZERS:%=$(B)/unit/test_fuzz_%)

# The parser of paths is the shim's; the fuzzer stands in for the rest of it.
FUZZ_OBJ_path := $(B)/obj/shim/path.o

$(B)/unit/test_fuzz_path $(B)/fuzz_path: $(FUZZ_OBJ_path)
$(B)/unit/test_fuzz_%: $(B)/obj/tests/fuzz/fuzz_%.o $(B)/obj/tests/fuzz/corpus.o $(B)/libengine.a
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -o $@ $(filter-out %.a,$^) $(B)/libengine.a $(LDFLAGS_ALL) $(ENGINE_LIBS) -lcmocka -ldl

.PHONY: fuzz fuzzers
fuzz: ## fuzz the parsers with clang's libFuzzer (FUZZ_RUNS inputs each)
	$(Q)scripts/bootstrap build lint
	$(Q)$(SUBMAKE) B=$(B)/fuzz SAN=address,undefined CC='$(LINT_CC)' OPT=-O1 CFLAGS=-fsanitize=fuzzer-no-link fuzzers
	$(Q)for name in $(FUZZERS); do \
	    mkdir -p $(B)/fuzz/corpus/$$name && echo "fuzz: $$name" && \
	    $(B)/fuzz/fuzz_$$name -runs=$(FUZZ_RUNS) -max_len=8192 -timeout=10 -verbosity=0 \
	        -artifact_prefix=$(B)/fuzz/$$name- $(B)/fuzz/corpus/$$name tests/fuzz/corpus/$$name || exit; done

fuzzers: $(FUZZERS:%=$(B)/fuzz_%)

$(B)/fuzz_%: $(B)/obj/tests/fuzz/fuzz_%.o $(B)/libengine.a
	$(Q)$(CC) -o $@ $(filter-out %.a,$^) $(B)/libengine.a -fsanitize=fuzzer $(LDFLAGS_ALL) $(ENGINE_LIBS) -ldl
