# Builds the shim, the engine, the command, the test server and every test; `make help` lists targets.
#
# Sources are found by folder: a new .c file in a folder of the tree is part of what that folder builds.
# Variables: B (build folder), CC, SAN (e.g. address,undefined or thread), PREFIX, DESTDIR, V=1.

CC      ?= gcc
SAN     ?=
PREFIX  ?= /usr/local
B       ?= build$(if $(SAN),-$(subst $(comma),-,$(SAN)))
comma   := ,
# One spelling of it, absolute or not: what was built depends on headers by that name.
override B := $(patsubst $(CURDIR)/%,%,$(B))
VERSION := $(shell cat VERSION)

ifeq ($(V),1)
Q :=
else
Q := @
endif

# clang's sanitizers live in libraries of the compiler, one for the program and for what it loads.
SAN_CC    := $(lastword $(CC))
SAN_CLANG := $(and $(SAN),$(findstring clang,$(SAN_CC)))
# It does not say by gcc's macros which they are; and its check of function types is not for a library that
# passes on what others have registered.
SAN_MACROS := $(if $(findstring address,$(SAN)),-D__SANITIZE_ADDRESS__) $(if $(findstring thread,$(SAN)),-D__SANITIZE_THREAD__)
SAN_FLAGS  := $(if $(SAN),-fsanitize=$(SAN) $(if $(SAN_CLANG),-fno-sanitize=function -shared-libsan $(SAN_MACROS)))
SAN_LINK  := $(SAN_FLAGS) $(if $(SAN_CLANG),-Wl$(comma)-rpath$(comma)$(dir $(shell $(SAN_CC) -print-file-name=libclang_rt.asan-x86_64.so)))

OPT     ?= -O2
WARN    := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla \
           -Wno-unused-parameter
CPPFLAGS_ALL := -D_GNU_SOURCE -I. -Iengine -I$(B)/gen -DS3DLIO_VERSION='"$(VERSION)"' $(CPPFLAGS)
CFLAGS_ALL   := -std=c11 $(OPT) -g -fPIC -fvisibility=hidden -fno-omit-frame-pointer $(WARN) \
                -pthread -MMD -MP $(if $(SAN),$(SAN_FLAGS) -fno-sanitize-recover=all) $(CFLAGS)
LDFLAGS_ALL  := -Wl,-z,relro,-z,now -Wl,--as-needed -pthread $(SAN_LINK) $(LDFLAGS)

ENGINE_LIBS := -lcurl -lssl -lcrypto -lexpat -lisal -luring -lzstd
SERVER_LIBS := -lmicrohttpd -lcrypto -lexpat -lisal -lm

CONFIG_SRC := $(wildcard config/*.c)
BASE_SRC   := $(wildcard engine/base/*.c)
ENGINE_SRC := $(wildcard engine/*/*.c)
SHIM_SRC   := $(wildcard shim/*.c shim/calls/*.c)
CLI_SRC    := $(wildcard cli/*.c)
SERVER_SRC := $(wildcard tests/server/*.c)
UNIT_SRC   := $(wildcard tests/unit/test_*.c)
UNIT_LIB_SRC := $(filter-out $(UNIT_SRC),$(wildcard tests/unit/*.c))
COMMON_SRC   := $(wildcard tests/common/*.c)
CONTRACT_SRC := $(wildcard tests/contract/*.c)
PRELOAD_SRC  := $(wildcard tests/preload/*.c)
BENCH_SRC    := $(wildcard bench/*.c)

obj = $(patsubst %.c,$(B)/obj/%.o,$(1))

ENGINE_OBJ := $(call obj,$(ENGINE_SRC) $(CONFIG_SRC))
SHIM_OBJ   := $(call obj,$(SHIM_SRC) $(CONFIG_SRC))
UNITS      := $(patsubst tests/unit/%.c,$(B)/unit/%,$(UNIT_SRC))
PRELOADS   := $(patsubst tests/preload/%.c,$(B)/preload/%,$(PRELOAD_SRC))
BENCHES    := $(patsubst bench/%.c,$(B)/bench/%,$(BENCH_SRC))

SHIM   := $(B)/libs3dlio_shim.so
ENGINE := $(B)/libs3dlio.so.0
CLI    := $(B)/s3dlio
SERVER := $(B)/s3server

.PHONY: all help
all: $(SHIM) $(ENGINE) $(CLI) ## build the shim, the engine and the command (the default)

help: ## list the targets
	$(Q)grep -hE '^[a-z][a-z-]*:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

# ---- generated sources -------------------------------------------------------------------------
$(B)/gen/interpose.map: shim/interpose.def scripts/generate-interpose
	$(Q)mkdir -p $(@D) && scripts/generate-interpose map <$< >$@

# ---- objects and libraries ---------------------------------------------------------------------
$(B)/obj/%.o: %.c
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -c -o $@ $<

$(ENGINE): $(ENGINE_OBJ) engine/s3dlio.map
	$(Q)$(CC) -shared -o $@ $(ENGINE_OBJ) $(LDFLAGS_ALL) -Wl,-soname,libs3dlio.so.0 \
	    -Wl,--version-script=engine/s3dlio.map $(ENGINE_LIBS)
	$(Q)ln -sf libs3dlio.so.0 $(B)/libs3dlio.so

$(B)/libengine.a: $(ENGINE_OBJ)
	$(Q)rm -f $@ && ar rcs $@ $(ENGINE_OBJ)

# The shim is in every program, mostly for nothing: small before fast.
$(SHIM_OBJ): CFLAGS_ALL += -Os -fno-plt -ffunction-sections -fdata-sections

# initfirst: our constructor runs before those of other libraries, which may already open files.
# Bsymbolic: what we call of our own is ours, also where a library before us wraps it (fakeroot).
$(SHIM): $(SHIM_OBJ) $(B)/gen/interpose.map
	$(Q)$(CC) -shared -o $@ $(SHIM_OBJ) $(LDFLAGS_ALL) -Wl,-soname,libs3dlio_shim.so \
	    -Wl,-z,initfirst,-z,noseparate-code,--gc-sections,-Bsymbolic-functions \
	    -Wl,--version-script=$(B)/gen/interpose.map

$(CLI): $(call obj,$(CLI_SRC) $(CONFIG_SRC)) $(ENGINE)
	$(Q)$(CC) -o $@ $(call obj,$(CLI_SRC) $(CONFIG_SRC)) $(LDFLAGS_ALL) -L$(B) -ls3dlio '-Wl,-rpath,$$ORIGIN:$$ORIGIN/../lib'

$(SERVER): $(call obj,$(SERVER_SRC))
	$(Q)$(CC) -o $@ $^ $(LDFLAGS_ALL) $(SERVER_LIBS)

$(B)/unit/%: $(B)/obj/tests/unit/%.o $(call obj,$(UNIT_LIB_SRC) $(COMMON_SRC)) $(B)/libengine.a
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -o $@ $^ $(LDFLAGS_ALL) $(ENGINE_LIBS) -lcmocka -ldl

$(B)/contract: $(call obj,$(CONTRACT_SRC) $(COMMON_SRC)) $(B)/libengine.a
	$(Q)$(CC) -o $@ $^ $(LDFLAGS_ALL) $(ENGINE_LIBS) -lcmocka -ldl

$(B)/preload/%: $(B)/obj/tests/preload/%.o
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -o $@ $< $(LDFLAGS_ALL) -lcmocka -ldl $(PRELOAD_LIBS_$*)

$(B)/bench/%: $(B)/obj/bench/%.o $(ENGINE)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -o $@ $< $(LDFLAGS_ALL) -L$(B) -ls3dlio '-Wl,-rpath,$$ORIGIN/..' -lisal -ldl

include $(wildcard scripts/*.mk)
-include $(shell find $(B)/obj -name '*.d' 2>/dev/null)
.SECONDARY:
.DELETE_ON_ERROR:
