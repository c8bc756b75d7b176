/* The order of writes keeps the writes that Python serves in the order in which the kernel has sent them.
 *
 * Several readers read one connection. The kernel numbers its requests in steps of two and hands them out in that order
 * (fs/fuse/dev.c, fuse_get_unique), but a reader may be late with its own. A reader that leaves a write to Python first
 * waits until every request with a lower number is *decided*: it is served or queued, or it is no write.
 *
 * A number that never comes, because its request was withdrawn, holds one write up for the time of `patience`. Where
 * such numbers are the rule, the order gives up.
 */
#ifndef FUSE_BACKING_CHANNEL_ORDER_H
#define FUSE_BACKING_CHANNEL_ORDER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define ORDER_STEP 2           /* FUSE_REQ_ID_STEP */
#define ORDER_PLACES 256       /* a request that is further behind is no longer waited for */
#define ORDER_PATIENCE 5000000 /* nanoseconds, for a channel */
#define ORDER_MOST_LOST 64     /* writes in a row that waited in vain */

struct order {
    int64_t patience; /* nanoseconds; the rest is zero at first */
    atomic_uint_fast64_t decided[ORDER_PLACES]; /* the highest number that was decided, of those with this place */
    atomic_uint lost;                           /* writes in a row that waited in vain */
};

/* Note that a request is decided; call it for each request that is read. */
void order_decide(struct order *order, uint64_t unique);

/* Return whether every request before `unique` is decided, or, after the time `end`, is no longer waited for. */
bool order_is_complete(struct order *order, uint64_t unique, int64_t end);

/* Wait until every request before `unique` is decided. */
void order_wait(struct order *order, uint64_t unique);

#endif
