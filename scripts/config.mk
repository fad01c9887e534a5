# Generated: the built-in profiles and the pages of docs/ that follow from tables.

PROFILES := $(sort $(wildcard config/profiles/*.conf))

$(B)/gen/profiles.inc: $(PROFILES) scripts/generate-profiles
	$(Q)mkdir -p $(@D) && scripts/generate-profiles $(PROFILES) >$@
$(B)/obj/config/profiles.o: $(B)/gen/profiles.inc

# Pages of docs/ that follow from tables: one line each, page and the command that prints it.
DOC_CONFIGURATION := scripts/generate-configuration config/options.def $(PROFILES)
DOC_ERRORS        := scripts/generate-errors <engine/base/error.c
DOC_INTERPOSED    := scripts/generate-interpose page <shim/interpose.def
DOC_PAGES         := CONFIGURATION ERRORS INTERPOSED

.PHONY: docs check-docs
lint: check-docs
docs: ## write the generated pages of docs/ anew
	$(Q)$(foreach page,$(DOC_PAGES),$(DOC_$(page)) >docs/$(page).md &&) true

check-docs: ## the generated pages of docs/ are current
	$(Q)$(foreach page,$(DOC_PAGES),$(DOC_$(page)) | cmp -s - docs/$(page).md || \
	    { echo 'docs/$(page).md is not current: run make docs' >&2; exit 1; };)
