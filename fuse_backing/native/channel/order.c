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

bool order_is_complete(struct order *order, uint64_t unique, int64_t end) {
    uint64_t behind = (ORDER_PLACES - 1) * ORDER_STEP;
    uint64_t each = unique > behind ? unique - behind : ORDER_STEP;

    if (atomic_load(&order->lost) >= ORDER_MOST_LOST)
        return true;
    while (each < unique && atomic_load(place_of(order, each)) >= each)
        each += ORDER_STEP;
    if (each < unique && channel_now() <= end)
        return false;
    if (each < unique)
        atomic_fetch_add(&order->lost, 1);
    else
        atomic_store(&order->lost, 0);
    for (; each < unique; each += ORDER_STEP)
        order_decide(order, each); /* no other write waits for it */
    return true;
}

void order_wait(struct order *order, uint64_t unique) {
    static const struct timespec nap = {.tv_nsec = 50000};
    int64_t end = channel_now() + order->patience;

    for (unsigned tries = 0; !order_is_complete(order, unique, end); tries++)
        if (tries < MOST_YIELDS)
            sched_yield();
        else
            nanosleep(&nap, NULL);
}
