# Generated from config/: the built-in profiles, docs/CONFIGURATION.md.

PROFILES := $(sort $(wildcard config/profiles/*.conf))

$(B)/gen/profiles.inc: $(PROFILES) scripts/generate-profiles
	$(Q)mkdir -p $(@D) && scripts/generate-profiles $(PROFILES) >$@
$(B)/obj/config/profiles.o: $(B)/gen/profiles.inc

.PHONY: docs check-docs
lint: check-docs
docs: ## write the generated pages of docs/ anew
	$(Q)scripts/generate-configuration config/options.def $(PROFILES) >docs/CONFIGURATION.md

check-docs: ## the generated pages of docs/ are current
	$(Q)scripts/generate-configuration config/options.def $(PROFILES) | \
	    cmp -s - docs/CONFIGURATION.md || \
	    { echo 'docs/CONFIGURATION.md is not current: run make docs' >&2; exit 1; }
