/* What programs do every day, below the folder ROOT: everyday ROOT [FD].
 *
 * Each part prints what it found, so that two runs can be compared. Threads allocate all the while, and
 * free what others have allocated, so that an allocator's locks and caches are in use when the process
 * forks. With FD it is the child of an exec, and reads the rest of that descriptor. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define BYTES   ((size_t)300000)
#define THREADS 4
#define BLOCKS  64
#define FORKS   20

/* AddressSanitizer's allocator is copied by fork with the locks that other threads hold at the time (all of
 * them in gcc 12, that of the quarantine in clang 19): the child may wait for them, on a disk too. */
#ifdef WITH_ADDRESS_SANITIZER
#    define FORKS_WHILE_ALLOCATING 0
#else
#    define FORKS_WHILE_ALLOCATING 1
#endif

static const char *root;
static char **arguments;
static _Atomic(char *) shared_blocks[BLOCKS];
static atomic_bool enough;
static pthread_t allocating[THREADS];

#define check(condition) check_at((condition), #condition, __LINE__)

static void check_at(bool holds, const char *condition, int line)
{
    if (holds)
        return;
    fprintf(stderr, "line %d: %s: %s\n", line, condition, strerror(errno));
    exit(1);
}

/* The path of a file below the folder; the caller frees it. */
static char *path_of(const char *name)
{
    char *path;
    check(asprintf(&path, "%s/%s", root, name) > 0);
    return path;
}

static int open_file(const char *name, int flags)
{
    char *path = path_of(name);
    int fd = open(path, flags, 0644);
    check(fd >= 0);
    free(path);
    return fd;
}

static unsigned sum_of(const unsigned char *bytes, size_t length)
{
    unsigned sum = 0;
    while (length--)
        sum = sum * 31 + *bytes++;
    return sum;
}

static unsigned char *room_for(unsigned char *bytes, size_t room)
{
    unsigned char *moved = realloc(bytes, room);
    check(moved != NULL);
    return moved;
}

/* The file's length and sum, as read into memory of the allocator's. */
static void show(const char *name)
{
    int fd = open_file(name, O_RDONLY);
    size_t length = 0, room = 1000;
    unsigned char *bytes = room_for(NULL, room);
    for (ssize_t n; (n = read(fd, bytes + length, room - length)) != 0;) {
        check(n > 0);
        length += (size_t)n;
        if (length == room)
            bytes = room_for(bytes, room *= 2);
    }
    printf("%s: %zu bytes, sum %u\n", name, length, sum_of(bytes, length));
    free(bytes);
    check(!close(fd));
}

static void put(const char *name, unsigned seed)
{
    unsigned char *bytes = malloc(BYTES);
    check(bytes != NULL);
    for (size_t i = 0; i < BYTES; i++)
        bytes[i] = (unsigned char)((seed = seed * 1103515245 + 12345) >> 16);
    int fd = open_file(name, O_WRONLY | O_CREAT | O_TRUNC);
    for (size_t at = 0; at < BYTES; at += 100000)
        check(write(fd, bytes + at, 100000) == 100000);
    check(!close(fd));
    free(bytes);
}

static void *allocate_until_enough(void *arg)
{
    unsigned seed = (unsigned)(size_t)arg;
    while (!atomic_load(&enough)) {
        size_t size = (size_t)(rand_r(&seed) % 70000) + 1;
        char *block = seed & 1 ? calloc(1, size) : malloc(size);
        check(block);
        block[size - 1] = 1;
        free(atomic_exchange(&shared_blocks[(unsigned)rand_r(&seed) % BLOCKS], block));
    }
    return NULL;
}

static void allocate_begin(void)
{
    for (size_t i = 0; i < THREADS; i++)
        check(!pthread_create(&allocating[i], NULL, allocate_until_enough, (void *)i));
}

static void allocate_end(void)
{
    atomic_store(&enough, true);
    for (size_t i = 0; i < THREADS; i++)
        check(!pthread_join(allocating[i], NULL));
    for (size_t i = 0; i < BLOCKS; i++)
        free(atomic_load(&shared_blocks[i]));
}

static void read_and_write(void)
{
    put("data", 1);
    show("data");
    int fd = open_file("data", O_RDWR);
    check(pwrite(fd, "changed", 7, 150000) == 7);
    check(!ftruncate(fd, 250000));
    check(!close(fd));
    fd = open_file("data", O_WRONLY | O_APPEND);
    check(write(fd, "more", 4) == 4);
    check(!close(fd));
    show("data");
    char *from = path_of("data"), *to = path_of("renamed");
    check(!rename(from, to));
    check(access(from, F_OK) < 0 && errno == ENOENT);
    free(from);
    free(to);
}

static void map_private_and_shared(void)
{
    put("mapped", 2);
    int fd = open_file("mapped", O_RDWR);
    unsigned char *own = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    unsigned char *shared = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    check(own != MAP_FAILED && shared != MAP_FAILED);
    check(!close(fd));
    memset(own, 'o', 5000);
    printf("private map: sum %u\n", sum_of(own, BYTES));
    memcpy(shared + 200000, "shared", 6);
    check(!msync(shared, BYTES, MS_SYNC));
    printf("shared map: sum %u\n", sum_of(shared, BYTES));
    check(!munmap(own, BYTES) && !munmap(shared, BYTES));
    show("mapped");
}

static void *read_alone(void *arg)
{
    char name[32];
    snprintf(name, sizeof name, "thread%zu", (size_t)arg);
    put(name, (unsigned)(size_t)arg);
    int fd = open_file(name, O_RDONLY);
    unsigned char *bytes = malloc(BYTES);
    check(bytes && pread(fd, bytes, BYTES, 0) == (ssize_t)BYTES);
    size_t sum = sum_of(bytes, BYTES);
    free(bytes);
    check(!close(fd));
    return (void *)sum;
}

static void threads(void)
{
    pthread_t ids[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        check(!pthread_create(&ids[i], NULL, read_alone, (void *)i));
    for (size_t i = 0; i < THREADS; i++) {
        void *sum;
        check(!pthread_join(ids[i], &sum));
        printf("thread %zu: sum %u\n", i, (unsigned)(size_t)sum);
    }
}

static int status_of(pid_t pid)
{
    int status;
    check(waitpid(pid, &status, 0) == pid);
    check(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* One offset, which parent and children share; each child allocates what it reads into. */
static void forks(void)
{
    int fd = open_file("mapped", O_RDONLY);
    fflush(stdout);
    for (int i = 0; i < FORKS; i++) {
        pid_t pid = fork();
        check(pid >= 0);
        if (!pid) {
            unsigned char *bytes = malloc(1000);
            check(bytes && read(fd, bytes, 1000) == 1000);
            char name[32];
            snprintf(name, sizeof name, "child%d", i);
            int out = open_file(name, O_WRONLY | O_CREAT | O_TRUNC);
            check(write(out, bytes, 1000) == 1000);
            check(!close(out));
            free(bytes);
            _exit(0);
        }
        check(!status_of(pid));
    }
    printf("after %d children at %ld\n", FORKS, (long)lseek(fd, 0, SEEK_CUR));
    check(!close(fd));
    show("child0");
    show("child19");
}

static void programs(void)
{
    int fd = open_file("mapped", O_RDONLY);
    check(lseek(fd, 299000, SEEK_SET) == 299000);
    char number[16];
    snprintf(number, sizeof number, "%d", fd);
    char *argv[] = {arguments[0], arguments[1], number, NULL};
    pid_t pid;
    fflush(stdout);
    check(!posix_spawn(&pid, argv[0], NULL, NULL, argv, environ));
    check(!status_of(pid));
    check(lseek(fd, 0, SEEK_CUR) == (off_t)BYTES);
    check(!close(fd));
    FILE *pipe = popen("echo from a pipe; cat", "w");
    check(pipe && fputs("to a pipe\n", pipe) >= 0 && !pclose(pipe));
}

static void streams(void)
{
    char *path = path_of("lines");
    FILE *file = fopen(path, "w");
    check(file);
    for (int i = 0; i < 3000; i++)
        check(fprintf(file, "line %d of %s\n", i, "the stream") > 0);
    check(!fclose(file));
    file = fopen(path, "r");
    check(file);
    char *line = NULL;
    size_t size = 0, count = 0;
    while (getline(&line, &size, file) > 0)
        count++;
    printf("%zu lines, the last is %s", count, line);
    free(line);
    check(!fclose(file));
    free(path);
}

static void list(void)
{
    struct dirent **names;
    int count = scandir(root, &names, NULL, alphasort);
    check(count > 0);
    for (int i = 0; i < count; i++) {
        printf("%s\n", names[i]->d_name);
        free(names[i]);
    }
    free(names);
    char *path = realpath(root, NULL);
    check(path);
    printf("%s\n", strcmp(path, root) ? "another" : "the same");
    free(path);
}

static int rest_of(int fd)
{
    unsigned char *bytes = malloc(BYTES);
    check(bytes != NULL);
    ssize_t length = read(fd, bytes, BYTES);
    printf("inherited: %zd bytes, sum %u\n", length, sum_of(bytes, (size_t)length));
    free(bytes);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return 2;
    arguments = argv;
    root = argv[1];
    if (argc > 2)
        return rest_of(atoi(argv[2]));
    check(!mkdir(root, 0755));
    allocate_begin();
    read_and_write();
    map_private_and_shared();
    threads();
    if (!FORKS_WHILE_ALLOCATING)
        allocate_end();
    forks();
    programs();
    streams();
    list();
    if (FORKS_WHILE_ALLOCATING)
        allocate_end();
    return 0;
}
