.PHONY: bench
bench: all $(SERVER) $(BENCHES) ## measure against floors in one run: table and bench/out/results.json
	$(Q)bench/run --build $(B) $(BENCH_ARGS)
