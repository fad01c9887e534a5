/* The groups of cases, one file each. Each runs as a cmocka group of its own and returns the
 * number of failed tests; a group that has nothing to say about the store under test returns 0
 * at once. */
#ifndef S3DLIO_TESTS_CONTRACT_CASES_H
#define S3DLIO_TESTS_CONTRACT_CASES_H

int cases_object(void);
int cases_range(void);
int cases_condition(void);
int cases_metadata(void);
int cases_list(void);
int cases_keys(void);
int cases_multipart(void);
int cases_body(void);
int cases_identity(void); /* servers: credentials, regions, endpoints */
int cases_core(void);     /* servers: what the engine makes of several requests */
int cases_fault(void);    /* the bundled server's faults */

#endif
