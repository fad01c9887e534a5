// C++ streams at the end of a process: a static ofstream is flushed by its destructor, and cout over
// the stdout that a descriptor became. Without cmocka, but with its closing lines.
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

static std::string path(const char *name)
{
    return std::string(std::getenv("S3DLIO_TEST_ROOT")) + "/" + name;
}

static std::ofstream left_open;

static void write_static()
{
    left_open.open(path("cxx-static"));
    left_open << "left " << 42;
    left_open.put('!');
}

static void write_local()
{
    std::ofstream file(path("cxx-local"), std::ios::binary);
    file << std::string(300000, 'x');
    file.close();
    if (file.fail())
        std::exit(1);
}

static bool holds(const char *name, const std::string &expected)
{
    std::ifstream file(path(name));
    std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    if (text != expected)
        std::fprintf(stderr, "%s: %zu bytes, not %zu\n", name, text.size(), expected.size());
    return text == expected;
}

static bool in_child(void (*body)())
{
    pid_t pid = fork();
    if (!pid) {
        body();
        std::exit(0);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    return status == 0;
}

int main()
{
    int passed = 0;
    passed += in_child(write_static) && holds("cxx-static", "left 42!");
    passed += in_child(write_local) && holds("cxx-local", std::string(300000, 'x'));
    std::fprintf(stderr, "[==========] 2 test(s) run.\n[  PASSED  ] %d test(s).\n", passed);
    if (passed < 2)
        std::fprintf(stderr, "[  FAILED  ] %d test(s), listed below:\n", 2 - passed);
    return passed == 2 ? 0 : 1;
}
