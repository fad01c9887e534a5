/* Reading ELF headers: enough to know whether the dynamic loader will be asked to run a file.
 *
 * Nothing in the file is trusted: each number is checked against what it may be, and headers are
 * read one by one, so that a hostile file costs a few reads. "Ours" is what this program itself is:
 * its class, machine and loader, taken from /proc/self/exe. */
#include "cli/elf.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <unistd.h>

#define PROGRAM_HEADERS_MAX 512

/* Exactly `size` bytes at offset: 1; fewer there: 0; -errno. */
static int read_at(int fd, void *buffer, size_t size, off_t offset)
{
    ssize_t n;

    do {
        n = pread(fd, buffer, size, offset);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : (size_t)n == size;
}

/* PT_INTERP's text into facts->loader; 1 when there is one, 0 when not, -1 for a broken file. */
static int read_loader(int fd, const ElfW(Ehdr) * header, struct elf_facts *facts)
{
    for (unsigned i = 0; i < header->e_phnum; i++) {
        ElfW(Phdr) segment;
        off_t offset = (off_t)(header->e_phoff + i * sizeof segment);

        if (offset < 0 || read_at(fd, &segment, sizeof segment, offset) != 1)
            return -1;
        if (segment.p_type != PT_INTERP)
            continue;
        if (segment.p_filesz < 2 || segment.p_filesz > sizeof facts->loader ||
            read_at(fd, facts->loader, segment.p_filesz, (off_t)segment.p_offset) != 1 ||
            facts->loader[segment.p_filesz - 1] != '\0')
            return -1;
        return 1;
    }
    return 0;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

/* Header and loader of an ELF file of our class; sets facts->kind to DYNAMIC, STATIC or BROKEN. */
static void inspect_native(int fd, const ElfW(Ehdr) * header, struct elf_facts *facts)
{
    int loader;

    if (header->e_phentsize != sizeof(ElfW(Phdr)) || header->e_phnum == 0 ||
        header->e_phnum > PROGRAM_HEADERS_MAX ||
        (header->e_type != ET_EXEC && header->e_type != ET_DYN)) {
        facts->kind = ELF_BROKEN;
        return;
    }
    loader = read_loader(fd, header, facts);
    facts->kind = loader < 0 ? ELF_BROKEN : loader > 0 ? ELF_DYNAMIC : ELF_STATIC;
}

static bool same_machine(const ElfW(Ehdr) * a, const ElfW(Ehdr) * b)
{
    return a->e_ident[EI_CLASS] == b->e_ident[EI_CLASS] &&
           a->e_ident[EI_DATA] == b->e_ident[EI_DATA] && a->e_machine == b->e_machine;
}

/* This program's own header and facts. */
static int inspect_self(ElfW(Ehdr) * ret_header, struct elf_facts *ret_facts)
{
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), rc;

    if (fd < 0)
        return -errno;
    rc = read_at(fd, ret_header, sizeof *ret_header, 0);
    if (rc == 1)
        inspect_native(fd, ret_header, ret_facts);
    close(fd);
    return rc == 1 ? 0 : -EIO;
}

int elf_inspect(int fd, struct elf_facts *ret_facts)
{
    struct elf_facts facts = {.kind = ELF_NONE}, self = {.kind = ELF_NONE};
    ElfW(Ehdr) header, own = {0};
    int rc;

    memset(&header, 0, sizeof header);
    rc = read_at(fd, header.e_ident, EI_NIDENT, 0);
    if (rc < 0)
        return rc;
    if (rc == 1 && memcmp(header.e_ident, ELFMAG, SELFMAG) == 0) {
        facts.bits = header.e_ident[EI_CLASS] == ELFCLASS64   ? 64
                     : header.e_ident[EI_CLASS] == ELFCLASS32 ? 32
                                                              : 0;
        facts.kind = ELF_BROKEN;
        rc = inspect_self(&own, &self);
        if (rc < 0)
            return rc;
        if (header.e_ident[EI_CLASS] != own.e_ident[EI_CLASS] ||
            (read_at(fd, &header, sizeof header, 0) == 1 && !same_machine(&header, &own)))
            facts.kind = ELF_FOREIGN;
        else if (header.e_phnum)
            inspect_native(fd, &header, &facts);
        if (facts.kind == ELF_DYNAMIC && self.kind == ELF_DYNAMIC &&
            strcmp(base_name(facts.loader), base_name(self.loader)) != 0)
            facts.kind = ELF_OTHER_LOADER;
    }
    *ret_facts = facts;
    return 0;
}
