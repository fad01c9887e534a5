/* Rules of the fault store: one table of fields, a parser over it, and matching.
 *
 * No lock of its own: the fault store calls under its mutex. The random numbers are a generator of
 * the rules' own (splitmix64), so that a seed gives the same faults in every run. */
#include "store/fault_rules.h"

#include <errno.h>
#include <fnmatch.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PPM UINT64_C(1000000)

enum field_kind {
    FIELD_OPERATION,
    FIELD_GLOB,
    FIELD_COUNT,
    FIELD_PERCENT,
    FIELD_CLASS,
    FIELD_MS,
    FIELD_INT_MS,
    FIELD_FLAG
};

static const struct field {
    const char *name;
    enum field_kind kind;
    size_t offset;
} fields[] = {
    {"op", FIELD_OPERATION, offsetof(struct fault_rule, operation)},
    {"key", FIELD_GLOB, offsetof(struct fault_rule, key_glob)},
    {"nth", FIELD_COUNT, offsetof(struct fault_rule, nth)},
    {"count", FIELD_COUNT, offsetof(struct fault_rule, count)},
    {"p", FIELD_PERCENT, offsetof(struct fault_rule, probability_ppm)},
    {"fail", FIELD_CLASS, offsetof(struct fault_rule, effect.fail)},
    {"retry-after", FIELD_INT_MS, offsetof(struct fault_rule, effect.retry_after_ms)},
    {"error200", FIELD_FLAG, offsetof(struct fault_rule, effect.error200)},
    {"lose", FIELD_FLAG, offsetof(struct fault_rule, effect.lose)},
    {"ignore", FIELD_FLAG, offsetof(struct fault_rule, effect.ignore)},
    {"changed", FIELD_FLAG, offsetof(struct fault_rule, effect.changed)},
    {"delay", FIELD_MS, offsetof(struct fault_rule, effect.delay_ms)},
    {"after", FIELD_COUNT, offsetof(struct fault_rule, effect.after_bytes)},
    {"truncate", FIELD_FLAG, offsetof(struct fault_rule, effect.truncate)},
    {"pause", FIELD_MS, offsetof(struct fault_rule, effect.pause_ms)},
};

/* ---- values of fields ----------------------------------------------------------------------- */

static int parse_number(const char *text, uint64_t *ret_number)
{
    char *end;

    errno = 0;
    *ret_number = strtoull(text, &end, 10);
    if (strcmp(end, "ms") == 0)
        end += 2;
    return errno || end == text || *end || *text == '-' ? -EINVAL : 0;
}

static int parse_operation(const char *text, enum store_operation *ret_operation)
{
    unsigned i = 0;

    if (strcmp(text, "*") != 0)
        while (i < STORE_OPERATION_COUNT && strcmp(store_operation_name(i), text) != 0)
            i++;
    else
        i = STORE_OPERATION_COUNT;
    if (i == STORE_OPERATION_COUNT && strcmp(text, "*") != 0)
        return -EINVAL;
    *ret_operation = i;
    return 0;
}

static int parse_class(const char *text, enum error_class *ret_class)
{
    for (unsigned i = ERROR_NONE + 1; i < ERROR_CLASS_COUNT; i++)
        if (strcmp(text, error_class_name(i)) == 0) {
            *ret_class = i;
            return 0;
        }
    return -EINVAL;
}

static int parse_percent(const char *text, uint64_t *ret_ppm)
{
    char *end;
    double percent = strtod(text, &end);

    if (end == text || *end || !(percent >= 0 && percent <= 100))
        return -EINVAL;
    *ret_ppm = (uint64_t)(percent * (double)(PPM / 100));
    return 0;
}

static int parse_field(struct fault_rule *rule, const struct field *field, const char *value)
{
    void *where = (char *)rule + field->offset;
    uint64_t number;

    switch (field->kind) {
    case FIELD_OPERATION: return parse_operation(value, where);
    case FIELD_CLASS: return parse_class(value, where);
    case FIELD_PERCENT: return parse_percent(value, where);
    case FIELD_COUNT: return parse_number(value, where);
    case FIELD_FLAG: *(bool *)where = true; return 0;
    case FIELD_GLOB:
        if (strlen(value) >= sizeof rule->key_glob)
            return -EINVAL;
        memcpy(where, value, strlen(value) + 1);
        return 0;
    case FIELD_MS:
    case FIELD_INT_MS:
        if (parse_number(value, &number) < 0 || number > 86400000)
            return -EINVAL;
        if (field->kind == FIELD_MS)
            *(int64_t *)where = (int64_t)number;
        else
            *(int *)where = (int)number;
        return 0;
    }
    return -EINVAL;
}

static int parse_word(struct fault_rule *rule, char *word)
{
    char *value = strchr(word, '=');

    if (value)
        *value++ = '\0';
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        if (strcmp(fields[i].name, word) == 0 && (value || fields[i].kind == FIELD_FLAG))
            return parse_field(rule, &fields[i], value);
    return -EINVAL;
}

/* ---- clauses -------------------------------------------------------------------------------- */

/* store= and seed=; false when the word is neither. */
static bool parse_setting(struct fault_rules *rules, const char *word)
{
    if (strncmp(word, "store=", 6) == 0 && strlen(word + 6) < sizeof rules->scheme) {
        strcpy(rules->scheme, word + 6);
        return true;
    }
    return strncmp(word, "seed=", 5) == 0 && parse_number(word + 5, &rules->random_state) == 0;
}

static int parse_clause(struct fault_rules *rules, char *clause, struct fault_rule ***end,
                        struct error *err)
{
    struct fault_rule rule = {.operation = STORE_OPERATION_COUNT,
                              .key_glob = "*",
                              .nth = 1,
                              .probability_ppm = PPM,
                              .effect = {.hit = true}};
    bool is_rule = false;
    char *rest = NULL;

    for (char *word = strtok_r(clause, " \t\n", &rest); word;
         word = strtok_r(NULL, " \t\n", &rest)) {
        if (parse_setting(rules, word))
            continue;
        if (parse_word(&rule, word) < 0)
            return error_set(err, ERROR_INVALID, "S3DLIO_FAULT: \"%s\" is no field of a fault rule",
                             word);
        is_rule = true;
    }
    if (!is_rule)
        return 0;
    **end = malloc(sizeof rule);
    if (!**end)
        return error_set(err, ERROR_NO_MEMORY, "no memory for a fault rule");
    rule.next = NULL;
    ***end = rule;
    *end = &(**end)->next;
    return 0; /* NOLINT(*-unix.Malloc): the list holds it */
}

int fault_rules_parse(struct fault_rules *rules, const char *text, struct error *err)
{
    struct fault_rules fresh = {0};
    struct fault_rule **end = &fresh.first;
    char *copy = strdup(text), *rest = NULL;
    int r = copy ? 0 : error_set(err, ERROR_NO_MEMORY, "no memory for fault rules");

    fresh.random_state = rules->random_state;
    if (copy)
        for (char *clause = strtok_r(copy, ";", &rest); clause && r == 0;
             clause = strtok_r(NULL, ";", &rest))
            r = parse_clause(&fresh, clause, &end, err);
    free(copy);
    if (r < 0) {
        fault_rules_fini(&fresh);
        return r;
    }
    for (end = &rules->first; *end;)
        end = &(*end)->next;
    *end = fresh.first;
    rules->random_state = fresh.random_state;
    if (fresh.scheme[0])
        memcpy(rules->scheme, fresh.scheme, sizeof rules->scheme);
    return 0;
}

void fault_rules_fini(struct fault_rules *rules)
{
    while (rules->first) {
        struct fault_rule *rule = rules->first;

        rules->first = rule->next;
        free(rule);
    }
}

/* ---- matching ------------------------------------------------------------------------------- */

static uint64_t draw_random(struct fault_rules *rules)
{
    uint64_t z = rules->random_state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static bool rule_matches(struct fault_rules *rules, struct fault_rule *rule,
                         const struct store_request *request)
{
    const char *key = request->key ? request->key : request->prefix ? request->prefix : "";

    if (rule->operation != STORE_OPERATION_COUNT && rule->operation != request->operation)
        return false;
    if (fnmatch(rule->key_glob, key, 0) != 0)
        return false;
    rule->seen++;
    if (rule->seen < rule->nth || (rule->count && rule->seen >= rule->nth + rule->count))
        return false;
    return rule->probability_ppm == PPM || draw_random(rules) % PPM < rule->probability_ppm;
}

static void plan_add(struct fault_plan *plan, const struct fault_plan *effect)
{
    plan->hit = true;
    plan->fail = effect->fail != ERROR_NONE ? effect->fail : plan->fail;
    plan->retry_after_ms = effect->retry_after_ms ? effect->retry_after_ms : plan->retry_after_ms;
    plan->error200 |= effect->error200;
    plan->lose |= effect->lose;
    plan->ignore |= effect->ignore;
    plan->changed |= effect->changed;
    plan->truncate |= effect->truncate;
    plan->delay_ms = effect->delay_ms ? effect->delay_ms : plan->delay_ms;
    plan->pause_ms = effect->pause_ms ? effect->pause_ms : plan->pause_ms;
    plan->after_bytes = effect->after_bytes ? effect->after_bytes : plan->after_bytes;
}

void fault_rules_draw(struct fault_rules *rules, const struct store_request *request,
                      struct fault_plan *ret_plan)
{
    *ret_plan = (struct fault_plan){0};
    for (struct fault_rule *rule = rules->first; rule; rule = rule->next)
        if (rule_matches(rules, rule, request))
            plan_add(ret_plan, &rule->effect);
}
