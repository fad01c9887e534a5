# What follows from shim/interpose.def, and the flags that a libc interposer needs.
ALIAS_FAMILIES := $(shell scripts/generate-interpose families <shim/interpose.def)
ALIAS_HEADERS  := $(ALIAS_FAMILIES:%=$(B)/gen/alias_%.h)

$(B)/gen/alias_%.h: shim/interpose.def scripts/generate-interpose
	$(Q)mkdir -p $(@D) && scripts/generate-interpose alias $* <$< >$@

# The compiler must neither replace our functions by its own ideas of libc, nor trust `nonnull`.
$(SHIM_OBJ): CFLAGS_ALL += -fno-builtin -fno-delete-null-pointer-checks \
                           $(if $(findstring clang,$(CC)),,-Wno-nonnull-compare) \
                           -U_FORTIFY_SOURCE
$(call obj,$(SHIM_SRC)): | $(ALIAS_HEADERS)
