/*
 * Operations on whole buckets, and the list of them.
 */
#include "handlers.h"
#include "request.h"
#include "server.h"
#include "xml.h"

#include <string.h>

#define OWNER "<Owner><ID>s3server</ID><DisplayName>s3server</DisplayName></Owner>"

enum s3_error bucket_list_all(struct request *request)
{
    struct store *store = &request->server->store;
    struct buf *out = &request->answer.text;
    const char *prefix = request_query(request, "prefix");
    buf_add(out, XML_HEADER "<ListAllMyBucketsResult" XML_NAMESPACE ">" OWNER "<Buckets>");
    store_read_lock(store);
    for (const struct bucket *bucket = store->buckets; bucket; bucket = bucket->next) {
        if (prefix && strncmp(bucket->name, prefix, strlen(prefix)))
            continue;
        buf_add(out, "<Bucket>");
        xml_element(out, "Name", bucket->name);
        xml_element_date(out, "CreationDate", bucket->created);
        xml_element(out, "BucketRegion", bucket->region);
        buf_add(out, "</Bucket>");
    }
    store_unlock(store);
    buf_add(out, "</Buckets></ListAllMyBucketsResult>");
    answer_xml(request, 200);
    return S3_OK;
}

static bool take_location(void *context, const char *path, const char *text)
{
    char *region = context;
    if (!strcmp(path, "CreateBucketConfiguration/LocationConstraint") &&
        strlen(text) < STORE_REGION_BYTES)
        strcpy(region, text);
    return true;
}

enum s3_error bucket_create(struct request *request)
{
    struct server *server = request->server;
    const struct buf *text = &request->intake.text;
    char region[STORE_REGION_BYTES] = "";
    strncpy(region, server->config.region, sizeof(region) - 1);
    if (text->length && !xml_walk(text->data, text->length, take_location, region))
        return S3_MalformedXML;
    enum s3_error error =
        store_bucket_create(&server->store, request->bucket, region, server_now(server));
    if (error)
        return error;
    char location[STORE_BUCKET_BYTES + 1] = "/";
    strcat(location, request->bucket);
    answer_header(request, "Location", location);
    answer_empty(request, 200);
    return S3_OK;
}

enum s3_error bucket_head(struct request *request)
{
    char region[STORE_REGION_BYTES];
    if (!store_bucket_region(&request->server->store, request->bucket, region))
        return S3_NoSuchBucket;
    answer_header(request, "x-amz-bucket-region", region);
    answer_empty(request, 200);
    return S3_OK;
}

enum s3_error bucket_delete(struct request *request)
{
    enum s3_error error = store_bucket_remove(&request->server->store, request->bucket);
    if (!error)
        answer_empty(request, 204);
    return error;
}

enum s3_error bucket_location(struct request *request)
{
    char region[STORE_REGION_BYTES];
    if (!store_bucket_region(&request->server->store, request->bucket, region))
        return S3_NoSuchBucket;
    /* us-east-1 has no name of its own here, for historical reasons of S3's. */
    const char *name = strcmp(region, "us-east-1") ? region : "";
    buf_printf(&request->answer.text,
               XML_HEADER "<LocationConstraint" XML_NAMESPACE ">%s</LocationConstraint>", name);
    answer_xml(request, 200);
    return S3_OK;
}

enum s3_error bucket_versioning(struct request *request)
{
    char region[STORE_REGION_BYTES];
    if (!store_bucket_region(&request->server->store, request->bucket, region))
        return S3_NoSuchBucket;
    buf_add(&request->answer.text, XML_HEADER "<VersioningConfiguration" XML_NAMESPACE "/>");
    answer_xml(request, 200);
    return S3_OK;
}
