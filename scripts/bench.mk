# Benchmarks: the programs of bench/, and what bench/run preloads.
NULL_CALLS := $(B)/bench/null_calls.so

$(NULL_CALLS): bench/preload/null_calls.c
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -std=c11 -O2 -D_GNU_SOURCE -fPIC -Wall -fno-builtin -shared -o $@ $<

# What bench/instructions counts: modules of the engine, and a plain program under the shim.
COUNTED := $(B)/counted/modules $(B)/counted/calls

$(B)/counted/modules: $(B)/obj/bench/counted/modules.o $(B)/libengine.a
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -o $@ $^ $(LDFLAGS_ALL) $(ENGINE_LIBS) -ldl

$(B)/counted/calls: $(B)/obj/bench/counted/calls.o
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -o $@ $^ $(LDFLAGS_ALL)

.PHONY: bench
bench: all $(SERVER) $(BENCHES) $(NULL_CALLS) ## measure against floors in one run: table and bench/out/results.json
	$(Q)bench/run --build $(B) $(BENCH_ARGS)
