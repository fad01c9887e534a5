/*
 * The errors S3 answers with: one table of code, status and message.
 *
 * Operations return 0 or one of these; answer.c turns it into status and XML.
 */
#ifndef TESTS_SERVER_ERRORS_H
#define TESTS_SERVER_ERRORS_H

#define S3_ERRORS(row)                                                                             \
	row(AccessDenied, 403, "Access Denied")                                                    \
	row(AuthorizationHeaderMalformed, 400,                                                     \
	    "The authorization header you provided is invalid; the region is wrong or missing.")   \
	row(AuthorizationQueryParametersError, 400, "The query-string authentication is invalid.") \
	row(BadDigest, 400, "The checksum you specified did not match what we received.")          \
	row(BucketAlreadyExists, 409, "The requested bucket name is not available.")               \
	row(BucketAlreadyOwnedByYou, 409, "You already own this bucket.")                          \
	row(BucketNotEmpty, 409, "The bucket you tried to delete is not empty.")                   \
	row(EntityTooLarge, 400, "Your proposed upload exceeds the maximum allowed size.")         \
	row(EntityTooSmall, 400, "Your proposed upload is smaller than the minimum allowed size.") \
	row(ExpiredToken, 400, "The provided token has expired.")                                  \
	row(IncompleteBody, 400, "You did not provide the number of bytes you announced.")         \
	row(InternalError, 500, "We encountered an internal error. Please try again.")             \
	row(InvalidAccessKeyId, 403, "The access key ID you provided does not exist.")             \
	row(InvalidArgument, 400, "Invalid argument.")                                             \
	row(InvalidBucketName, 400, "The specified bucket is not valid.")                          \
	row(InvalidDigest, 400, "The Content-MD5 you specified is not valid.")                     \
	row(InvalidPart, 400, "A specified part was not found, or its ETag did not match.")        \
	row(InvalidPartOrder, 400, "The list of parts was not in ascending order.")                \
	row(InvalidRange, 416, "The requested range is not satisfiable.")                          \
	row(InvalidRequest, 400, "Invalid request.")                                               \
	row(InvalidToken, 400, "The provided token is malformed or otherwise invalid.")            \
	row(InvalidURI, 400, "Couldn't parse the specified URI.")                                  \
	row(KeyTooLongError, 400, "Your key is too long.")                                         \
	row(MalformedXML, 400, "The XML you provided was not well-formed.")                        \
	row(MetadataTooLarge, 400, "Your metadata headers exceed the maximum allowed size.")       \
	row(MethodNotAllowed, 405, "The method is not allowed against this resource.")             \
	row(MissingContentLength, 411, "You must provide the Content-Length HTTP header.")         \
	row(NoSuchBucket, 404, "The specified bucket does not exist.")                             \
	row(NoSuchKey, 404, "The specified key does not exist.")                                   \
	row(NoSuchUpload, 404, "The specified multipart upload does not exist.")                   \
	row(NotImplemented, 501, "The server does not provide this function.")                     \
	row(NotModified, 304, "Not Modified")                                                      \
	row(PermanentRedirect, 301, "The bucket must be addressed using another endpoint.")        \
	row(PreconditionFailed, 412, "At least one of the preconditions did not hold.")            \
	row(RequestTimeTooSkewed, 403, "The request time and the server's differ too much.")       \
	row(SignatureDoesNotMatch, 403, "The signature does not match the one we calculated.")     \
	row(SlowDown, 503, "Please reduce your request rate.")                                     \
	row(XAmzContentSHA256Mismatch, 400, "x-amz-content-sha256 does not match the payload.")

enum s3_error {
	S3_OK,
#define S3_ERROR_NAME(code, status, message) S3_##code,
	S3_ERRORS(S3_ERROR_NAME)
#undef S3_ERROR_NAME
	S3_ERROR_COUNT,
};

struct s3_error_row {
	const char *code;
	unsigned status;
	const char *message;
};

extern const struct s3_error_row S3_ERROR_ROWS[S3_ERROR_COUNT];

#endif
