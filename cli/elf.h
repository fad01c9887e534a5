/* What an executable's own bytes say about loading another library into it. */
#ifndef S3DLIO_CLI_ELF_H
#define S3DLIO_CLI_ELF_H

#include <stdbool.h>

enum elf_kind {
    ELF_NONE,         /* not an ELF file */
    ELF_DYNAMIC,      /* names a dynamic loader, of this machine's class */
    ELF_STATIC,       /* names none: nothing can be preloaded */
    ELF_FOREIGN,      /* another class, byte order or machine than this program */
    ELF_OTHER_LOADER, /* a dynamic loader that is not ours: another C library */
    ELF_BROKEN,       /* an ELF header that leads nowhere */
};

struct elf_facts {
    enum elf_kind kind;
    char loader[256]; /* of PT_INTERP; empty without */
    unsigned bits;    /* 32 or 64; 0 when unknown */
};

/* Reads an open file at its beginning; moves no offset. 0 or -errno of reading. */
int elf_inspect(int fd, struct elf_facts *ret_facts);

#endif
