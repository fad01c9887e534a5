# Preload tests that need more than one C file and cmocka.
PRELOAD_LIBS_test_exit_openssl := -lssl -lcrypto
PRELOADS += $(B)/preload/test_exit_cxx

$(B)/preload/test_exit_cxx: tests/preload/test_exit_cxx.cc
	$(Q)mkdir -p $(@D)
	$(Q)$(CXX) -O2 -g -Wall -Wextra -Werror -o $@ $< $(if $(SAN),-fsanitize=$(SAN)) $(LDFLAGS_ALL)
