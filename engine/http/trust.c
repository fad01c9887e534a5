/* Reading certificate authorities. Contract: trust.h.
 *
 * Files are read aside (io/aside.h) and outside the gate, parsed inside it. trust.lock guards the
 * list, which only grows (one entry a file named in a configuration). A file that could not be read
 * is tried again a second later. Entries pending under an older generation are started again.
 */
#include "http/trust.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "io/aside.h"
#include "io/gate.h"
#include "io/thread.h"

#define TRUST_FILE_MAX ((size_t)16 << 20)
#define TRUST_RETRY_NS NS_PER_S

struct trust {
    struct trust *next;
    char *ca_file;     /* "": the system's */
    X509_STORE *store; /* NULL: none yet */
    bool pending;
    uint64_t generation;
    int64_t retry_ns;
    struct error error; /* of the last attempt */
};

static struct {
    pthread_mutex_t lock;
    struct trust *list;
} trust = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* 0 or -errno, on the thread of its own. */
static int trust_read(const char *path, struct buffer *out)
{
    char chunk[16384];
    ssize_t n;
    int fd = open(path, O_RDONLY | O_CLOEXEC), rc = 0;

    if (fd < 0)
        return -errno;
    while (rc == 0 && (n = read(fd, chunk, sizeof chunk)) != 0) {
        if (n < 0)
            rc = -errno;
        else
            rc = buffer_append(out, chunk, (size_t)n);
    }
    close(fd);
    return rc;
}

/* How many certificates were found in the text. */
static unsigned trust_parse(X509_STORE *store, const struct buffer *text)
{
    BIO *bio = BIO_new_mem_buf(text->data, (int)text->length);
    STACK_OF(X509_INFO) *items = bio ? PEM_X509_INFO_read_bio(bio, NULL, NULL, NULL) : NULL;
    unsigned count = 0;

    for (int i = 0; items && i < sk_X509_INFO_num(items); i++) {
        const X509_INFO *item = sk_X509_INFO_value(items, i);

        if (item->x509 && X509_STORE_add_cert(store, item->x509))
            count++;
        if (item->crl)
            X509_STORE_add_crl(store, item->crl);
    }
    sk_X509_INFO_pop_free(items, X509_INFO_free);
    BIO_free(bio);
    ERR_clear_error();
    return count;
}

static const char *trust_path(const struct trust *entry)
{
    const curl_version_info_data *info = curl_version_info(CURLVERSION_NOW);

    if (entry->ca_file[0])
        return entry->ca_file;
    return info->cainfo ? info->cainfo : X509_get_default_cert_file();
}

/* Makes the store of what was read; inside the gate, no lock. NULL with *err. */
static X509_STORE *trust_build(const struct trust *entry, const struct buffer *text, int rc,
                               struct error *err)
{
    const curl_version_info_data *info = curl_version_info(CURLVERSION_NOW);
    const char *path = trust_path(entry);
    X509_STORE *store = X509_STORE_new();
    bool found;

    if (!store) {
        error_set(err, ERROR_NO_MEMORY, "no memory for certificate authorities");
        return NULL;
    }
    found = rc == 0 && trust_parse(store, text) > 0;
    if (!entry->ca_file[0] && info->capath && X509_STORE_load_path(store, info->capath))
        found = true;
    if (found)
        return store;
    X509_STORE_free(store);
    if (rc < 0)
        error_set(err, ERROR_TLS, "cannot read certificate authorities from %s: %s", path,
                  strerror(-rc));
    else
        error_set(err, ERROR_TLS, "no certificate in %s", path);
    return NULL;
}

static void trust_work(void *arg)
{
    struct trust *entry = arg;
    struct gate_scope scope;
    struct error err = {0};
    struct buffer text;
    X509_STORE *store;
    int rc;

    buffer_init(&text, TRUST_FILE_MAX);
    rc = trust_read(trust_path(entry), &text);
    gate_enter(&scope);
    store = trust_build(entry, &text, rc, &err);
    buffer_fini(&text);
    pthread_mutex_lock(&trust.lock);
    entry->store = store;
    entry->error = err;
    entry->retry_ns = clock_now_ns() + TRUST_RETRY_NS;
    entry->pending = false;
    pthread_mutex_unlock(&trust.lock);
    gate_leave(&scope);
}

static struct trust *trust_find(const char *ca_file)
{
    struct trust *entry = trust.list;

    while (entry && strcmp(entry->ca_file, ca_file) != 0)
        entry = entry->next;
    if (entry)
        return entry;
    entry = calloc(1, sizeof *entry);
    if (entry)
        entry->ca_file = strdup(ca_file);
    if (!entry || !entry->ca_file) {
        free(entry);
        return NULL;
    }
    entry->next = trust.list;
    trust.list = entry;
    return entry;
}

static int trust_get_locked(const char *ca_file, X509_STORE **ret_store, struct error *err)
{
    struct trust *entry = trust_find(ca_file);
    int rc;

    if (!entry)
        return error_set(err, ERROR_NO_MEMORY, "no memory for certificate authorities");
    if (entry->store) {
        *ret_store = entry->store;
        return 0;
    }
    if (entry->pending && entry->generation == gate_generation())
        return -EAGAIN;
    if (entry->error.class != ERROR_NONE && clock_now_ns() < entry->retry_ns) {
        if (err)
            *err = entry->error;
        return -error_errno(&entry->error);
    }
    rc = aside_start("s3dlio-ca", trust_work, entry);
    if (rc < 0)
        return thread_error(err, rc, "reading certificates");
    entry->pending = true;
    entry->generation = gate_generation();
    return -EAGAIN;
}

int trust_get(const char *ca_file, X509_STORE **ret_store, struct error *err)
{
    int rc;

    pthread_mutex_lock(&trust.lock);
    rc = trust_get_locked(ca_file ? ca_file : "", ret_store, err);
    pthread_mutex_unlock(&trust.lock);
    return rc;
}
