/*
 * DeleteObject and DeleteObjects. Deleting what is not there succeeds, as S3 has it, unless a
 * condition says otherwise.
 */
#include "handlers.h"
#include "request.h"
#include "server.h"
#include "xml.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_KEYS = 1000 };

enum s3_error delete_run(struct request *request)
{
    enum s3_error error = store_delete(&request->server->store, request->bucket, request->key,
                                       request_header(request, "If-Match"));
    if (error)
        return error;
    answer_empty(request, 204);
    return S3_OK;
}

struct doomed {
    char *key;
    char *etag; /* NULL: unconditionally */
};

struct delete_list {
    bool quiet;
    size_t count;
    struct doomed items[MAX_KEYS + 1];
    struct doomed current;
};

static void set(char **field, const char *text)
{
    free(*field);
    *field = strdup(text);
}

static bool visit(void *context, const char *path, const char *text)
{
    struct delete_list *list = context;
    if (!strcmp(path, "Delete/Quiet")) {
        list->quiet = !strcmp(text, "true");
    } else if (!strcmp(path, "Delete/Object/Key")) {
        set(&list->current.key, text);
    } else if (!strcmp(path, "Delete/Object/ETag")) {
        set(&list->current.etag, text);
    } else if (!strcmp(path, "Delete/Object")) {
        if (!list->current.key || list->count == MAX_KEYS)
            return false;
        list->items[list->count++] = list->current;
        list->current = (struct doomed){0};
    }
    return true;
}

static void delete_one(struct request *request, const struct doomed *item, bool quiet)
{
    struct buf *out = &request->answer.text;
    enum s3_error error =
        strlen(item->key) > STORE_KEY_MAX_BYTES
            ? S3_KeyTooLongError
            : store_delete(&request->server->store, request->bucket, item->key, item->etag);
    if (error) {
        buf_add(out, "<Error>");
        xml_element(out, "Key", item->key);
        xml_element(out, "Code", S3_ERROR_ROWS[error].code);
        xml_element(out, "Message", S3_ERROR_ROWS[error].message);
        buf_add(out, "</Error>");
    } else if (!quiet) {
        buf_add(out, "<Deleted>");
        xml_element(out, "Key", item->key);
        buf_add(out, "</Deleted>");
    }
}

enum s3_error delete_many_run(struct request *request)
{
    struct intake *intake = &request->intake;
    char region[STORE_REGION_BYTES];
    if (!intake->check_md5 && !intake->check_sum)
        return S3_InvalidRequest; /* S3 wants either */
    if (!store_bucket_region(&request->server->store, request->bucket, region))
        return S3_NoSuchBucket;
    struct delete_list *list = calloc(1, sizeof(*list));
    if (!list)
        return S3_InternalError;
    enum s3_error error = S3_MalformedXML;
    if (xml_walk(intake->text.data, intake->text.length, visit, list) && list->count) {
        buf_add(&request->answer.text, XML_HEADER "<DeleteResult" XML_NAMESPACE ">");
        for (size_t i = 0; i < list->count; i++)
            delete_one(request, &list->items[i], list->quiet);
        buf_add(&request->answer.text, "</DeleteResult>");
        answer_xml(request, 200);
        error = S3_OK;
    }
    for (size_t i = 0; i < list->count; i++) {
        free(list->items[i].key);
        free(list->items[i].etag);
    }
    free(list->current.key);
    free(list->current.etag);
    free(list);
    return error;
}
