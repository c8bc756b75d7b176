/* These tests check the order of writes: a later one waits for all earlier requests, but not forever. */
#include <pthread.h>
#include <sched.h>
#include <time.h>

#include "channel/order.h"
#include "native_test.h"

#define THREADS 4
#define REQUESTS 20000
#define FOREVER 100000000000 /* nanoseconds */

static struct order order;
static atomic_uint_fast64_t next, last;
static atomic_bool begun, passed;

static void restart(int64_t patience) {
    order.patience = patience;
    for (size_t i = 0; i < ORDER_PLACES; i++)
        atomic_store(&order.decided[i], 0);
    atomic_store(&order.lost, 0);
}

static void *wait_for_lower(void *argument) {
    atomic_store(&begun, true);
    order_wait(&order, *(uint64_t *)argument);
    atomic_store(&passed, true);
    return NULL;
}

static void test_a_write_waits_for_each_earlier_request(void) {
    static const struct timespec nap = {.tv_nsec = 1000000};
    uint64_t unique = 8;
    pthread_t thread;

    restart(FOREVER);
    atomic_store(&begun, false);
    atomic_store(&passed, false);
    order_decide(&order, 2);
    order_decide(&order, 6);
    CHECK(pthread_create(&thread, NULL, wait_for_lower, &unique) == 0);
    while (!atomic_load(&begun))
        sched_yield();
    nanosleep(&nap, NULL);
    order_decide(&order, 4);
    CHECK(pthread_join(thread, NULL) == 0 && atomic_load(&passed));
    CHECK(atomic_load(&order.lost) == 0); /* it has not waited in vain */
}

static void *read_and_pass(void *argument) {
    (void)argument;
    for (;;) {
        uint64_t unique = atomic_fetch_add(&next, ORDER_STEP);

        if (unique > REQUESTS)
            return NULL;
        if (unique % 3 == 0) /* a late reader */
            sched_yield();
        order_wait(&order, unique);
        CHECK(atomic_exchange(&last, unique) == unique - ORDER_STEP);
        order_decide(&order, unique);
    }
}

static void test_threads_pass_in_the_order_of_the_numbers(void) {
    pthread_t threads[THREADS];

    restart(FOREVER);
    atomic_store(&next, ORDER_STEP);
    atomic_store(&last, 0);
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, read_and_pass, NULL) == 0);
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
}

static void test_a_lost_number_holds_one_write_up_and_a_kernel_that_loses_many_none(void) {
    restart(ORDER_PATIENCE / 10);
    order_decide(&order, 2);
    order_wait(&order, 6); /* 4 never comes */
    CHECK(atomic_load(&order.lost) == 1);
    order_decide(&order, 6);
    order_wait(&order, 8);
    CHECK(atomic_load(&order.lost) == 0);
    for (uint64_t i = 0; i < ORDER_MOST_LOST; i++) {
        CHECK(atomic_load(&order.lost) == i);
        order_wait(&order, 12 + 4 * i); /* every second number is missing */
        order_decide(&order, 12 + 4 * i);
    }
    order_wait(&order, 1000000);
    CHECK(atomic_load(&order.lost) == ORDER_MOST_LOST);
}

void test_the_order(void) {
    test_a_write_waits_for_each_earlier_request();
    test_threads_pass_in_the_order_of_the_numbers();
    test_a_lost_number_holds_one_write_up_and_a_kernel_that_loses_many_none();
}
