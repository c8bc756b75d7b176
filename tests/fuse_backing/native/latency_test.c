/* These tests check the latencies: each duration has its bucket, threads lose none, and the channel measures each kind of
 * request once. */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "latency/latency.h"
#include "native_test.h"
#include "wire.h"

static struct latency_reading reading; /* too large for the stack of a thread */

static void test_each_duration_is_in_a_bucket_that_is_at_most_3_percent_wide(void) {
    struct latencies *latencies = latencies_new();
    uint64_t last = 0;

    CHECK(latencies != NULL);
    for (size_t bucket = 1; bucket < LATENCY_BUCKETS; bucket++) { /* the buckets have no gaps and no overlaps */
        uint64_t low = latency_bound(bucket - 1) + 1, high = latency_bound(bucket);

        CHECK(high >= low && (high - low + 1) * LATENCY_PARTS <= (low > LATENCY_PARTS ? low : LATENCY_PARTS));
        latency_record(latencies, LATENCY_PUNCH, low, true);
        latency_record(latencies, LATENCY_PUNCH, high, false);
        latency_read(latencies, LATENCY_PUNCH, &reading);
        CHECK(reading.buckets[bucket] == 2);
        last = high;
    }
    latency_record(latencies, LATENCY_PUNCH, UINT64_MAX / 2, true); /* beyond the last bucket */
    latency_read(latencies, LATENCY_PUNCH, &reading);
    CHECK(reading.count == 2 * (LATENCY_BUCKETS - 1) + 1 && reading.buckets[LATENCY_BUCKETS - 1] == 3);
    CHECK(last > 3600000000000ull); /* the longest delay of a planned fault */
    CHECK(reading.longest == UINT64_MAX / 2 && reading.native == LATENCY_BUCKETS);
    latencies_restart_longest(latencies);
    latency_record(latencies, LATENCY_PUNCH, 7, true);
    latency_record(latencies, LATENCY_PUNCH, 5, true);
    latency_read(latencies, LATENCY_PUNCH, &reading);
    CHECK(reading.longest == UINT64_MAX / 2 && reading.longest_since == 7);
    latency_record(latencies, LATENCY_NONE, 5, true); /* counts nowhere */
    for (unsigned kind = 0; kind < LATENCY_PUNCH; kind++) {
        latency_read(latencies, kind, &reading);
        CHECK(reading.count == 0 && reading.longest == 0 && reading.sum == 0);
    }
    latencies_free(latencies);
}

static void *record_many(void *argument) {
    for (uint64_t i = 0; i < 50000; i++)
        latency_record(argument, LATENCY_ZERO, i, i % 2 == 0);
    return NULL;
}

static void test_threads_lose_no_latency(void) {
    struct latencies *latencies = latencies_new();
    pthread_t threads[4];

    CHECK(latencies != NULL);
    for (int i = 0; i < 4; i++)
        CHECK(pthread_create(&threads[i], NULL, record_many, latencies) == 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    latency_read(latencies, LATENCY_ZERO, &reading);
    CHECK(reading.count == 200000 && reading.native == 100000 && reading.longest == 49999);
    CHECK(reading.sum == 4 * (49999ull * 50000 / 2));
    latencies_free(latencies);
}

/* The thread counts a request after it has answered, so a reader may have to wait for the count. */
static const struct latency_reading *counted(struct wire *wire, unsigned kind, uint64_t count) {
    do {
        sched_yield();
        latency_read(channel_latencies(wire->channel), kind, &reading);
    } while (reading.count < count);
    return &reading;
}

static void test_the_channel_measures_each_kind_of_request(void) {
    struct wire wire = wire_new(false);
    int gate = channel_gate(wire.channel), fd = file_with(16);
    uint32_t file = account_file(wire.account);
    struct protocol_read_in in = {.fh = (uint64_t)fd, .size = BLOCK};
    struct protocol_fallocate_in change = {.fh = (uint64_t)fd, .length = BLOCK, .mode = PUNCH};
    struct protocol_setattr_in attributes = {.valid = PROTOCOL_SETATTR_SIZE};
    struct channel_request *left;
    char buffer[8192];
    size_t size;

    channel_limit(wire.channel, 1 << 20);
    CHECK(channel_announce(wire.channel, fd, gate, file, BLOCK) == 0);
    request(&wire, PROTOCOL_READ, 2, &in, sizeof in);
    CHECK(answered(&wire, 2, buffer, sizeof buffer, &size) == 0);
    CHECK(counted(&wire, PROTOCOL_READ, 1)->native == 1 && reading.sum == reading.longest && reading.sum > 0);
    request(&wire, PROTOCOL_FALLOCATE, 4, &change, sizeof change);
    CHECK(answered(&wire, 4, NULL, 0, NULL) == 0 && counted(&wire, LATENCY_PUNCH, 1)->native == 1);
    change.mode = 0; /* an allocation, which Python serves */
    request(&wire, PROTOCOL_FALLOCATE, 6, &change, sizeof change);
    left = left_to_python(&wire, PROTOCOL_FALLOCATE);
    latency_read(channel_latencies(wire.channel), LATENCY_ALLOCATE, &reading);
    CHECK(reading.count == 0); /* it is not answered yet */
    usleep(2000);
    CHECK(channel_reply(wire.channel, left, 0, NULL, 0));
    channel_request_free(wire.channel, left);
    CHECK(answered(&wire, 6, NULL, 0, NULL) == 0);
    CHECK(counted(&wire, LATENCY_ALLOCATE, 1)->native == 0 && reading.longest >= 2000000);
    request(&wire, PROTOCOL_SETATTR, 8, &attributes, sizeof attributes);
    taken(&wire, buffer, sizeof buffer);
    reply(&wire, 8, NULL, 0);
    CHECK(counted(&wire, LATENCY_TRUNCATE, 1)->count == 1);
    attributes.valid = 1;
    request(&wire, PROTOCOL_SETATTR, 10, &attributes, sizeof attributes);
    taken(&wire, buffer, sizeof buffer);
    reply(&wire, 10, NULL, 0);
    CHECK(counted(&wire, PROTOCOL_SETATTR, 1)->count == 1);
    request(&wire, PROTOCOL_FORGET, 12, buffer, 8); /* has no answer */
    taken(&wire, buffer, sizeof buffer);
    latency_read(channel_latencies(wire.channel), PROTOCOL_FORGET, &reading);
    CHECK(reading.count == 0);
    channel_forget(wire.channel, fd);
    close(fd);
    wire_free(&wire);
}

void test_the_latencies(void) {
    test_each_duration_is_in_a_bucket_that_is_at_most_3_percent_wide();
    test_threads_lose_no_latency();
    test_the_channel_measures_each_kind_of_request();
}
