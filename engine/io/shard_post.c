/* Work that other threads hand to a shard, without its lock.
 *
 * A stack that any thread pushes to and the driving thread empties as a whole. Who pushes first
 * counts the shard as held, so that its thread does not end, and looks for a leader last; leaders
 * announce themselves before they look for posts, and so does the thread before it rests
 * (shard_take_lead, background_rest). One of the two sees the other.
 */
#include "io/shard_private.h"

#include <unistd.h>

bool shard_has_posts(const struct shard *shard)
{
    return atomic_load(&shard->posts) != NULL;
}

static void post_push(struct shard *shard, struct shard_post *post)
{
    struct shard_post *first = atomic_load(&shard->posts);

    do
        post->next = first;
    while (!atomic_compare_exchange_weak(&shard->posts, &first, post));
}

/* A leader is asleep, or about to look; else the shard's own thread is to. */
static void post_wake(struct shard *shard)
{
    uint64_t one = 1;

    if (atomic_load(&shard->leader) != 0) {
        (void)!write(atomic_load(&shard->wake_fd), &one, sizeof one);
        return;
    }
    if (shard_background_start(shard) == 0)
        shard_background_wake(shard);
}

void shard_post(struct shard *shard, struct shard_post *post)
{
    atomic_fetch_add(&shard->held, 1);
    post_push(shard, post);
    post_wake(shard);
}

int shard_try_post(struct shard *shard, struct shard_post *post)
{
    int rc = 0;

    atomic_fetch_add(&shard->held, 1);
    if (atomic_load(&shard->leader) == 0)
        rc = shard_background_start(shard);
    if (rc < 0) {
        atomic_fetch_sub(&shard->held, 1);
        return rc;
    }
    post_push(shard, post);
    post_wake(shard);
    return 0;
}

static struct shard_post *reversed(struct shard_post *post)
{
    struct shard_post *first = NULL, *next;

    for (; post; post = next) {
        next = post->next;
        post->next = first;
        first = post;
    }
    return first;
}

void shard_run_posts(struct shard *shard)
{
    struct shard_post *post, *next;

    if (!shard_has_posts(shard))
        return;
    for (post = reversed(atomic_exchange(&shard->posts, NULL)); post; post = next) {
        next = post->next;
        post->on_post(post);
        shard_release(shard);
    }
}
