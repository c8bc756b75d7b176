/* These tests check the end of a channel: it comes at once in every state of the thread, and leaves nothing open. */
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "native_test.h"
#include "wire.h"

#define ENDS 300

static int open_descriptors(void) {
    DIR *directory = opendir("/proc/self/fd");
    int count = 0;

    CHECK(directory != NULL);
    while (readdir(directory) != NULL)
        count++;
    closedir(directory);
    return count;
}

/* At one moment a signal alone would be lost: the thread has seen that it must continue, and has not begun to read. */
static void test_an_end_just_before_a_read_is_not_lost(void) {
    for (int i = 0; i < 20; i++) {
        struct wire wire;

        hold_reads = true; /* the first read of the thread */
        wire = wire_new(false);
        while (!held)
            usleep(100);
        wire_free(&wire);
        CHECK(!hold_reads && !held);
    }
}

static void test_an_end_while_a_read_waits_is_not_lost(void) {
    for (int i = 0; i < ENDS; i++) {
        struct wire wire = wire_new(false);

        usleep((useconds_t)(i % 10) * 20); /* the thread has not begun, or is waiting */
        wire_free(&wire);
    }
}

struct asker {
    struct wire *wire;
    int fd;
    atomic_ulong answers;
};

/* Send writes and punches without a pause, until the channel's end of the wire is closed. */
static void *ask(void *argument) {
    struct asker *asker = argument;
    struct {
        struct protocol_in_header header;
        struct protocol_write_in in;
        char data[BLOCK];
    } write = {{.len = sizeof write, .opcode = PROTOCOL_WRITE, .unique = 2},
               {.fh = (uint64_t)asker->fd, .size = BLOCK}, {0}};
    struct {
        struct protocol_in_header header;
        struct protocol_fallocate_in in;
    } punch = {{.len = sizeof punch, .opcode = PROTOCOL_FALLOCATE, .unique = 4},
               {.fh = (uint64_t)asker->fd, .length = BLOCK, .mode = PUNCH}};
    struct iovec iov[2] = {{&write, sizeof write}, {&punch, sizeof punch}};

    for (size_t i = 0;; i++) {
        struct protocol_out_header header;
        char answer[256];
        ssize_t got;

        if (writev(asker->wire->kernel, &iov[i % 2], 1) < 0)
            break;
        got = recv(asker->wire->kernel, answer, sizeof answer, 0);
        if (got <= 0)
            break;
        memcpy(&header, answer, sizeof header);
        CHECK(header.error == 0 && header.len == (uint32_t)got); /* a request that was served got its true answer */
        asker->answers++;
    }
    CHECK(errno == EPIPE || errno == ECONNRESET || errno == 0);
    return NULL;
}

static void test_an_end_under_load_is_not_held_up_and_leaves_nothing_open(void) {
    int before = open_descriptors();

    for (int i = 0; i < ENDS; i++) {
        struct wire wire = wire_new(false);
        struct asker asker = {.wire = &wire, .fd = file_with(2)};
        int gate = channel_gate(wire.channel);
        uint64_t served, recorded;
        pthread_t thread;

        channel_limit(wire.channel, 1 << 20);
        CHECK(channel_announce(wire.channel, asker.fd, gate, account_file(wire.account), BLOCK) == 0);
        CHECK(pthread_create(&thread, NULL, ask, &asker) == 0);
        while (asker.answers == 0)
            usleep(50);
        usleep((useconds_t)(i % 7) * 30);
        channel_free(wire.channel);
        pthread_join(thread, NULL);
        served = asker.answers;
        recorded = account_sum(wire.account).events;
        CHECK(recorded == served / 2); /* exactly the punches that were answered */
        account_free(wire.account);
        close(wire.kernel);
        close(wire.libfuse);
        close(asker.fd);
    }
    CHECK(open_descriptors() == before);
}

void test_the_end_of_a_channel(void) {
    test_an_end_just_before_a_read_is_not_lost();
    test_an_end_while_a_read_waits_is_not_lost();
    test_an_end_under_load_is_not_held_up_and_leaves_nothing_open();
}
