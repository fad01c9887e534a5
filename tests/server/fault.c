/*
 * Parsing and matching of fault rules; see fault.h. What a fault does to an answer is in answer.c
 * and reader.c, to an upload in intake.c.
 */
#include "fault.h"

#include "encode.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

enum argument {
    NO_ARGUMENT,
    BYTE,          /* [@BYTE|@random] */
    BYTE_AND_MS,   /* [@BYTE][:MS] */
    AMOUNT,        /* :N */
    TEXT_ARGUMENT, /* :TEXT */
    STATUS,        /* :N[:Code][:retry-after=S] */
};

static const struct action_row {
    const char *name;
    enum fault_action action;
    enum argument argument;
} ACTIONS[] = {
    {"status", FAULT_STATUS, STATUS},
    {"reset", FAULT_RESET, BYTE},
    {"stall", FAULT_STALL, BYTE_AND_MS},
    {"truncate", FAULT_TRUNCATE, BYTE},
    {"wrong-length", FAULT_WRONG_LENGTH, NO_ARGUMENT},
    {"corrupt", FAULT_CORRUPT, BYTE},
    {"wrong-range", FAULT_WRONG_RANGE, NO_ARGUMENT},
    {"no-etag", FAULT_NO_ETAG, NO_ARGUMENT},
    {"bad-xml", FAULT_BAD_XML, NO_ARGUMENT},
    {"huge-header", FAULT_HUGE_HEADER, AMOUNT},
    {"many-headers", FAULT_MANY_HEADERS, AMOUNT},
    {"endless-body", FAULT_ENDLESS_BODY, NO_ARGUMENT},
    {"error200", FAULT_ERROR200, NO_ARGUMENT},
    {"lose-answer", FAULT_LOSE_ANSWER, NO_ARGUMENT},
    {"redirect", FAULT_REDIRECT, TEXT_ARGUMENT},
    {"expire-token", FAULT_EXPIRE_TOKEN, NO_ARGUMENT},
    {"replace", FAULT_REPLACE, NO_ARGUMENT},
    {"delay", FAULT_DELAY, AMOUNT},
    {"hang", FAULT_HANG, NO_ARGUMENT},
    {"hang-done", FAULT_HANG_DONE, NO_ARGUMENT},
    {"pretend-copy", FAULT_PRETEND_COPY, NO_ARGUMENT},
    {"empty-copy", FAULT_EMPTY_COPY, NO_ARGUMENT},
};

#define STALL_DEFAULT_MS (3600u * 1000u)

void faults_init(struct faults *faults)
{
    *faults = (struct faults){0};
    pthread_mutex_init(&faults->lock, NULL);
}

static void free_rules(struct fault_rule *rule)
{
    while (rule) {
        struct fault_rule *next = rule->next;
        free(rule);
        rule = next;
    }
}

void faults_fini(struct faults *faults)
{
    free_rules(faults->rules);
    pthread_mutex_destroy(&faults->lock);
}

void faults_clear(struct faults *faults)
{
    pthread_mutex_lock(&faults->lock);
    free_rules(faults->rules);
    faults->rules = NULL;
    pthread_mutex_unlock(&faults->lock);
}

static bool parse_byte(struct fault *fault, const char *text)
{
    fault->has_byte = true;
    fault->random_byte = !strcmp(text, "random");
    return fault->random_byte || encode_parse_u64(text, &fault->byte);
}

/* NUMBER[:Code][:retry-after=SECONDS] */
static bool parse_status(struct fault *fault, char *text)
{
    char *number = strsep(&text, ":");
    if (!encode_parse_u64(number, &fault->amount) || fault->amount < 200 || fault->amount > 599)
        return false;
    for (char *field; (field = strsep(&text, ":"));) {
        uint64_t seconds;
        if (!strncmp(field, "retry-after=", 12)) {
            if (!encode_parse_u64(field + 12, &seconds) || seconds > 86400)
                return false;
            fault->retry_after_s = (int)seconds;
        } else if (strlen(field) < sizeof(fault->text)) {
            strcpy(fault->text, field);
        } else {
            return false;
        }
    }
    return true;
}

static bool parse_argument(struct fault *fault, enum argument kind, char *byte, char *colon)
{
    switch (kind) {
    case NO_ARGUMENT: return !byte && !colon;
    case BYTE: return !colon && (!byte || parse_byte(fault, byte));
    case BYTE_AND_MS:
        fault->amount = STALL_DEFAULT_MS;
        return (!byte || parse_byte(fault, byte)) &&
               (!colon || encode_parse_u64(colon, &fault->amount));
    case AMOUNT: return !byte && colon && encode_parse_u64(colon, &fault->amount);
    case TEXT_ARGUMENT:
        if (byte || !colon || strlen(colon) >= sizeof(fault->text))
            return false;
        strcpy(fault->text, colon);
        return true;
    case STATUS: return !byte && colon && parse_status(fault, colon);
    }
    return false;
}

/* NAME[@BYTE][:ARGUMENT] */
static bool parse_action(struct fault *fault, char *text)
{
    char *colon = strchr(text, ':');
    if (colon)
        *colon++ = '\0';
    char *byte = strchr(text, '@');
    if (byte)
        *byte++ = '\0';
    *fault = (struct fault){.retry_after_s = -1};
    for (size_t i = 0; i < sizeof(ACTIONS) / sizeof(ACTIONS[0]); i++) {
        if (strcmp(ACTIONS[i].name, text))
            continue;
        fault->action = ACTIONS[i].action;
        return parse_argument(fault, ACTIONS[i].argument, byte, colon);
    }
    return false;
}

static bool copy_glob(char *out, size_t size, const char *text)
{
    if (strlen(text) >= size)
        return false;
    strcpy(out, text);
    return true;
}

static bool parse_field(struct fault_rule *rule, char *field)
{
    char *value = strchr(field, '=');
    if (!value)
        return false;
    *value++ = '\0';
    if (!strcmp(field, "op"))
        return copy_glob(rule->op, sizeof(rule->op), value);
    if (!strcmp(field, "bucket"))
        return copy_glob(rule->bucket, sizeof(rule->bucket), value);
    if (!strcmp(field, "key"))
        return copy_glob(rule->key, sizeof(rule->key), value);
    if (!strcmp(field, "with"))
        return copy_glob(rule->with, sizeof(rule->with), value);
    if (!strcmp(field, "nth"))
        return encode_parse_u64(value, &rule->nth) && rule->nth > 0;
    if (!strcmp(field, "count"))
        return encode_parse_u64(value, &rule->count);
    if (!strcmp(field, "action"))
        return parse_action(&rule->fault, value);
    if (!strcmp(field, "probability")) {
        char *end;
        rule->probability = strtod(value, &end);
        return end != value && !*end;
    }
    return false;
}

/* One rule of a line, which is cut up; NULL when it is not one, with *ret_field the culprit. */
static struct fault_rule *parse_rule(char *line, const char **ret_field)
{
    struct fault_rule *rule = calloc(1, sizeof(*rule));
    *ret_field = "memory";
    if (!rule)
        return NULL;
    strcpy(rule->op, "*");
    strcpy(rule->bucket, "*");
    strcpy(rule->key, "*");
    rule->probability = 1;
    for (char *field; (field = strsep(&line, " \t\r"));) {
        *ret_field = field;
        if (*field && !parse_field(rule, field))
            goto bad;
    }
    *ret_field = "action";
    if (rule->fault.action == FAULT_NONE)
        goto bad;
    if (rule->nth && !rule->count)
        rule->count = 1;
    if (!rule->nth)
        rule->nth = 1;
    return rule;
bad:
    free(rule);
    return NULL;
}

bool faults_add(struct faults *faults, const char *text, struct buf *problem)
{
    struct fault_rule *added = NULL, **end = &added;
    char *copy = strdup(text), *rest = copy;
    bool ok = copy != NULL;
    for (char *line; ok && (line = strsep(&rest, "\n"));) {
        const char *field;
        line += strspn(line, " \t\r");
        if (!*line || *line == '#')
            continue;
        *end = parse_rule(line, &field);
        ok = *end != NULL;
        if (ok)
            end = &(*end)->next;
        else
            buf_printf(problem, "bad fault rule at: %s\n", field);
    }
    if (ok) {
        pthread_mutex_lock(&faults->lock);
        struct fault_rule **at = &faults->rules;
        while (*at)
            at = &(*at)->next;
        *at = added;
        pthread_mutex_unlock(&faults->lock);
    } else {
        free_rules(added);
    }
    free(copy);
    return ok;
}

static const char *action_name(enum fault_action action)
{
    for (size_t i = 0; i < sizeof(ACTIONS) / sizeof(ACTIONS[0]); i++)
        if (ACTIONS[i].action == action)
            return ACTIONS[i].name;
    return "none";
}

void faults_show(struct faults *faults, struct buf *out)
{
    pthread_mutex_lock(&faults->lock);
    for (const struct fault_rule *rule = faults->rules; rule; rule = rule->next)
        buf_printf(out, "op=%s bucket=%s key=%s action=%s seen=%llu fired=%llu\n", rule->op,
                   rule->bucket, rule->key, action_name(rule->fault.action),
                   (unsigned long long)rule->seen, (unsigned long long)rule->fired);
    pthread_mutex_unlock(&faults->lock);
}

static bool rule_fires(struct fault_rule *rule, struct pace *pace)
{
    rule->seen++;
    if (rule->seen < rule->nth)
        return false;
    if (rule->count && rule->fired >= rule->count)
        return false;
    if (rule->probability < 1 && pace_random(pace) >= rule->probability)
        return false;
    rule->fired++;
    return true;
}

static bool rule_matches(const struct fault_rule *rule, const struct fault_subject *subject)
{
    return !fnmatch(rule->op, subject->op, 0) && !fnmatch(rule->bucket, subject->bucket, 0) &&
           !fnmatch(rule->key, subject->key, 0) &&
           (!*rule->with || subject->header(subject->arg, rule->with));
}

struct fault faults_match(struct faults *faults, struct pace *pace,
                          const struct fault_subject *subject)
{
    struct fault fault = {.retry_after_s = -1};
    pthread_mutex_lock(&faults->lock);
    for (struct fault_rule *rule = faults->rules; rule; rule = rule->next) {
        if (!rule_matches(rule, subject) || !rule_fires(rule, pace))
            continue;
        fault = rule->fault;
        break;
    }
    pthread_mutex_unlock(&faults->lock);
    return fault;
}
