/* Names to addresses, without ever blocking the caller or opening a descriptor that a program's
 * close could hit: lookups run aside (io/aside.h), answers are kept for a minute.
 *
 * Connections are spread over all addresses of a name in turn; one that could not be reached is
 * passed over for a while. Any thread, inside the gate. A fork child begins with what was known.
 */
#ifndef S3DLIO_HTTP_RESOLVER_H
#define S3DLIO_HTTP_RESOLVER_H

#include "base/error.h"

#define RESOLVER_ADDRESS_MAX 64 /* "fe80::1%interface" and NUL */

/* The next address of the host, as text. 0; -EAGAIN: a lookup is under way, ask again soon; or
 * -errno with ERROR_DNS. */
int resolver_next(const char *host, char ret_address[RESOLVER_ADDRESS_MAX], struct error *err);
/* How many addresses are known; 1 for a literal. */
unsigned resolver_count(const char *host);
/* The address did not answer: the others first from now on. */
void resolver_failed(const char *host, const char *address);

#endif
