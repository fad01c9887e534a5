# Benchmarks: the programs of bench/, and what bench/run preloads.
NULL_CALLS := $(B)/bench/null_calls.so

$(NULL_CALLS): bench/preload/null_calls.c
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -std=c11 -O2 -D_GNU_SOURCE -fPIC -Wall -fno-builtin -shared -o $@ $<

.PHONY: bench
bench: all $(SERVER) $(BENCHES) $(NULL_CALLS) ## measure against floors in one run: table and bench/out/results.json
	$(Q)bench/run --build $(B) $(BENCH_ARGS)
