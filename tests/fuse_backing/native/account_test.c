/* These tests check the account: threads lose no event, absurd events do no harm, and names are bounded. */
#include <pthread.h>
#include <stdint.h>

#include "account/account.h"
#include "native_test.h"

static struct account *shared;

static void *record_many(void *argument) {
    uint32_t file = *(uint32_t *)argument;

    for (uint64_t i = 0; i < 50000; i++) {
        struct account_event event = {.file = file, .offset = i << 16, .length = 1 << 16, .allocated = BLOCK,
                                      .freed = BLOCK};

        account_record(shared, &event);
        if (i % 1000 == 0)
            account_arm(shared);
    }
    return NULL;
}

static void test_threads_lose_no_event(void) {
    pthread_t threads[4];
    uint32_t files[4];
    uint64_t last = 0;
    struct account_event room[512];
    struct account_histogram offsets, moments;
    int64_t started;
    uint64_t freed = 0;

    shared = account_new(1024);
    CHECK(shared != NULL);
    for (int i = 0; i < 4; i++) {
        files[i] = account_file(shared);
        CHECK(pthread_create(&threads[i], NULL, record_many, &files[i]) == 0);
    }
    while (last < 200000) { /* a reader that runs with the writers sees no gaps within a batch */
        size_t count = account_events(shared, last + 1, room, 512);

        for (size_t i = 1; i < count; i++)
            CHECK(room[i].sequence == room[i - 1].sequence + 1);
        if (count > 0)
            last = room[count - 1].sequence;
    }
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    CHECK(account_sum(shared).events == 200000 && account_sum(shared).freed == 200000ull * BLOCK);
    CHECK(account_by_offset(shared, files[2], &offsets));
    for (int i = 0; i < ACCOUNT_BUCKETS; i++)
        freed += offsets.buckets[i].freed;
    CHECK(freed == 50000ull * BLOCK);
    account_by_time(shared, &moments, &started);
    account_free(shared);
}

static void test_absurd_events_do_no_harm(void) {
    struct account *account = account_new(1);
    uint32_t file = account_file(account);
    struct account_event absurd[] = {
        {.file = file, .offset = UINT64_MAX, .length = UINT64_MAX},
        {.file = file, .offset = UINT64_MAX - 1, .length = 1},
        {.file = file, .offset = INT64_MAX, .length = 1},
        {.file = file, .offset = 0, .length = INT64_MAX, .freed = UINT64_MAX},
        {.file = UINT32_MAX, .offset = 1, .length = 1},
        {.file = file, .operation = ACCOUNT_FSYNC, .fault = 1},
        {.file = file, .time = INT64_MAX, .length = 1},
        {.file = file, .time = INT64_MIN, .length = 1},
    };
    struct account_totals totals;
    struct account_histogram histogram;

    for (size_t i = 0; i < sizeof absurd / sizeof *absurd; i++)
        CHECK(account_record(account, &absurd[i]) == i + 1);
    CHECK(!account_file_sum(account, UINT32_MAX, &totals) && !account_by_offset(account, 7, &histogram));
    CHECK(account_file_sum(account, file, &totals) && totals.events == 7 && totals.faults == 1);
    account_free(account);
}

static void test_names_are_bounded(void) {
    struct account *account = account_new(1);

    for (uint32_t i = 0; i < ACCOUNT_MOST_FILES; i++)
        CHECK(account_file(account) == i);
    CHECK(account_file(account) == UINT32_MAX);
    account_free(account);
}

void test_the_account(void) {
    test_threads_lose_no_event();
    test_absurd_events_do_no_harm();
    test_names_are_bounded();
}
