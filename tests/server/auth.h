/*
 * Who is asking: Signature Version 4 in the Authorization header or in the query, verified.
 */
#ifndef TESTS_SERVER_AUTH_H
#define TESTS_SERVER_AUTH_H

#include "errors.h"

struct request;

/*
 * Answers 0 or the error S3 would give; fills request->signer for signed chunks and
 * request->readonly. For a wrong region it adds <Region> and x-amz-bucket-region to the answer.
 */
enum s3_error auth_check(struct request *request);

#endif
