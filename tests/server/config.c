/*
 * Command line parsing over one table; see config.h. `--help` is printed from the same rows, and
 * tests/server/README.md explains them at length.
 */
#include "config.h"

#include "encode.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum option_type { FLAG, TEXT, NUMBER, DECIMAL, LIST, SPECIAL };

struct option_row {
    const char *name;
    enum option_type type;
    size_t offset;                                           /* in struct config */
    bool (*parse)(struct config *config, const char *value); /* SPECIAL */
    const char *argument;
    const char *help;
};

static bool parse_key(struct config *config, const char *value);
static bool parse_etag(struct config *config, const char *value);
static bool parse_network(struct config *config, const char *value);

#define AT(member) offsetof(struct config, member)

static const struct option_row OPTIONS[] = {
    {"address", TEXT, AT(address), NULL, "IP", "listen here (127.0.0.1)"},
    {"port", NUMBER, AT(port), NULL, "N", "listen on this port; 0 picks a free one (0)"},
    {"port-file", TEXT, AT(port_file), NULL, "FILE", "written with the port once ready"},
    {"memory", FLAG, AT(memory), NULL, NULL, "keep objects in memory (the default)"},
    {"dir", TEXT, AT(directory), NULL, "DIR", "keep objects in a directory"},
    {"discard", FLAG, AT(discard), NULL, NULL, "check uploads, then answer with the pattern"},
    {"bucket", LIST, AT(buckets), NULL, "NAME[@REGION]", "create a bucket; repeatable"},
    {"synthetic", LIST, AT(synthetic), NULL, "BUCKET/KEY=SIZE[*COUNT]",
     "an object of the pattern; with COUNT, % in KEY is its number; repeatable"},
    {"access-key", TEXT, AT(access_key), NULL, "AK", "the first access key (test)"},
    {"secret-key", TEXT, AT(secret_key), NULL, "SK", "its secret (testsecret)"},
    {"key", SPECIAL, 0, parse_key, "AK:SK[:TOKEN[:expired|readonly]]", "a further key; repeatable"},
    {"anonymous", FLAG, AT(anonymous), NULL, NULL, "ask for no signature"},
    {"region", TEXT, AT(region), NULL, "NAME", "the server's region (us-east-1)"},
    {"domain", TEXT, AT(domain), NULL, "NAME", "take BUCKET.NAME hosts as that bucket's"},
    {"tls-cert", TEXT, AT(tls_cert), NULL, "FILE", "speak TLS with this certificate chain"},
    {"tls-key", TEXT, AT(tls_key), NULL, "FILE", "and this key"},
    {"etag", SPECIAL, 0, parse_etag, "random|md5", "what ETags are made of (random)"},
    {"copy-conditions", FLAG, AT(copy_conditions), NULL, NULL,
     "honour If-Match and If-None-Match on the destination of a copy"},
    {"min-part-bytes", NUMBER, AT(min_part_bytes), NULL, "N",
     "smallest part but the last (5242880)"},
    {"threads", NUMBER, AT(threads), NULL, "N", "polling threads (2)"},
    {"idle-timeout-s", NUMBER, AT(idle_timeout_s), NULL, "N",
     "close a connection idle that long; 0 never (600)"},
    {"buffer-bytes", NUMBER, AT(buffer_bytes), NULL, "N",
     "memory of a connection, and limit of its headers (262144)"},
    {"network", SPECIAL, 0, parse_network, "NAME",
     "lan, cloud, far, throttled, flaky or heavy; later options change single values"},
    {"first-byte-ms", DECIMAL, AT(network.first_byte_ms), NULL, "MS", "median delay"},
    {"first-byte-sigma", DECIMAL, AT(network.first_byte_sigma), NULL, "S",
     "of the lognormal around the median"},
    {"tail-percent", DECIMAL, AT(network.tail_percent), NULL, "P", "of the requests take longer"},
    {"tail-factor", DECIMAL, AT(network.tail_factor), NULL, "F", "by this factor"},
    {"seed", NUMBER, AT(network.seed), NULL, "N", "of all that is random (1)"},
    {"down-mbps", DECIMAL, AT(network.down_mbps), NULL, "MB", "MB/s sent per connection"},
    {"up-mbps", DECIMAL, AT(network.up_mbps), NULL, "MB", "MB/s received per connection"},
    {"max-in-flight", NUMBER, AT(network.max_in_flight), NULL, "N",
     "503 SlowDown above that many requests at once"},
    {"reset-percent", DECIMAL, AT(network.reset_percent), NULL, "P",
     "of the requests are reset at a random byte"},
    {"stall-percent", DECIMAL, AT(network.stall_percent), NULL, "P",
     "of the requests stall at a random byte"},
};

enum { OPTION_COUNT = sizeof(OPTIONS) / sizeof(OPTIONS[0]) };

static const struct {
    const char *name;
    struct network network;
} NETWORKS[] = {
    {"lan", {.first_byte_ms = 0}},
    {"cloud",
     {.first_byte_ms = 30,
      .first_byte_sigma = 0.1,
      .tail_percent = 1,
      .tail_factor = 10,
      .down_mbps = 90,
      .up_mbps = 20}},
    {"far",
     {.first_byte_ms = 100,
      .first_byte_sigma = 0.1,
      .tail_percent = 1,
      .tail_factor = 10,
      .down_mbps = 10,
      .up_mbps = 10}},
    {"throttled", {.first_byte_ms = 30, .first_byte_sigma = 0.1, .max_in_flight = 40}},
    {"flaky", {.reset_percent = 1, .stall_percent = 1}},
    {"heavy",
     {.first_byte_ms = 30,
      .first_byte_sigma = 1.0,
      .tail_percent = 1,
      .tail_factor = 10,
      .down_mbps = 90,
      .up_mbps = 20}},
};

static bool set_text(char **field, const char *value)
{
    char *copy = strdup(value);
    if (!copy)
        return false;
    free(*field);
    *field = copy;
    return true;
}

static bool list_add(struct config_list *list, const char *value)
{
    char **items = realloc(list->items, (list->count + 1) * sizeof(*items));
    if (!items)
        return false;
    list->items = items;
    items[list->count] = strdup(value);
    return items[list->count++] != NULL;
}

static struct credential *credential_add(struct config *config)
{
    size_t bytes = (config->credential_count + 1) * sizeof(struct credential);
    struct credential *credentials = realloc(config->credentials, bytes);
    if (!credentials)
        return NULL;
    config->credentials = credentials;
    struct credential *added = &credentials[config->credential_count++];
    *added = (struct credential){0};
    return added;
}

static bool parse_key(struct config *config, const char *value)
{
    struct credential *credential = credential_add(config);
    char *copy = credential ? strdup(value) : NULL;
    if (!copy)
        return false;
    char *rest = copy;
    char *access = strsep(&rest, ":");
    char *secret = strsep(&rest, ":");
    char *token = strsep(&rest, ":");
    bool ok = secret && *access && *secret && set_text(&credential->access_key, access) &&
              set_text(&credential->secret_key, secret);
    if (ok && token && *token)
        ok = set_text(&credential->token, token);
    if (ok && rest) {
        credential->expired = !strcmp(rest, "expired");
        credential->readonly = !strcmp(rest, "readonly");
        ok = credential->expired || credential->readonly;
    }
    free(copy);
    return ok;
}

static bool parse_etag(struct config *config, const char *value)
{
    config->etag_md5 = !strcmp(value, "md5");
    return config->etag_md5 || !strcmp(value, "random");
}

static bool parse_network(struct config *config, const char *value)
{
    for (size_t i = 0; i < sizeof(NETWORKS) / sizeof(NETWORKS[0]); i++) {
        if (strcmp(NETWORKS[i].name, value))
            continue;
        uint64_t seed = config->network.seed;
        config->network = NETWORKS[i].network;
        config->network.seed = seed;
        return true;
    }
    return false;
}

static bool parse_decimal(const char *text, double *field)
{
    char *end;
    errno = 0;
    double value = strtod(text, &end);
    if (errno || end == text || *end || !(value >= 0))
        return false;
    *field = value;
    return true;
}

static bool apply(const struct option_row *row, struct config *config, const char *value)
{
    char *field = (char *)config + row->offset;
    switch (row->type) {
    case FLAG: *(bool *)field = true; return true;
    case TEXT: return set_text((char **)field, value);
    case NUMBER: return encode_parse_u64(value, (uint64_t *)field);
    case DECIMAL: return parse_decimal(value, (double *)field);
    case LIST: return list_add((struct config_list *)field, value);
    case SPECIAL: return row->parse(config, value);
    }
    return false;
}

static void print_help(const char *program)
{
    printf("usage: %s [OPTION]...\nAn S3-compatible server for tests.\n\n", program);
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        char left[64];
        snprintf(left, sizeof(left), "--%s%s%s", OPTIONS[i].name, OPTIONS[i].argument ? " " : "",
                 OPTIONS[i].argument ? OPTIONS[i].argument : "");
        printf("  %-34s  %s\n", left, OPTIONS[i].help);
    }
}

static bool set_defaults(struct config *config)
{
    *config = (struct config){
        .min_part_bytes = 5u << 20,
        .threads = 2,
        .idle_timeout_s = 600,
        .buffer_bytes = 256u << 10,
        .network = {.seed = 1},
    };
    return set_text(&config->address, "127.0.0.1") && set_text(&config->region, "us-east-1") &&
           set_text(&config->access_key, "test") && set_text(&config->secret_key, "testsecret");
}

static const char *inconsistency(const struct config *config)
{
    if (config->memory && config->directory)
        return "--memory and --dir exclude each other";
    if (config->discard && config->directory)
        return "--discard and --dir exclude each other";
    if (!config->tls_cert != !config->tls_key)
        return "--tls-cert and --tls-key belong together";
    if (config->port > 65535)
        return "--port is at most 65535";
    if (config->threads < 1 || config->threads > 64)
        return "--threads is between 1 and 64";
    if (config->buffer_bytes < 16384 || config->buffer_bytes > 64u << 20)
        return "--buffer-bytes is between 16384 and 67108864";
    return NULL;
}

int config_parse(int argc, char **argv, struct config *ret_config, bool *ret_help)
{
    struct option options[OPTION_COUNT + 2] = {0};
    for (size_t i = 0; i < OPTION_COUNT; i++)
        options[i] = (struct option){OPTIONS[i].name, OPTIONS[i].type != FLAG, NULL, (int)i + 256};
    options[OPTION_COUNT] = (struct option){"help", 0, NULL, 'h'};
    if (!set_defaults(ret_config))
        return 1;
    int choice;
    while ((choice = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        if (choice == 'h') {
            print_help(argv[0]);
            *ret_help = true;
            return 0;
        }
        if (choice < 256)
            return 2;
        const struct option_row *row = &OPTIONS[choice - 256];
        if (!apply(row, ret_config, optarg)) {
            fprintf(stderr, "%s: --%s wants %s, not '%s'\n", argv[0], row->name, row->argument,
                    optarg);
            return 2;
        }
    }
    const char *problem = optind < argc ? "no operands are taken" : inconsistency(ret_config);
    if (problem) {
        fprintf(stderr, "%s: %s\n", argv[0], problem);
        return 2;
    }
    struct credential *first = credential_add(ret_config);
    if (!first || !set_text(&first->access_key, ret_config->access_key) ||
        !set_text(&first->secret_key, ret_config->secret_key))
        return 1;
    return 0;
}

static void list_fini(struct config_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
}

void config_fini(struct config *config)
{
    for (size_t i = 0; i < OPTION_COUNT; i++)
        if (OPTIONS[i].type == TEXT)
            free(*(char **)((char *)config + OPTIONS[i].offset));
    for (size_t i = 0; i < config->credential_count; i++) {
        free(config->credentials[i].access_key);
        free(config->credentials[i].secret_key);
        free(config->credentials[i].token);
    }
    free(config->credentials);
    list_fini(&config->buckets);
    list_fini(&config->synthetic);
}
