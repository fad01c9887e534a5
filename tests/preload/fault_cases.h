/* Operations × faults × requests: whatever the server does wrong, and at whichever request of the
 * operation, the program is told the truth.
 *
 * Each operation runs in a directory of its own. A faultless run shows what was there before and what is
 * there afterwards (the server is asked by its own interface, without the library). Then, for each fault,
 * a process of its own repeats the operation with the fault at its first request, its second, and so on
 * until there is none left to meet it: once; from that request on; and for every request of one kind.
 * Success means the new state, an error one of the fault's errnos and the old state. No uploads are left
 * unless nothing could be asked any more. The process must see by its own calls what the server holds.
 *
 * A process for each fault, because repeats are rationed and kinds of errors are told once. */
#ifndef S3DLIO_TESTS_PRELOAD_FAULT_CASES_H
#define S3DLIO_TESTS_PRELOAD_FAULT_CASES_H

#include "tests/preload/faults.h"

#include <fnmatch.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#define CASE_SECONDS_MAX                                                                           \
    60 /* all waits that the environment of the tests allows, and a busy machine */
#define CASE_REQUESTS_MAX 60
#define CASE_FAILURES_MAX 4
#define PATIENCE_MS       "200"   /* with a server that stalls; a busy machine is not one */
#define WRONG_BYTES       EBADMSG /* of reading: no fault may give it */

enum fault_trait {
    PASSES = 1, /* met once, a repeat succeeds */
    HIDES = 2,  /* the operation may have been carried out although the answer does not say so */
    ALIKE = 4,  /* another fault has the same consequences: for each kind of request is enough */
    LIES = 16,  /* only what moves something notices */
    STALLS =
        8, /* costs a wait: the process has little patience, and nothing lasts from a request on */
};

struct fault {
    const char *name, *action;
    const char *op; /* which requests */
    unsigned traits;
    int errnums[5];
};

/* `run` is what a program does: 0, or -errno of the first call that failed. */
struct operation {
    const char *name;
    void (*prepare)(void);
    int (*run)(void);
    /* Another state that a failure may leave: what the program published before. NULL: none. */
    int (*half)(void);
    bool is_long;  /* without the faults that last from some request on */
    bool restarts; /* a failure may leave something in between, from which the same call succeeds */
    bool moves;    /* takes away what it has copied: does not believe the copy */
};

struct states {
    char *old, *new, *half, *log;
};

static const struct operation *operation; /* of this process */

/* ---- files of an operation ---------------------------------------------------------------------- */

static inline const char *case_path(const char *name)
{
    static char paths[4][PATH_MAX];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, PATH_MAX, "%s/%s/%s", preload_root(), operation->name, name);
    return path;
}

static void without(char *line, const char *header)
{
    char *begin = strstr(line, header), *end = begin ? strchr(begin + 1, ' ') : NULL;
    if (begin)
        memmove(begin, end ? end : "", end ? strlen(end) + 1 : 1);
}

/* The server's view of this operation's directory, without what differs from write to write. Lines of
 * uploads are counted instead. */
static char *case_state(unsigned *ret_uploads)
{
    char *all = faults_answer("GET /-/state", ""), prefix[PATH_MAX];
    char *kept = calloc(1, strlen(all) + 1), *rest = all;
    int length = snprintf(prefix, sizeof prefix, "object test %s/", operation->name);
    *ret_uploads = 0;
    for (char *line; (line = strsep(&rest, "\n"));) {
        without(line, " x-amz-meta-s3dlio-write-id=");
        if (strstr(line, "application/x-directory"))
            without(line, " x-amz-meta-mtime="); /* when it was made */
        if (!strncmp(line, "upload ", 7))
            ++*ret_uploads;
        else if (!strncmp(line, prefix, (size_t)length))
            strcat(strcat(kept, line + length), "\n");
    }
    free(all);
    return kept;
}

/* ---- one case ----------------------------------------------------------------------------------- */

static bool case_allows(const struct fault *fault, int errnum)
{
    for (unsigned i = 0; i < sizeof fault->errnums / sizeof *fault->errnums; i++)
        if (fault->errnums[i] == errnum && errnum)
            return true;
    return false;
}

/* Of "name bytes …" lines, the size of `name`; -1: not there. */
static long long size_in(const char *state, const char *name, size_t length)
{
    for (const char *line = state; line && *line; line = strchr(line, '\n') + 1)
        if (!strncmp(line, name, length) && line[length] == ' ')
            return atoll(line + length + 1);
    return -1;
}

/* Does the process itself see the names of `names` as they are in `state`? The first that differs. */
static const char *unseen(const char *names, const char *state)
{
    static char name[256];
    for (const char *line = names; *line; line = strchr(line, '\n') + 1) {
        size_t length = strcspn(line, " ");
        struct stat st;
        if (length == 0 || line[length - 1] == '/' || length >= sizeof name)
            continue;
        long long size = size_in(state, line, length);
        snprintf(name, sizeof name, "%.*s", (int)length, line);
        int r = lstat(case_path(name), &st);
        if (size < 0 ? r == 0 || errno != ENOENT : r < 0 || st.st_size != size)
            return name;
    }
    return NULL;
}

/* What is wrong with it, or NULL. */
static const char *judge(const struct fault *fault, const struct states *states, const char *state,
                         int r)
{
    bool is_new = !strcmp(state, states->new), is_old = !strcmp(state, states->old);
    if (r == 0)
        return is_new ? NULL : "success, and not the new state";
    if (!case_allows(fault, -r))
        return "an errno that this fault does not explain";
    if (is_old || (is_new && fault->traits & HIDES) ||
        (states->half && !strcmp(state, states->half)))
        return NULL;
    return "an error, and not the old state";
}

/* After a failure in the middle the same call goes on. */
static const char *go_on(const struct states *states)
{
    static char text[160];
    unsigned uploads;
    int r = operation->run();
    char *state = case_state(&uploads);
    bool is_right = r == 0 && !strcmp(state, states->new);
    snprintf(text, sizeof text, "the same call afterwards does not end it: %s",
             r < 0 ? strerror(-r) : "something else is there");
    free(state);
    return is_right ? NULL : text;
}

struct attempt {
    const struct fault *fault;
    char rule[160];
    bool is_once; /* the server recovers */
    bool is_deaf; /* nothing can be asked any more: an upload may stay */
    unsigned nth;
    bool was_met; /* out */
};

/* The kind of request that met the fault first, of those since the log was cleared. */
static bool first_was(const struct attempt *attempt, const char *kind)
{
    char *log = faults_answer("GET /-/log", ""), *rest = log;
    unsigned seen = 0;
    bool found = false;
    for (char *line; (line = strsep(&rest, "\n"));) {
        line[strcspn(line, " ")] = '\0';
        if (!fnmatch(attempt->fault->op, line, 0) && ++seen == attempt->nth)
            found = !strcmp(line, kind);
    }
    free(log);
    return found;
}

/* Did an upload begin of which the client never learnt the id? */
static bool began_unheard(const struct attempt *attempt)
{
    return attempt->fault->traits & HIDES && first_was(attempt, "CreateMultipartUpload");
}

static bool report(const struct attempt *attempt, int r, const char *problem, const char *state)
{
    char *log = faults_answer("GET /-/log", "");
    fprintf(stderr, "%s: %s (%s): %s: %s; the server has\n%sand has done\n%s", operation->name,
            attempt->fault->name, attempt->rule, r < 0 ? strerror(-r) : "success", problem, state,
            log);
    free(log);
    return false;
}

/* True: as it should be. */
static bool try(struct attempt *attempt, const struct states *states)
{
    unsigned before, uploads;
    struct timespec begin, end;
    free(case_state(&before));
    free(faults_answer("DELETE /-/log", ""));
    faults_add(attempt->rule);
    clock_gettime(CLOCK_MONOTONIC, &begin);
    alarm(2 * CASE_SECONDS_MAX);
    int r = operation->run();
    alarm(0);
    clock_gettime(CLOCK_MONOTONIC, &end);
    char *rules = faults_answer("GET /-/faults", "");
    attempt->was_met = !strstr(rules, "fired=0");
    free(rules);
    faults_end();

    char *state = case_state(&uploads);
    const char *problem = judge(attempt->fault, states, state, r);
    if (problem && r < 0 && operation->restarts && case_allows(attempt->fault, -r))
        problem = go_on(states);
    else if (!problem && (unseen(states->old, state) || unseen(states->new, state)))
        problem = "the process does not see what is there";
    if (!problem && r < 0 && attempt->is_once && attempt->fault->traits & PASSES)
        problem = "a repeat would have succeeded";
    if (!problem && uploads > before && !attempt->is_deaf && !began_unheard(attempt))
        problem = "an upload is left";
    if (!problem && end.tv_sec - begin.tv_sec > CASE_SECONDS_MAX)
        problem = "it took too long";
    bool is_right = problem ? report(attempt, r, problem, state) : true;
    free(state);
    return is_right;
}

/* Makes the old state again, if it is another one. */
static void restore(const struct states *states)
{
    unsigned uploads;
    char *state = case_state(&uploads);
    if (strcmp(state, states->old))
        operation->prepare();
    free(state);
    state = case_state(&uploads);
    if (strcmp(state, states->old)) {
        fprintf(stderr, "%s: cannot be made anew; the server has\n%s", operation->name, state);
        _exit(1);
    }
    free(state);
}

/* ---- all cases of a fault ----------------------------------------------------------------------- */

static bool case_again(struct attempt *attempt, const struct states *states, unsigned *failures)
{
    restore(states);
    if (!try(attempt, states) && ++*failures == CASE_FAILURES_MAX)
        _exit(1);
    return attempt->was_met;
}

static void at_each_request(const struct fault *fault, const struct states *states, bool is_once,
                            unsigned *failures)
{
    for (unsigned nth = 1; nth < CASE_REQUESTS_MAX; nth++) {
        struct attempt attempt = {
            .fault = fault, .is_once = is_once, .is_deaf = !is_once, .nth = nth};
        snprintf(attempt.rule, sizeof attempt.rule, "op=%s nth=%u count=%u action=%s", fault->op,
                 nth, is_once ? 1u : 1000000u, fault->action);
        if (!case_again(&attempt, states, failures))
            return;
    }
    fprintf(stderr, "%s: %s: it asks and asks\n", operation->name, fault->name);
    ++*failures;
}

static void at_each_kind(const struct fault *fault, const struct states *states, unsigned *failures)
{
    char seen[1024] = " ", *log = strdup(states->log), *rest = log;
    for (char *line; (line = strsep(&rest, "\n"));) {
        struct attempt attempt = {.fault = fault};
        char kind[40], word[48];
        snprintf(kind, sizeof kind, "%.*s", (int)strcspn(line, " "), line);
        snprintf(word, sizeof word, " %s ", kind);
        if (!*kind || strstr(seen, word) || strlen(seen) + strlen(word) >= sizeof seen)
            continue;
        strcat(seen, word);
        if (fnmatch(fault->op, kind, 0))
            continue;
        bool begins = !strcmp(kind, "CreateMultipartUpload") && fault->traits & HIDES;
        attempt.is_deaf = begins || strstr(kind, "Abort");
        snprintf(attempt.rule, sizeof attempt.rule, "op=%s action=%s", kind, fault->action);
        case_again(&attempt, states, failures);
    }
    free(log);
}

/* Is there any request that the fault is for? */
static bool applies(const struct fault *fault, const char *log)
{
    for (const char *line = log; *line; line = strchr(line, '\n') + 1) {
        char kind[40];
        snprintf(kind, sizeof kind, "%.*s", (int)strcspn(line, " "), line);
        if (!fnmatch(fault->op, kind, 0))
            return true;
    }
    return false;
}

static int fault_process(const struct fault *fault, const struct states *states)
{
    unsigned failures = 0;
    if (!applies(fault, states->log) || (fault->traits & LIES && !operation->moves))
        return 0;
    if (!(fault->traits & ALIKE)) {
        at_each_request(fault, states, true, &failures);
        if (!operation->is_long && !(fault->traits & STALLS))
            at_each_request(fault, states, false, &failures);
    }
    at_each_kind(fault, states, &failures);
    return failures > 0;
}

/* ---- the parent, which never touches a virtual path ----------------------------------------------- */

static int in_process(int (*work)(const void *), const void *arg)
{
    int status;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        _exit(work(arg));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status))
        fail_msg("%s: signal %d%s", operation->name, WTERMSIG(status),
                 WTERMSIG(status) == SIGALRM ? ": it hangs" : "");
    return WEXITSTATUS(status);
}

static int do_prepare(const void *ignored)
{
    mkdir(case_path(""), 0755);
    operation->prepare();
    return 0;
}

static int do_run(const void *run)
{
    int r = (*(int (*const *)(void))run)();
    if (r < 0)
        fprintf(stderr, "%s: without a fault: %s\n", operation->name, strerror(-r));
    return r < 0;
}

struct fault_work {
    const struct fault *fault;
    const struct states *states;
};

/* The engine reads its options when it is first used, which is in this process. */
static void lose_patience(void)
{
    setenv("S3DLIO_FIRST_BYTE_TIMEOUT_MS", PATIENCE_MS, 1);
    setenv("S3DLIO_PROGRESS_TIMEOUT_MS", PATIENCE_MS, 1);
}

static int do_fault(const void *arg)
{
    const struct fault_work *work = arg;
    if (work->fault->traits & STALLS)
        lose_patience();
    return fault_process(work->fault, work->states);
}

/* The state that a faultless run leaves. */
static char *reference(int (*run)(void))
{
    unsigned uploads;
    assert_int_equal(in_process(do_prepare, NULL), 0);
    free(faults_answer("DELETE /-/log", ""));
    assert_int_equal(in_process(do_run, &run), 0);
    return case_state(&uploads);
}

/* One operation through all faults: NULL-terminated by name. */
static inline void fault_cases(const struct operation *chosen, const struct fault *faults)
{
    struct states states = {0};
    unsigned uploads, failed = 0;
    const char *only = getenv("S3DLIO_TEST_FAULT");
    operation = chosen;
    free(reference(operation->run)); /* marks of directories come with it and stay */
    assert_int_equal(in_process(do_prepare, NULL), 0);
    states.old = case_state(&uploads);
    states.half = operation->half ? reference(operation->half) : NULL;
    states.new = reference(operation->run);
    states.log = faults_answer("GET /-/log", "");
    for (const struct fault *fault = faults; fault->name; fault++) {
        struct fault_work work = {fault, &states};
        if (!only || !strcmp(only, fault->name))
            failed += in_process(do_fault, &work) != 0;
        faults_end();
    }
    free(states.old);
    free(states.new);
    free(states.half);
    free(states.log);
    assert_int_equal(failed, 0);
}

#endif
