# Preload tests that need more than one C file and cmocka.
PRELOAD_LIBS_test_exit_openssl := -lssl -lcrypto
PRELOADS += $(B)/preload/test_exit_cxx

$(B)/preload/test_exit_cxx: tests/preload/test_exit_cxx.cc
	$(Q)mkdir -p $(@D)
	$(Q)$(CXX) -O2 -g -Wall -Wextra -Werror -o $@ $< $(LDFLAGS_ALL)

PRELOAD_LIBS_test_map_allocator := -L$(B)/preload -Wl,--no-as-needed -lallocator -Wl,-rpath,'$$ORIGIN'
$(B)/preload/test_map_allocator: $(B)/preload/liballocator.so

$(B)/preload/test_wrapper: $(B)/preload/libwrapper.so
$(B)/preload/test_inline_call_auto: $(B)/preload/librustlike.so

$(B)/preload/lib%.so: tests/preload/libraries/%.c
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -O2 -g -Wall -Wextra -Werror -D_GNU_SOURCE -shared -fPIC -o $@ $< -ldl
