/* System calls of instructions outside libc; see inline_call.h.
 *
 * One byte tells the kernel for all watched threads whether such calls are handed over; it is set by
 * the first use of a virtual path and stays. While it is not, a watched thread runs as any other.
 * What is watched ends with the thread, and with a fork in the child, which therefore asks again.
 *
 * The handler runs on the caller's stack, between two instructions of the program that are not
 * inside libc: what may be called there may be called here.
 */
#include "shim/inline_call.h"

#include "config/options.h"
#include "shim/report.h"
#include "shim/start.h"

#ifdef __x86_64__

#    include <dlfcn.h>
#    include <errno.h>
#    include <gnu/libc-version.h>
#    include <link.h>
#    include <pthread.h>
#    include <sched.h>
#    include <stdatomic.h>
#    include <string.h>
#    include <sys/prctl.h>
#    include <sys/syscall.h>
#    include <ucontext.h>

#    include "shim/calls/syscall.h"
#    include "shim/entry.h"
#    include "shim/real.h"

#    ifndef PR_SET_SYSCALL_USER_DISPATCH
#        define PR_SET_SYSCALL_USER_DISPATCH 59
#        define PR_SYS_DISPATCH_OFF          0
#        define PR_SYS_DISPATCH_ON           1
#    endif
#    define HANDED_OVER 2 /* SYS_USER_DISPATCH in si_code */

#    define SYSCALL_BYTES 2 /* of the instruction */

enum { AUTO, ON, OFF }; /* the order of the words in options.def */

/* What the kernel reads at each such call: SYSCALL_DISPATCH_FILTER_ALLOW or _BLOCK. */
static _Atomic char dispatch;
static _Thread_local bool watched __attribute__((tls_model("initial-exec")));

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct {
    _Atomic bool works; /* the rest is set before, and stays */
    uintptr_t libc, libc_end, loader, loader_end;
} plan;
static _Atomic(void *) their_handler; /* what the program wants to be told of SIGSYS */

static int mode(void)
{
    const struct options *options = start_options();
    return options && start_is_active() ? option_int(options, INLINE_SYSCALLS) : OFF;
}

/* ---- whose code ---- */

static void range_of(const void *address, uintptr_t *ret_begin, uintptr_t *ret_end)
{
    struct dl_find_object found;
    if (_dl_find_object((void *)(uintptr_t)address, &found))
        return;
    *ret_begin = (uintptr_t)found.dlfo_map_start;
    *ret_end = (uintptr_t)found.dlfo_map_end;
}

/* How many symbols come before those that the module defines; 0 if that is not said. */
static size_t undefined_symbols(const uint32_t *gnu_hash, const uint32_t *hash)
{
    return gnu_hash ? gnu_hash[1] : hash ? hash[1] : 0;
}

/* Does the module at `base` contain Rust's runtime? That unwinds by libgcc with a personality of its
 * own, which sets registers; otherwise only libstdc++ has one. */
static bool is_rust(uintptr_t base, const ElfW(Dyn) * dynamic)
{
    const ElfW(Sym) *symbols = NULL;
    const char *strings = NULL;
    const uint32_t *gnu_hash = NULL, *hash = NULL;
    for (const ElfW(Dyn) *entry = dynamic; entry && entry->d_tag != DT_NULL; entry++)
        switch (entry->d_tag) {
        case DT_SYMTAB: symbols = (const void *)entry->d_un.d_ptr; break;
        case DT_STRTAB: strings = (const void *)entry->d_un.d_ptr; break;
        case DT_GNU_HASH: gnu_hash = (const void *)entry->d_un.d_ptr; break;
        case DT_HASH: hash = (const void *)entry->d_un.d_ptr; break;
        }
    if (!strings || !symbols || (uintptr_t)symbols < base) /* nothing relocated: the kernel's own */
        return false;
    bool needs_libgcc = false;
    for (const ElfW(Dyn) *entry = dynamic; entry->d_tag != DT_NULL; entry++)
        if (entry->d_tag == DT_NEEDED)
            needs_libgcc |= !strcmp(strings + entry->d_un.d_val, "libgcc_s.so.1");
        else if (entry->d_tag == DT_SONAME &&
                 !strcmp(strings + entry->d_un.d_val, "libstdc++.so.6"))
            return false;
    size_t count = needs_libgcc ? undefined_symbols(gnu_hash, hash) : 0;
    for (size_t i = 1; i < count; i++)
        if (symbols[i].st_shndx == SHN_UNDEF &&
            !strcmp(strings + symbols[i].st_name, "_Unwind_SetGR"))
            return true;
    return false;
}

static bool is_rust_code(const void *address)
{
    static _Atomic(const void *) last_other; /* most calls come from where the last one came from */
    struct dl_find_object found;
    if (_dl_find_object((void *)(uintptr_t)address, &found))
        return false;
    const void *dynamic = found.dlfo_link_map->l_ld;
    if (dynamic == atomic_load_explicit(&last_other, memory_order_relaxed))
        return false;
    bool result = is_rust(found.dlfo_link_map->l_addr, dynamic);
    if (!result)
        atomic_store_explicit(&last_other, dynamic, memory_order_relaxed);
    return result;
}

static int find_rust(struct dl_phdr_info *module, size_t size, void *unused)
{
    for (int i = 0; i < module->dlpi_phnum; i++)
        if (module->dlpi_phdr[i].p_type == PT_DYNAMIC)
            return is_rust(module->dlpi_addr,
                           (const void *)(module->dlpi_addr + module->dlpi_phdr[i].p_vaddr));
    return 0;
}

/* Also a thread that has blocked SIGSYS. */
static void ask(void)
{
    sigset_t sigsys;
    sigemptyset(&sigsys);
    sigaddset(&sigsys, SIGSYS);
    REAL(pthread_sigmask)(SIG_UNBLOCK, &sigsys, NULL);
    watched = !prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, plan.libc,
                     plan.libc_end - plan.libc, &dispatch);
}

/* ---- answering ---- */

static bool is_within(uintptr_t address, uintptr_t begin, uintptr_t end)
{
    return address >= begin && address < end;
}

/* What the handler cannot do for its caller: a child that shares memory and goes on with another
 * stack, the end of a signal handler. The thread makes that call, and all that follow, by itself. */
static bool is_let_through(long number, long flags)
{
    return number == SYS_rt_sigreturn || number == SYS_vfork || number == SYS_clone3 ||
           (number == SYS_clone && flags & CLONE_VM);
}

static void stop_watching(void)
{
    watched = false;
    prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_OFF, 0, 0, 0);
}

/* What a signal handler blocks must not be SIGSYS; see inline_call_keep_open. */
static long change_handler(const long *a)
{
    struct {
        void *handler;
        unsigned long flags;
        void *restorer;
        uint64_t mask;
    } action; /* the kernel's, not libc's */
    if (a[0] == SIGSYS) {
        void *before = their_handler;
        if (a[1])
            their_handler = *(void **)a[1];
        if (a[2])
            *(void **)a[2] = before;
        return 0;
    }
    if (!a[1])
        return syscall_kernel(SYS_rt_sigaction, a[0], 0, a[2], a[3], 0, 0);
    memcpy(&action, (const void *)a[1], sizeof action);
    action.mask &= ~(UINT64_C(1) << (SIGSYS - 1));
    return syscall_kernel(SYS_rt_sigaction, a[0], (long)&action, a[2], a[3], 0, 0);
}

/* The mask of signals is what the end of the handler sets. */
static long change_mask(const long *a, sigset_t *mask)
{
    uint64_t now, change = 0;
    memcpy(&now, mask, sizeof now);
    if (a[3] != sizeof now)
        return -EINVAL;
    if (a[1])
        memcpy(&change, (const void *)a[1], sizeof change);
    if (a[2])
        memcpy((void *)a[2], &now, sizeof now);
    if (a[1] && a[0] == SIG_BLOCK)
        now |= change;
    else if (a[1] && a[0] == SIG_UNBLOCK)
        now &= ~change;
    else if (a[1] && a[0] == SIG_SETMASK)
        now = change;
    else if (a[1])
        return -EINVAL;
    memcpy(mask, &now, sizeof now);
    sigdelset(mask, SIGSYS);
    return 0;
}

static long answer(long number, const long *a, uintptr_t caller, sigset_t *mask)
{
    if (number == SYS_rt_sigprocmask)
        return change_mask(a, mask);
    if (number == SYS_rt_sigaction)
        return change_handler(a);
    if (is_within(caller, plan.loader, plan.loader_end))
        return syscall_kernel(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    long result = syscall_inline(number, a);
    if (number == SYS_clone && !result)
        ask(); /* a child that libc knows nothing of */
    return result;
}

/* A SIGSYS of another origin (seccomp(2), kill(2)) is the program's. */
static void on_other(int number, siginfo_t *info, void *context)
{
    void *handler = their_handler;
    if (handler == (void *)SIG_IGN)
        return;
    if (handler) {
        ((void (*)(int, siginfo_t *, void *))handler)(number, info, context);
        return;
    }
    REAL(sigaction)(number, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
    raise(number);
}

static void on_call(int signal_number, siginfo_t *info, void *context)
{
    if (info->si_code != HANDED_OVER) {
        on_other(signal_number, info, context);
        return;
    }
    int saved = errno, cancel;
    mcontext_t *machine = &((ucontext_t *)context)->uc_mcontext;
    greg_t *r = machine->gregs;
    long number = info->si_syscall;
    const long a[6] = {r[REG_RDI], r[REG_RSI], r[REG_RDX], r[REG_R10], r[REG_R8], r[REG_R9]};
    if (is_let_through(number, a[0])) {
        stop_watching();
        r[REG_RIP] -= SYSCALL_BYTES;
        return;
    }
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
    r[REG_RAX] = answer(number, a, (uintptr_t)r[REG_RIP], &((ucontext_t *)context)->uc_sigmask);
    pthread_setcancelstate(cancel, NULL);
    errno = saved;
}

/* ---- watching ---- */

/* They make calls of their own while signals are blocked. */
static bool is_instrumented(void)
{
    static const char *const signs[] = {"__asan_init", "__tsan_init", "__msan_init",
                                        "_vgnU_freeres"};
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++)
        if (dlsym(RTLD_DEFAULT, signs[i]))
            return true;
    return false;
}

static bool handler_set(void)
{
    struct sigaction before,
        ours = {.sa_sigaction = on_call, .sa_flags = SA_SIGINFO | SA_NODEFER | SA_RESTART};
    sigemptyset(&ours.sa_mask);
    if (REAL(sigaction)(SIGSYS, &ours, &before))
        return false;
    their_handler = (void *)before.sa_handler;
    return true;
}

static void ask_in_child(void)
{
    if (watched)
        ask();
}

static void prepare(void)
{
    range_of((const void *)gnu_get_libc_version, &plan.libc, &plan.libc_end);
    range_of((const void *)_dl_find_object, &plan.loader, &plan.loader_end);
    plan.works = plan.libc && plan.loader && !is_instrumented() && handler_set() &&
                 !pthread_atfork(NULL, NULL, ask_in_child);
    if (plan.works)
        syscall_leave_to(REAL(syscall));
}

bool inline_call_is_watched(void)
{
    return watched;
}

void inline_call_watch(void)
{
    if (watched)
        return;
    pthread_once(&once, prepare);
    if (plan.works)
        ask();
}

bool inline_call_wants_thread(const void *caller)
{
    int now = mode();
    return now == ON || (now == AUTO && is_rust_code(caller));
}

void inline_call_meet(const void *caller)
{
    if (!watched && inline_call_wants_thread(caller))
        inline_call_watch();
}

void inline_call_use(void)
{
    int now = mode();
    if (now != OFF)
        dispatch = 1;
    if (now == AUTO && dl_iterate_phdr(find_rust, NULL))
        inline_call_watch();
}

void inline_call_start(void)
{
    if (mode() != ON)
        return;
    inline_call_watch();
    if (watched)
        dispatch = 1;
    else
        report_line("S3DLIO_INLINE_SYSCALLS=on has no effect: the kernel has no Syscall User "
                    "Dispatch (Linux 5.11), or the program runs under a sanitizer or valgrind");
}

void inline_call_keep_open(sigset_t *signals)
{
    if (plan.works)
        sigdelset(signals, SIGSYS);
}

bool inline_call_owns_signal(void)
{
    return plan.works;
}

void inline_call_handler(const struct sigaction *action, struct sigaction *ret_before)
{
    void *before = their_handler;
    if (action)
        their_handler = (void *)action->sa_handler;
    if (ret_before)
        *ret_before = (struct sigaction){.sa_handler = (sighandler_t)before};
}

#else

void inline_call_start(void)
{
    enum { AUTO, ON };
    const struct options *options = start_options();
    if (options && start_is_active() && option_int(options, INLINE_SYSCALLS) == ON)
        report_line("S3DLIO_INLINE_SYSCALLS=on has no effect on this architecture");
}

void inline_call_use(void)
{
}

void inline_call_meet(const void *caller)
{
}

bool inline_call_wants_thread(const void *caller)
{
    return false;
}

void inline_call_watch(void)
{
}

bool inline_call_is_watched(void)
{
    return false;
}

void inline_call_keep_open(sigset_t *signals)
{
}

bool inline_call_owns_signal(void)
{
    return false;
}

void inline_call_handler(const struct sigaction *action, struct sigaction *ret_before)
{
}

#endif
