/*
 * The functions behind the rows of ops.c, by file. Each gets a routed, authorised request and
 * answers 0, having filled request->answer, or the error to answer with.
 */
#ifndef TESTS_SERVER_HANDLERS_H
#define TESTS_SERVER_HANDLERS_H

#include "errors.h"

struct request;

/* bucket.c */
enum s3_error bucket_list_all(struct request *request);
enum s3_error bucket_create(struct request *request);
enum s3_error bucket_head(struct request *request);
enum s3_error bucket_delete(struct request *request);
enum s3_error bucket_location(struct request *request);
enum s3_error bucket_versioning(struct request *request);

/* attributes.c: GetObjectTagging */
enum s3_error attributes_tags_run(struct request *request);

/* get.c: GetObject and HeadObject */
enum s3_error get_run(struct request *request);

/* put.c */
enum s3_error put_begin(struct request *request);
enum s3_error put_run(struct request *request);

/* delete.c */
enum s3_error delete_run(struct request *request);
enum s3_error delete_many_run(struct request *request);

/* copy.c */
enum s3_error copy_run(struct request *request);
enum s3_error copy_part_run(struct request *request);

/* list.c */
enum s3_error list_v1_run(struct request *request);
enum s3_error list_v2_run(struct request *request);

/* multipart.c */
enum s3_error multipart_create_run(struct request *request);
enum s3_error multipart_part_begin(struct request *request);
enum s3_error multipart_part_run(struct request *request);
enum s3_error multipart_abort_run(struct request *request);

/* complete.c */
enum s3_error complete_run(struct request *request);

/* uploads.c */
enum s3_error uploads_list_run(struct request *request);
enum s3_error uploads_parts_run(struct request *request);

#endif
