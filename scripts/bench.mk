# Benchmarks: the programs of bench/, and what bench/run preloads.
BENCH_PRELOADS := $(patsubst bench/preload/%.c,$(B)/bench/%.so,$(wildcard bench/preload/*.c))

$(BENCH_PRELOADS): $(B)/bench/%.so: bench/preload/%.c
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -std=c11 -O2 -D_GNU_SOURCE -fPIC -Wall -fno-builtin -shared -o $@ $<

$(B)/bench/curl_ranges: private LDFLAGS_ALL += -lcurl

# What bench/instructions counts: modules of the engine, and a plain program under the shim.
COUNTED := $(B)/counted/modules $(B)/counted/calls

$(B)/counted/modules: $(B)/obj/bench/counted/modules.o $(B)/libengine.a
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -o $@ $^ $(LDFLAGS_ALL) $(ENGINE_LIBS) -ldl

$(B)/counted/calls: $(B)/obj/bench/counted/calls.o
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -o $@ $^ $(LDFLAGS_ALL)

.PHONY: bench
bench: ## measure against floors and peers in one run: a table, bench/out (BENCH_ARGS: bench/run --help)
	$(Q)scripts/bootstrap build bench
	$(Q)$(SUBMAKE) all $(SERVER) $(BENCHES) $(BENCH_PRELOADS)
	$(Q)bench/peers $(B)/peers
	$(Q)bench/run --build $(B) $(BENCH_ARGS)
