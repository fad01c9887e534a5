/* Epochs: all names of a set are opened, then all of them again in another sequence, and so on.
 *
 * Opens are cut into passes. In the first, names become known. A pass ends with the first name that
 * is opened again when (nearly) all of them were: it was complete, and after it those that were not
 * opened yet are certain to come in the next, each as likely as the others. Two kinds of opens are
 * odd: of a name that had its turn while many are still to come, and of a name that is new. A few
 * odd ones stop the guessing for a while; more of them, and the pass is none: it begins anew and has
 * to be complete before anything is guessed again. So programs that choose by chance, or open a
 * different part of the set each time, as workers do among whom it is divided, get no guesses.
 *
 * A guess is made only when all that is left will be opened within the time that it keeps, at the
 * pace of this pass and the one before, pauses included. After a single complete pass some names
 * must have been opened as expected, and guesses are a part of them; after two, there may be as many
 * as were opened. A name that is opened again right away has been opened once.
 */
#include "core/order_private.h"

#include <string.h>

#define NAMES_MIN   16u
#define TOLERATED   16u /* a part of the names: may be left at the end of a pass, or odd in it */
#define ODD_PART    32u /* of the opens of a pass, as long as there are guesses */
#define PROOF_PART  8u  /* of the names: opened as expected, when the pass before was the first */
#define PROOF_MIN   8u
#define GUESS_PART  4u /* of what was opened then */
#define AT_ONCE     4u /* opens: the same name among them is no second time */
#define SPARE_SHARE 4u /* of all guesses: for orders that know who is next */

static unsigned tolerated(const struct order *opened)
{
    return opened->count / TOLERATED + 1;
}

static unsigned left(const struct order_epoch *epoch, const struct order *opened)
{
    return opened->count > epoch->opened ? opened->count - epoch->opened : 0;
}

static unsigned proof(const struct order_epoch *epoch, const struct order *opened)
{
    if (epoch->complete > 1)
        return 1;
    return opened->count / PROOF_PART > PROOF_MIN ? opened->count / PROOF_PART : PROOF_MIN;
}

static bool is_learning(const struct order_epoch *epoch)
{
    return epoch->learning == epoch->floor;
}

/* ---- passes ---------------------------------------------------------------------------------- */

/* The first of its names is being opened. */
static void begin_pass(struct order_epoch *epoch, const struct order *opened, bool is_complete,
                       int64_t now_ns)
{
    if (!is_complete && epoch->ahead > 0)
        epoch->wrong++;
    if (!is_learning(epoch))
        epoch->learning = 0;
    epoch->complete = is_complete ? epoch->complete + 1 : 0;
    epoch->before.began_ns = epoch->began_ns;
    epoch->before.opened = epoch->opened;
    epoch->began_ns = now_ns;
    epoch->floor = ++epoch->pass;
    epoch->opened = epoch->early;
    epoch->early = epoch->odd = epoch->ahead = 0;
    epoch->is_spoiled = false;
    epoch->cursor = opened->first;
    epoch->guess = NULL;
}

/* All that was opened once before the first new name is part of learning the names. */
static void go_on_learning(struct order_epoch *epoch, const struct order *opened)
{
    epoch->floor = epoch->learning;
    epoch->opened = opened->count - 1;
    epoch->began_ns = epoch->before.began_ns;
    epoch->complete = epoch->ahead = epoch->odd = 0;
}

static void note_odd(struct order_epoch *epoch, const struct order *opened, int64_t now_ns)
{
    if (++epoch->odd > tolerated(opened))
        begin_pass(epoch, opened, false, now_ns);
}

static void note_time(struct order_epoch *epoch, int64_t now_ns)
{
    epoch->serial++;
    epoch->last_ns = now_ns;
}

static void mark(struct order_epoch *epoch, struct order_name *name)
{
    name->epoch.pass = epoch->pass;
    name->epoch.serial = epoch->serial;
    epoch->opened++;
}

void order_epoch_note_new(struct order_epoch *epoch, const struct order *opened,
                          struct order_name *name, int64_t now_ns)
{
    note_time(epoch, now_ns);
    if (!epoch->pass) {
        begin_pass(epoch, opened, false, now_ns);
        epoch->learning = epoch->floor;
    } else if (!is_learning(epoch) && epoch->learning && epoch->opened < proof(epoch, opened)) {
        go_on_learning(epoch, opened);
    } else if (!is_learning(epoch)) {
        epoch->learning = 0;
        note_odd(epoch, opened, now_ns);
    }
    mark(epoch, name);
}

/* It has had its turn in this pass. */
static void note_repeated(struct order_epoch *epoch, const struct order *opened,
                          struct order_name *name, int64_t now_ns)
{
    uint32_t pass = epoch->pass;

    if (name->epoch.is_early) {
        name->epoch.is_early = false;
        return;
    }
    if (left(epoch, opened) > tolerated(opened)) {
        note_odd(epoch, opened, now_ns);
        if (epoch->pass == pass)
            return;
    } else {
        begin_pass(epoch, opened, true, now_ns);
    }
    mark(epoch, name);
}

void order_epoch_note_again(struct order_epoch *epoch, const struct order *opened,
                            struct order_name *name, int64_t now_ns)
{
    bool is_at_once = epoch->serial - name->epoch.serial < AT_ONCE;

    note_time(epoch, now_ns);
    if (name->epoch.pass < epoch->floor) {
        epoch->ahead -= epoch->ahead > 0 && name->epoch.guessed == epoch->pass;
        mark(epoch, name);
    } else if (!is_at_once) {
        note_repeated(epoch, opened, name, now_ns);
    } else if (left(epoch, opened) == 0 && name->epoch.pass == epoch->pass) {
        name->epoch.pass++; /* the second time, or the first of the next pass */
        name->epoch.is_early = true;
        epoch->early++;
    }
    name->epoch.serial = epoch->serial;
}

/* ---- guesses --------------------------------------------------------------------------------- */

/* Between opens, on average. Guesses that were right make it shorter: what this pass alone says
 * counts once it has come far. */
static int64_t interval_ns(const struct order_epoch *epoch, const struct order *opened)
{
    unsigned count = epoch->opened;
    int64_t began_ns = epoch->began_ns;

    if (count < opened->count / 2) {
        count += epoch->before.opened;
        began_ns = epoch->before.began_ns;
    }
    return count > 0 ? (epoch->last_ns - began_ns) / count : INT64_MAX;
}

static bool is_in_time(const struct orders *orders, const struct order *opened)
{
    const struct order_epoch *epoch = &orders->epoch;
    int64_t each_ns = interval_ns(epoch, opened);

    return each_ns <= orders->keep_ns / ORDER_KEEP_SHARE / (left(epoch, opened) + 1);
}

static unsigned depth(const struct orders *orders)
{
    const struct order_epoch *epoch = &orders->epoch;
    unsigned most = orders->depth_max - orders->depth_max / SPARE_SHARE;
    unsigned earned = epoch->complete > 1 ? epoch->opened : epoch->opened / GUESS_PART;

    return earned < most ? earned : most;
}

static bool is_epoch(const struct order_epoch *epoch, const struct order *opened)
{
    return epoch->complete > 0 && epoch->wrong < ORDER_WRONG_MAX && !epoch->is_spoiled &&
           opened->count >= NAMES_MIN && epoch->opened >= proof(epoch, opened) &&
           epoch->odd * ODD_PART <= epoch->opened;
}

struct order_name *order_epoch_guess(struct orders *orders, const struct order *opened)
{
    struct order_epoch *epoch = &orders->epoch;
    struct order_name *name;

    if (!is_epoch(epoch, opened) || epoch->ahead >= depth(orders) || !is_in_time(orders, opened))
        return NULL;
    while (epoch->cursor && epoch->cursor->epoch.pass >= epoch->floor)
        epoch->cursor = epoch->cursor->next;
    name = epoch->cursor;
    if (!name)
        return NULL;
    name->epoch.guessed = epoch->pass;
    epoch->ahead++;
    epoch->guess = name;
    epoch->cursor = name->next;
    return name;
}

void order_epoch_take_back(struct order_epoch *epoch)
{
    if (!epoch->guess)
        return;
    epoch->guess->epoch.guessed = 0;
    epoch->cursor = epoch->guess;
    epoch->ahead--;
    epoch->guess = NULL;
}

/* Those of the pass before were left out of it: a few at its end. */
bool order_epoch_note_unused(struct order_epoch *epoch, const struct order_name *name)
{
    if (!name->epoch.guessed || name->epoch.guessed + 1 < epoch->pass)
        return false;
    if (name->epoch.guessed == epoch->pass && !epoch->is_spoiled) {
        epoch->is_spoiled = true;
        epoch->wrong++;
    }
    return true;
}

void order_epoch_forget(struct order_epoch *epoch, const struct order_name *name)
{
    if (!name) {
        *epoch = (struct order_epoch){.wrong = epoch->wrong};
        return;
    }
    if (name == epoch->cursor)
        epoch->cursor = name->next;
    if (name == epoch->guess)
        epoch->guess = NULL;
    if (name->epoch.pass >= epoch->floor && epoch->opened > 0)
        epoch->opened--;
    if (name->epoch.guessed == epoch->pass && name->epoch.pass < epoch->floor && epoch->ahead > 0)
        epoch->ahead--;
}
