/* A page of a directory that the program opens files of, one after the other, without having listed
 * it (core/order_ascent.c): one LIST in the background. Its names become an order, and nothing else:
 * what they say of attributes may be older than anything that is trusted.
 *
 * One at a time. It is sent like a guess, where there is room for one, and not repeated; its answer is
 * looked at when the program opens its next file. As core/prefetch.h: any thread inside the gate that
 * holds no shard's lock and not the mutex.
 */
#ifndef S3DLIO_CORE_PREFETCH_PAGE_H
#define S3DLIO_CORE_PREFETCH_PAGE_H

struct engine;
struct order_wish;

/* What has come, if anything has. */
void prefetch_page_take(struct engine *engine);
/* prefetch->is_asking is set, by the caller and under the mutex; it ends with the answer. */
void prefetch_page_ask(struct engine *engine, const struct order_wish *wish);

#endif
