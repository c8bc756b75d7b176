/* These tests check what the plane serves, and that no reader uses a mapping after a holder has found its pool idle.
 * They run three times: the readers transfer data themselves, send it from the mapped file, and take requests.
 *
 * The last test has the form of a pool at work: readers read and write their own blocks, while a holder moves blocks to
 * other places of the file, forgets mappings and closes devices. Each block has its own content, so a read or write in a
 * place that the block no longer has is seen. */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "native_test.h"
#include "plane/pages.h"
#include "plane/plane.h"
#include "plane/table.h"

enum { HANDLE = 7, BLOCKS = 64, READERS = 3, ROUNDS = 3000, SLOTS = 4 };

static bool takes, sends;
static bool sent; /* the last read that was served */

/* Copy what is sent to the data of the request. */
static void copied(void *sender, struct iovec *content, unsigned count) {
    char *data = sender;

    for (unsigned i = 1; i < count; i++) {
        memcpy(data, content[i].iov_base, content[i].iov_len);
        data += content[i].iov_len;
    }
}

static struct plane_request a_request(enum plane_kind kind, uint64_t offset, uint32_t size, char *data) {
    return (struct plane_request){kind, HANDLE, offset, size, data, takes ? data : NULL, false,
                                  sends ? copied : NULL, data};
}

/* Serve a request, and wait for it if it is taken. */
static bool served(struct plane *plane, unsigned reader, const struct plane_request *request) {
    struct plane_completion completion;

    switch (plane_serve(plane, reader, request)) {
    case PLANE_SERVED:
        sent = false;
        return true;
    case PLANE_SENT:
        sent = true;
        return true;
    case PLANE_TAKEN:
        CHECK(takes && plane_taken(plane, reader) == 1);
        CHECK(!plane_is_idle(plane, request->handle));
        while (!plane_completed(plane, reader, &completion))
            plane_wait(plane, reader, -1, false);
        CHECK(completion.owner == request->owner && plane_taken(plane, reader) == 0);
        return completion.served;
    case PLANE_LEFT:
        break;
    }
    return false;
}

static void free_plane(struct plane *plane) {
    for (unsigned i = 0; i < READERS; i++)
        plane_leave(plane, i);
    plane_free(plane);
}

static struct plane *plane_on(int fd, int *pool) {
    struct plane *plane = plane_new(READERS, 4 << 20);

    *pool = plane_pool_open(plane, fd, BLOCK, takes ? PLANE_TAKES : sends ? PLANE_MAPS : PLANE_TRANSFERS);
    CHECK(*pool >= 0);
    CHECK(plane_open(plane, HANDLE, *pool, BLOCKS * BLOCK) == 0);
    plane_set(plane, HANDLE, PLANE_READS | PLANE_WRITES | PLANE_FLUSHES);
    plane_release(plane, HANDLE); /* it is opened with one hold */
    return plane;
}

static void test_what_is_known_is_served(void) {
    int fd = file_with(BLOCKS), pool;
    struct plane *plane = plane_on(fd, &pool);
    uint32_t entries[] = {table_entry(5, true), table_entry(6, true), table_entry(2, false), TABLE_UNMAPPED};
    char data[5 * BLOCK], zeros[BLOCK] = {0};
    struct plane_request request = a_request(PLANE_READ, 0, BLOCK, data);
    struct plane_counts counts;

    CHECK(!served(plane, 0, &request)); /* nothing is known yet */
    plane_learn(plane, HANDLE, 0, entries, 4);
    CHECK(plane_knows(plane, HANDLE, 0, 4) && !plane_knows(plane, HANDLE, 3, 2));
    memset(data, 'w', 2 * BLOCK);
    request = a_request(PLANE_WRITE, 512, 2 * BLOCK - 512, data);
    CHECK(served(plane, 0, &request));
    CHECK(pread(fd, data, BLOCK, 5 * BLOCK) == BLOCK && data[511] == 'x' && data[512] == 'w');
    CHECK(pread(fd, data, BLOCK, 6 * BLOCK) == BLOCK && data[0] == 'w' && data[BLOCK - 1] == 'w');
    request = a_request(PLANE_READ, 0, 4 * BLOCK, data);
    CHECK(served(plane, 1, &request)); /* mapped, shared and unmapped blocks */
    CHECK(sent == sends);
    CHECK(data[511] == 'x' && data[512] == 'w' && data[2 * BLOCK] == 'x');
    CHECK(memcmp(data + 3 * BLOCK, zeros, BLOCK) == 0);
    request = a_request(PLANE_WRITE, 2 * BLOCK, 512, data);
    CHECK(!served(plane, 0, &request)); /* shared */
    request = a_request(PLANE_WRITE, BLOCK, 2 * BLOCK, data);
    CHECK(!served(plane, 0, &request)); /* in part */
    request = a_request(PLANE_WRITE, 3 * BLOCK, 512, data);
    CHECK(!served(plane, 0, &request)); /* unmapped */
    request = a_request(PLANE_READ, 3 * BLOCK, 2 * BLOCK, data);
    CHECK(!served(plane, 0, &request)); /* unknown in part */
    request = a_request(PLANE_READ, BLOCKS * BLOCK - 512, 1024, data);
    CHECK(!served(plane, 0, &request)); /* beyond the end */
    request = a_request(PLANE_FLUSH, 0, 0, NULL);
    CHECK(served(plane, 0, &request));
    request.handle = HANDLE + 4096;
    CHECK(!served(plane, 0, &request)); /* another device in the same place */
    counts = plane_pool_counts(plane, pool);
    CHECK(counts.reads == 1 && counts.writes == 1 && counts.flushes == 1);
    CHECK(counts.read_bytes == 4 * BLOCK && counts.written_bytes == 2 * BLOCK - 512);
    free_plane(plane);
    close(fd);
}

static void test_what_is_held_forgotten_or_not_wanted_is_left_to_python(void) {
    int fd = file_with(BLOCKS), pool;
    struct plane *plane = plane_on(fd, &pool);
    uint32_t entry = table_entry(1, true);
    char data[BLOCK];
    struct plane_request read = a_request(PLANE_READ, 0, BLOCK, data), write = a_request(PLANE_WRITE, 0, BLOCK, data);

    memset(data, 'y', sizeof data);
    plane_learn(plane, HANDLE, 0, &entry, 1);
    CHECK(served(plane, 0, &read) && served(plane, 0, &write));
    plane_hold(plane, HANDLE);
    plane_pool_hold(plane, pool);
    CHECK(!served(plane, 0, &read) && plane_is_idle(plane, HANDLE) && plane_pool_is_idle(plane, pool));
    plane_release(plane, HANDLE);
    CHECK(!served(plane, 0, &read));
    plane_pool_release(plane, pool);
    CHECK(served(plane, 0, &read));
    plane_set(plane, HANDLE, PLANE_READS);
    CHECK(served(plane, 0, &read) && !served(plane, 0, &write));
    plane_forget(plane, HANDLE, 0, 1);
    CHECK(!served(plane, 0, &read));
    CHECK(plane_open(plane, HANDLE + 4096, pool, BLOCK) != 0); /* its place is taken */
    plane_close(plane, HANDLE);
    CHECK(!served(plane, 0, &read));
    CHECK(plane_open(plane, HANDLE + 4096, pool, BLOCK) == 0);
    free_plane(plane);
    close(fd);
}

static void test_tables_stay_within_their_bytes(void) {
    int fd = file_with(1), pool;
    struct plane *plane = plane_new(1, 4 * sizeof(struct table_page));
    uint32_t entry = table_entry(0, true);

    pool = plane_pool_open(plane, fd, BLOCK, takes ? PLANE_TAKES : sends ? PLANE_MAPS : PLANE_TRANSFERS);
    CHECK(plane_open(plane, HANDLE, pool, (uint64_t)BLOCK * TABLE_PAGE_ENTRIES * 100) == 0);
    for (uint64_t page = 0; page < 100; page++) {
        plane_learn(plane, HANDLE, page * TABLE_PAGE_ENTRIES, &entry, 1);
        CHECK(plane_knows(plane, HANDLE, page * TABLE_PAGE_ENTRIES, 1));
        CHECK(plane_table_bytes(plane) <= 4 * sizeof(struct table_page));
        if (page >= 4)
            CHECK(!plane_knows(plane, HANDLE, (page - 4) * TABLE_PAGE_ENTRIES, 1)); /* the oldest has gone */
    }
    free_plane(plane);
    close(fd);
}

static void test_no_page_is_used_again_while_a_reader_may_see_it(void) {
    atomic_uint_fast64_t turn = 1;
    const atomic_uint_fast64_t *turns[] = {&turn};
    struct pages *pages = pages_new(2, turns, 1);
    struct table *table = table_new(TABLE_PAGE_ENTRIES * 5);

    CHECK(pages_give(pages, table, 0) != NULL && pages_give(pages, table, 1) != NULL);
    for (size_t place = 2; place < 5; place++)
        CHECK(pages_give(pages, table, place) == NULL);
    /* One page is taken away, and no second one while that waits for the reader. */
    CHECK(atomic_load(&table->pages[0]) == NULL && atomic_load(&table->pages[1]) != NULL);
    turn = 2;
    CHECK(pages_give(pages, table, 2) != NULL && atomic_load(&table->pages[1]) != NULL);
    CHECK(pages_give(pages, table, 3) != NULL && atomic_load(&table->pages[1]) == NULL);
    turn = 3;
    pages_drop(pages, table, 2);
    pages_drop(pages, table, 3);
    CHECK(pages_give(pages, table, 4) == NULL); /* no table has a page */
    turn = 4;
    CHECK(pages_give(pages, table, 4) != NULL && pages_used(pages) == 2);
    pages_free(pages);
    table_free(table);
}

static void test_a_transfer_that_fails_is_left_to_python(void) {
    int fd = file_with(2), pool;
    struct plane *plane = plane_on(fd, &pool);
    uint32_t entries[] = {table_entry(0, true), table_entry(1, true), table_entry(9, true)};
    char data[2 * BLOCK];
    struct plane_request request = a_request(PLANE_READ, 2 * BLOCK, BLOCK, data);

    memset(data, 'z', sizeof data);
    plane_learn(plane, HANDLE, 0, entries, 3);
    CHECK(!served(plane, 0, &request)); /* beyond the end of the file */
    CHECK(ftruncate(fd, 10 * BLOCK) == 0);
    CHECK(served(plane, 0, &request)); /* the file is larger than what is mapped of it */
    CHECK(data[0] == 0 && data[BLOCK - 1] == 0 && !sent);
    memset(data, 'z', sizeof data);
    if (takes) { /* not by pwrite(2) */
        CHECK(plane_pool_is_idle(plane, pool) && plane_is_idle(plane, HANDLE));
        free_plane(plane);
        close(fd);
        return;
    }
    pwrite_short = 100;
    pwrite_errno = ENOSPC;
    request = a_request(PLANE_WRITE, 0, BLOCK, data);
    CHECK(!served(plane, 0, &request));
    pwrite_errno = 0; /* the host writes in two parts */
    CHECK(served(plane, 0, &request));
    pwrite_short = 0;
    CHECK(pread(fd, data, BLOCK, 0) == BLOCK && data[0] == 'z' && data[BLOCK - 1] == 'z');
    free_plane(plane);
    close(fd);
}

/* The pool at work. Block b of the device always has the byte b + 1; places that no block has are full of zeros. */
static struct {
    struct plane *plane;
    int pool, fd;
    atomic_bool ended;
    atomic_int served;
} work;

struct slot {
    bool busy;
    unsigned block;
    char data[BLOCK];
};

static void check_slot(struct slot *slot) {
    slot->busy = false;
    atomic_fetch_add(&work.served, 1);
    for (size_t i = 0; i < BLOCK; i++)
        CHECK(slot->data[i] == (char)(slot->block + 1));
}

static void complete(unsigned reader) {
    struct plane_completion completion;

    while (plane_completed(work.plane, reader, &completion)) {
        CHECK(completion.served);
        check_slot((struct slot *)((char *)completion.owner - offsetof(struct slot, data)));
    }
}

static void *reads_and_writes(void *argument) {
    unsigned reader = (unsigned)(uintptr_t)argument;
    unsigned seed = reader;
    struct slot slots[SLOTS] = {0};

    for (unsigned i = 0; !atomic_load(&work.ended); i = (i + 1) % SLOTS) {
        bool write = rand_r(&seed) % 2;
        struct slot *slot = &slots[i];
        struct plane_request request;

        while (slot->busy || (plane_taken(work.plane, reader) > 0 && rand_r(&seed) % 8 == 0)) {
            plane_wait(work.plane, reader, -1, false);
            complete(reader);
        }
        slot->block = (unsigned)rand_r(&seed) % BLOCKS;
        request = a_request(write ? PLANE_WRITE : PLANE_READ, slot->block * BLOCK, BLOCK, slot->data);
        if (write)
            memset(slot->data, (int)slot->block + 1, BLOCK);
        switch (plane_serve(work.plane, reader, &request)) {
        case PLANE_SERVED:
        case PLANE_SENT:
            check_slot(slot);
            break;
        case PLANE_TAKEN:
            slot->busy = true;
            break;
        case PLANE_LEFT: /* the holder may wait for what this reader has taken */
            if (plane_taken(work.plane, reader) > 0)
                plane_wait(work.plane, reader, -1, false);
            complete(reader);
        }
    }
    while (plane_taken(work.plane, reader) > 0) {
        plane_wait(work.plane, reader, -1, false);
        complete(reader);
    }
    plane_leave(work.plane, reader);
    return NULL;
}

static void move(uint32_t *places, bool *taken, unsigned block) {
    char data[BLOCK] = {0};
    uint32_t to = places[block];
    uint32_t entry;

    while (taken[to])
        to = (to + 1) % (2 * BLOCKS);
    plane_pool_hold(work.plane, work.pool);
    plane_await(work.plane, true);
    while (!plane_pool_is_idle(work.plane, work.pool))
        ;
    plane_await(work.plane, false);
    /* Nobody else is at work now: the content moves, and the old place must stay full of zeros from here on. */
    CHECK(pwrite(work.fd, data, BLOCK, (off_t)places[block] * BLOCK) == BLOCK);
    memset(data, (int)block + 1, sizeof data);
    CHECK(pwrite(work.fd, data, BLOCK, (off_t)to * BLOCK) == BLOCK);
    taken[places[block]] = false;
    taken[to] = true;
    places[block] = to;
    plane_forget(work.plane, HANDLE, block, 1);
    entry = table_entry(to, true);
    if (block % 3 != 0) /* every third block stays unknown until its next move */
        plane_learn(work.plane, HANDLE, block, &entry, 1);
    plane_pool_release(work.plane, work.pool);
}

static void test_no_reader_uses_a_place_that_a_block_has_left(void) {
    pthread_t threads[READERS];
    uint32_t places[BLOCKS];
    bool taken[2 * BLOCKS] = {false};
    char data[BLOCK], zeros[BLOCK] = {0};

    work.fd = file_with(2 * BLOCKS);
    work.plane = plane_on(work.fd, &work.pool);
    atomic_store(&work.ended, false);
    atomic_store(&work.served, 0);
    for (unsigned i = 0; i < 2 * BLOCKS; i++)
        CHECK(pwrite(work.fd, zeros, BLOCK, (off_t)i * BLOCK) == BLOCK);
    for (unsigned i = 0; i < BLOCKS; i++) {
        places[i] = i;
        taken[i] = true;
        memset(data, (int)i + 1, sizeof data);
        CHECK(pwrite(work.fd, data, BLOCK, (off_t)i * BLOCK) == BLOCK);
    }
    for (unsigned i = 0; i < READERS; i++)
        CHECK(pthread_create(&threads[i], NULL, reads_and_writes, (void *)(uintptr_t)i) == 0);
    for (unsigned round = 0; round < ROUNDS || atomic_load(&work.served) < 1000; round++) {
        if (round % 100 == 99) { /* the device is removed, and comes again */
            plane_hold(work.plane, HANDLE);
            while (!plane_is_idle(work.plane, HANDLE))
                ;
            plane_close(work.plane, HANDLE);
            CHECK(plane_open(work.plane, HANDLE, work.pool, BLOCKS * BLOCK) == 0);
            plane_set(work.plane, HANDLE, PLANE_READS | PLANE_WRITES);
            plane_release(work.plane, HANDLE);
        }
        move(places, taken, round % BLOCKS);
    }
    atomic_store(&work.ended, true);
    for (unsigned i = 0; i < READERS; i++)
        pthread_join(threads[i], NULL);
    for (uint32_t place = 0; place < 2 * BLOCKS; place++)
        if (!taken[place]) {
            CHECK(pread(work.fd, data, BLOCK, (off_t)place * BLOCK) == BLOCK);
            CHECK(memcmp(data, zeros, BLOCK) == 0);
        }
    plane_free(work.plane);
    close(work.fd);
}

static void test_a_plane(void) {
    test_what_is_known_is_served();
    test_what_is_held_forgotten_or_not_wanted_is_left_to_python();
    test_tables_stay_within_their_bytes();
    test_no_page_is_used_again_while_a_reader_may_see_it();
    test_a_transfer_that_fails_is_left_to_python();
    test_no_reader_uses_a_place_that_a_block_has_left();
}

void test_the_plane(void) {
    test_a_plane();
    sends = true;
    test_a_plane();
    sends = false;
    takes = true;
    test_a_plane();
    takes = false;
}
