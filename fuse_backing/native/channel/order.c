#include "channel_state.h"

#include <sched.h>
#include <time.h>

#define MOST_YIELDS 128 /* about the time of a small write, which the other thread may be in */

static atomic_uint_fast64_t *place_of(struct order *order, uint64_t unique) {
    return &order->decided[unique / ORDER_STEP % ORDER_PLACES];
}

void order_decide(struct order *order, uint64_t unique) {
    atomic_uint_fast64_t *place = place_of(order, unique);
    uint64_t before = atomic_load(place);

    while (before < unique && !atomic_compare_exchange_weak(place, &before, unique))
        ;
}

/* Wait until the request is decided, but not after `end`. */
static bool is_decided_by(struct order *order, uint64_t unique, int64_t end) {
    static const struct timespec nap = {.tv_nsec = 50000};

    for (unsigned tries = 0; atomic_load(place_of(order, unique)) < unique; tries++) {
        if (tries < MOST_YIELDS) {
            sched_yield();
        } else {
            if (channel_now() > end)
                return false;
            nanosleep(&nap, NULL);
        }
    }
    return true;
}

void order_wait(struct order *order, uint64_t unique) {
    uint64_t behind = (ORDER_PLACES - 1) * ORDER_STEP;
    uint64_t first = unique > behind ? unique - behind : ORDER_STEP;
    int64_t end;
    bool complete = true;

    if (atomic_load(&order->lost) >= ORDER_MOST_LOST)
        return;
    end = channel_now() + order->patience;
    for (uint64_t each = first; each < unique; each += ORDER_STEP)
        if (!is_decided_by(order, each, end)) {
            order_decide(order, each); /* no other write waits for it */
            complete = false;
        }
    if (complete)
        atomic_store(&order->lost, 0);
    else
        atomic_fetch_add(&order->lost, 1);
}
