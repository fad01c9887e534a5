/*
 * Routing by method, level, query and header over one table; see ops.h. The first row that fits is
 * taken, so rows that ask for more come first.
 */
#include "ops.h"

#include "handlers.h"
#include "request.h"

#include <string.h>

#define NONE INTAKE_NONE
#define TEXT INTAKE_TEXT
#define LIST INTAKE_LIST
#define DATA INTAKE_DATA

static const struct op OPS[] = {
    {"ListBuckets", "GET", LEVEL_SERVICE, NULL, NULL, false, NONE, NULL, bucket_list_all},

    {"GetBucketLocation", "GET", LEVEL_BUCKET, "location", NULL, false, NONE, NULL,
     bucket_location},
    {"GetBucketVersioning", "GET", LEVEL_BUCKET, "versioning", NULL, false, NONE, NULL,
     bucket_versioning},
    {"ListMultipartUploads", "GET", LEVEL_BUCKET, "uploads", NULL, false, NONE, NULL,
     uploads_list_run},
    {"ListObjectsV2", "GET", LEVEL_BUCKET, "list-type", NULL, false, NONE, NULL, list_v2_run},
    {"ListObjects", "GET", LEVEL_BUCKET, NULL, NULL, false, NONE, NULL, list_v1_run},
    {"CreateBucket", "PUT", LEVEL_BUCKET, NULL, NULL, true, TEXT, NULL, bucket_create},
    {"HeadBucket", "HEAD", LEVEL_BUCKET, NULL, NULL, false, NONE, NULL, bucket_head},
    {"DeleteBucket", "DELETE", LEVEL_BUCKET, NULL, NULL, true, NONE, NULL, bucket_delete},
    {"DeleteObjects", "POST", LEVEL_BUCKET, "delete", NULL, true, TEXT, NULL, delete_many_run},

    {"ListParts", "GET", LEVEL_OBJECT, "uploadId", NULL, false, NONE, NULL, uploads_parts_run},
    {"GetObjectTagging", "GET", LEVEL_OBJECT, "tagging", NULL, false, NONE, NULL,
     attributes_tags_run},
    {"GetObject", "GET", LEVEL_OBJECT, NULL, NULL, false, NONE, NULL, get_run},
    {"HeadObject", "HEAD", LEVEL_OBJECT, NULL, NULL, false, NONE, NULL, get_run},
    {"UploadPartCopy", "PUT", LEVEL_OBJECT, "uploadId", "x-amz-copy-source", true, NONE, NULL,
     copy_part_run},
    {"UploadPart", "PUT", LEVEL_OBJECT, "uploadId", NULL, true, DATA, multipart_part_begin,
     multipart_part_run},
    {"CopyObject", "PUT", LEVEL_OBJECT, NULL, "x-amz-copy-source", true, NONE, NULL, copy_run},
    {"PutObject", "PUT", LEVEL_OBJECT, NULL, NULL, true, DATA, put_begin, put_run},
    {"AbortMultipartUpload", "DELETE", LEVEL_OBJECT, "uploadId", NULL, true, NONE, NULL,
     multipart_abort_run},
    {"DeleteObject", "DELETE", LEVEL_OBJECT, NULL, NULL, true, NONE, NULL, delete_run},
    {"CreateMultipartUpload", "POST", LEVEL_OBJECT, "uploads", NULL, true, NONE, NULL,
     multipart_create_run},
    {"CompleteMultipartUpload", "POST", LEVEL_OBJECT, "uploadId", NULL, true, LIST, NULL,
     complete_run},
};

enum { OP_COUNT = sizeof(OPS) / sizeof(OPS[0]) };

/* Functions of S3 that a plain GET or PUT must not be taken for, where no row asks for them. */
static const char *const ABSENT[] = {
    "accelerate",
    "acl",
    "analytics",
    "attributes",
    "cors",
    "encryption",
    "intelligent-tiering",
    "inventory",
    "legal-hold",
    "lifecycle",
    "logging",
    "metrics",
    "notification",
    "object-lock",
    "ownershipControls",
    "policy",
    "policyStatus",
    "publicAccessBlock",
    "replication",
    "requestPayment",
    "restore",
    "retention",
    "select",
    "tagging",
    "torrent",
    "versions",
    "website",
    "append",
    "renameObject",
};

static enum op_level level_of(const struct request *request)
{
    if (*request->key)
        return LEVEL_OBJECT;
    return *request->bucket ? LEVEL_BUCKET : LEVEL_SERVICE;
}

static bool fits(struct request *request, const struct op *op, enum op_level level)
{
    return op->level == level && !strcmp(op->method, request->method) &&
           (!op->query || request_has_query(request, op->query)) &&
           (!op->header || request_header(request, op->header));
}

static bool is_absent(struct request *request)
{
    for (size_t i = 0; i < sizeof(ABSENT) / sizeof(ABSENT[0]); i++)
        if (request_has_query(request, ABSENT[i]))
            return true;
    return false;
}

enum s3_error ops_route(struct request *request)
{
    enum op_level level = level_of(request);
    bool absent = is_absent(request);
    for (size_t i = 0; i < OP_COUNT; i++) {
        if (!fits(request, &OPS[i], level))
            continue;
        if (absent && !OPS[i].query)
            return S3_NotImplemented;
        request->op = &OPS[i];
        return S3_OK;
    }
    return absent ? S3_NotImplemented : S3_MethodNotAllowed;
}

unsigned ops_number(const struct op *op)
{
    return op ? (unsigned)(op - OPS) : OP_COUNT;
}

const char *ops_name(const struct op *op)
{
    return op ? op->name : "Unknown";
}

bool ops_uploads(const struct op *op)
{
    return op && op->intake == INTAKE_DATA;
}
