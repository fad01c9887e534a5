/* A library that is like those that Rust makes: it unwinds with a personality of its own, and renames
 * by an instruction of its own (the crates tempfile and rustix). */
#include <fcntl.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <unwind.h>

extern void (*const rustlike_unwind)(struct _Unwind_Context *, int, _Unwind_Word);
void (*const rustlike_unwind)(struct _Unwind_Context *, int, _Unwind_Word) = _Unwind_SetGR;

int rustlike_rename(const char *from, const char *to);
int rustlike_save(const char *from, const char *to);
int rustlike_thread(pthread_t *thread, void *(*function)(void *), void *argument);

/* 0 or -errno. */
int rustlike_rename(const char *from, const char *to)
{
    register long r10 __asm__("r10") = (long)to;
    long result = SYS_renameat;
    __asm__ volatile("syscall"
                     : "+a"(result)
                     : "D"((long)AT_FDCWD), "S"(from), "d"((long)AT_FDCWD), "r"(r10)
                     : "rcx", "r11", "memory");
    return (int)result;
}

/* A new file, under another name until it is complete. */
int rustlike_save(const char *from, const char *to)
{
    int fd = open(from, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, "saved", 5) != 5)
        return -1;
    int result = rustlike_rename(from, to);
    return close(fd) ? -1 : result;
}

int rustlike_thread(pthread_t *thread, void *(*function)(void *), void *argument)
{
    int error = pthread_create(thread, NULL, function, argument);
    return error ? -error : 0; /* no jump: the call is to come from here */
}
