/* Closing connections that were idle for as long as they may be.
 *
 * A client with idle connections has one job with the dialer, due when the first of them may be too
 * old; it looks at all pools and posts itself again while some are left. So an idle process wakes
 * up once for each idle timeout, and not at all after the last. The job runs on the dialer's thread
 * and locks shards. Whoever adds an idle connection counts it before it looks at sweep_posted; the
 * job takes that back before it looks at the count: one of the two posts.
 */
#include "http/client_private.h"

/* Closes what is too old. When the next will be; CLOCK_NEVER: there is none. */
static int64_t sweep_pool(struct http_pool *pool, int64_t timeout_ns, int64_t now_ns)
{
    struct http_connection *connection, *next;
    int64_t next_ns = CLOCK_NEVER;

    shard_lock(pool->shard);
    for (connection = pool->idle; connection; connection = next) {
        int64_t until_ns = connection->activity_ns + timeout_ns;

        next = connection->next;
        if (until_ns <= now_ns)
            http_connection_close(connection);
        else if (until_ns < next_ns)
            next_ns = until_ns;
    }
    shard_unlock(pool->shard);
    return next_ns;
}

static void post(struct http_client *client, int64_t at_ns);

static void sweep(struct dialer_job *job)
{
    struct http_client *client =
        (struct http_client *)(void *)((char *)job - offsetof(struct http_client, sweep));
    int64_t now_ns = clock_now_ns(), next_ns = CLOCK_NEVER;

    for (unsigned i = 0; i < HTTP_SHARDS_MAX && !atomic_load(&client->closing); i++) {
        struct http_pool *pool = atomic_load(&client->pools[i]);
        int64_t at_ns = pool ? sweep_pool(pool, client->idle_timeout_ns, now_ns) : CLOCK_NEVER;

        if (at_ns < next_ns)
            next_ns = at_ns;
    }
    atomic_store(&client->sweep_posted, false);
    if (atomic_load(&client->idle) > 0 && !atomic_load(&client->closing))
        post(client, next_ns == CLOCK_NEVER ? now_ns + client->idle_timeout_ns : next_ns);
    http_client_unuse(client);
}

static void post(struct http_client *client, int64_t at_ns)
{
    if (atomic_exchange(&client->sweep_posted, true))
        return;
    http_client_use(client);
    client->sweep = (struct dialer_job){.run = sweep, .at_ns = at_ns, .hurry = &client->closing};
    if (dialer_post(&client->sweep) < 0) {
        atomic_store(&client->sweep_posted, false);
        http_client_unuse(client);
    }
}

void http_pool_plan_sweep(struct http_client *client)
{
    if (!atomic_load(&client->sweep_posted))
        post(client, clock_now_ns() + client->idle_timeout_ns);
}
