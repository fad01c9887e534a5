/* A program's thread may have a stack of 16 KiB. Our own frames keep within that; the engine's, and
 * the loading of its libraries, do not. So its functions are called by way of a few lines of
 * assembly, which on such a thread go on on another stack: one for each thread, made at its first
 * call, freed when it ends.
 *
 * Whoever leaves a call by longjmp leaves only frames behind that nobody needs: the next call
 * begins at the top again. A handler that interrupts a call is on that stack already, and stays.
 * What runs neither there nor on the thread's own stack (sigaltstack, coroutines) is left where it
 * is. The other stack lies below the thread's own, so that longjmp and cancellation still find that
 * frames left are deeper than where they go to.
 *
 * Only where stacks can be that small: the least that aarch64 allows is 128 KiB. Not in builds with
 * AddressSanitizer, which has its own idea of stacks.
 */
#include "shim/stack.h"

#if defined __x86_64__ && !defined __SANITIZE_ADDRESS__ && !defined __SANITIZE_THREAD__

#    include <pthread.h>
#    include <stdbool.h>
#    include <stdint.h>
#    include <sys/mman.h>

#    define SMALL_BYTES ((size_t)96 << 10) /* threads with less get another stack */
#    define OTHER_BYTES ((size_t)256 << 10)
#    define GUARD_BYTES ((size_t)4096)
/* The kernel leaves at least 128 MiB between the process's stack and what is mapped below. */
#    define MAIN_BYTES ((size_t)120 << 20)

extern void *__libc_stack_end; /* the dynamic linker's, GLIBC_2.2.5 */

/* Read by the assembly: above it, a stack pointer needs no question. 0: not looked at yet. */
__attribute__((visibility("hidden"))) __thread uintptr_t stack_limit
    __attribute__((tls_model("initial-exec")));

static __thread struct {
    uintptr_t low, high; /* the thread's own */
    char *other;         /* NULL: none */
} stack __attribute__((tls_model("initial-exec")));

__attribute__((visibility("hidden"))) void *stack_targets[STACK_CALLS_MAX];
extern char stack_entries[]; /* of 16 bytes each */

/* From the assembly: where to go on from this stack pointer; NULL: here. */
__attribute__((used, visibility("hidden"))) void *stack_choose(uintptr_t pointer);

static pthread_key_t key;
static pthread_once_t key_once = PTHREAD_ONCE_INIT;

static void drop(void *other)
{
    stack.other = NULL;
    stack_limit = 0;
    munmap(other, OTHER_BYTES);
}

static void make_key(void)
{
    pthread_key_create(&key, drop);
}

/* Below our own stack, or not at all. */
static char *make_other(void)
{
    char *other = mmap(NULL, OTHER_BYTES, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (other == MAP_FAILED)
        return NULL;
    pthread_once(&key_once, make_key);
    if ((uintptr_t)other > stack.low || mprotect(other, GUARD_BYTES, PROT_NONE) < 0 ||
        pthread_setspecific(key, other)) {
        munmap(other, OTHER_BYTES);
        return NULL;
    }
    return other;
}

/* On the process's own stack, which grows by itself, there is no need to ask. */
static bool look(uintptr_t pointer)
{
    pthread_attr_t attr;
    void *low = NULL;
    size_t size = 0;
    if ((uintptr_t)__libc_stack_end - pointer > MAIN_BYTES &&
        pthread_getattr_np(pthread_self(), &attr) == 0) {
        pthread_attr_getstack(&attr, &low, &size);
        pthread_attr_destroy(&attr);
    }
    stack.low = (uintptr_t)low;
    stack.high = (uintptr_t)low + size;
    return size && size < SMALL_BYTES;
}

void *stack_choose(uintptr_t pointer)
{
    if (!stack_limit)
        stack_limit = look(pointer) ? UINTPTR_MAX : 1;
    if (stack_limit == 1 || pointer < stack.low || pointer >= stack.high)
        return NULL;
    if (!stack.other)
        stack.other = make_other();
    return stack.other ? stack.other + OTHER_BYTES : NULL;
}

/* stack_entries: for each index its number in r11, then the common part. That: when the limit is
 * not below the stack pointer, keeps the arguments and asks stack_choose; then jumps to the target,
 * or calls it with a copy of what may be arguments on the stack. rbp keeps the way back, also for
 * unwinding. */
__asm__(".text\n"
        ".p2align 4\n"
        ".globl stack_entries\n"
        ".hidden stack_entries\n"
        "stack_entries:\n"
        "    .set stack_index, 0\n"
        "    .rept 128\n"
        "    .p2align 4\n"
        "    endbr64\n"
        "    movl $stack_index, %r11d\n"
        "    jmp stack_common\n"
        "    .set stack_index, stack_index + 1\n"
        "    .endr\n"
        ".p2align 4\n"
        "stack_common:\n"
        "    .cfi_startproc\n"
        "    leaq stack_targets(%rip), %rax\n"
        "    movq (%rax,%r11,8), %r11\n"
        "    movq stack_limit@gottpoff(%rip), %rax\n"
        "    movq %fs:(%rax), %rax\n"
        "    decq %rax\n" /* not looked at yet: the largest of all */
        "    cmpq %rax, %rsp\n"
        "    jb 1f\n"
        "    jmp *%r11\n"
        "1:  pushq %rbp\n"
        "    .cfi_adjust_cfa_offset 8\n"
        "    .cfi_rel_offset %rbp, 0\n"
        "    movq %rsp, %rbp\n"
        "    .cfi_def_cfa_register %rbp\n"
        "    pushq %rdi\n"
        "    pushq %rsi\n"
        "    pushq %rdx\n"
        "    pushq %rcx\n"
        "    pushq %r8\n"
        "    pushq %r9\n"
        "    pushq %r11\n"
        "    subq $8, %rsp\n"
        "    movq %rsp, %rdi\n"
        "    call stack_choose\n"
        "    addq $8, %rsp\n"
        "    popq %r11\n"
        "    popq %r9\n"
        "    popq %r8\n"
        "    popq %rcx\n"
        "    popq %rdx\n"
        "    popq %rsi\n"
        "    popq %rdi\n"
        "    testq %rax, %rax\n"
        "    jz 2f\n"
        "    movq %rax, %rsp\n"
        "    pushq 40(%rbp)\n"
        "    pushq 32(%rbp)\n"
        "    pushq 24(%rbp)\n"
        "    pushq 16(%rbp)\n"
        "    call *%r11\n"
        "    leave\n"
        "    .cfi_remember_state\n"
        "    .cfi_def_cfa %rsp, 8\n"
        "    .cfi_restore %rbp\n"
        "    ret\n"
        "2:  .cfi_restore_state\n"
        "    popq %rbp\n"
        "    .cfi_def_cfa %rsp, 8\n"
        "    .cfi_restore %rbp\n"
        "    jmp *%r11\n"
        "    .cfi_endproc\n");

void *stack_wrap(unsigned index, void *target)
{
    if (index >= STACK_CALLS_MAX)
        return target;
    stack_targets[index] = target;
    return stack_entries + (size_t)index * 16;
}

#else

void *stack_wrap(unsigned index, void *target)
{
    return target;
}

#endif
