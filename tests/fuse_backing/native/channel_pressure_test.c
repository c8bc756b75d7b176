/* These tests put the channel under pressure: random bytes, files that come and go, a flood, the end of the device. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "native_test.h"
#include "wire.h"

/* Send random requests: truncated ones, and handles, offsets and lengths beyond all files. The channel must answer
 * each request or leave it to Python or libfuse. */
static void test_no_request_does_harm(void) {
    static const uint32_t opcodes[] = {PROTOCOL_READ, PROTOCOL_WRITE,  PROTOCOL_FALLOCATE, PROTOCOL_INIT,
                                       PROTOCOL_OPEN, PROTOCOL_CREATE, 0,                  63, 64, UINT32_MAX};
    struct wire wire = wire_new(true);
    int gate = channel_gate(wire.channel), fd = file_with(4);
    uint64_t state = 1;

    channel_limit(wire.channel, UINT64_MAX);
    CHECK(channel_announce(wire.channel, fd, gate, account_file(wire.account), BLOCK) == 0);
    CHECK(channel_announce(wire.channel, -1, gate, 0, BLOCK) == EINVAL);
    CHECK(channel_announce(wire.channel, fd, 99, 0, BLOCK) == EINVAL);
    channel_forget(wire.channel, -1);
    channel_forget(wire.channel, 1 << 30);
    for (uint64_t i = 0; i < 20000; i++) {
        uint64_t words[12], odd[] = {0, 1, (uint64_t)fd, UINT64_MAX, INT64_MAX, 1 << 20, BLOCK, 3};
        struct pollfd wait[3] = {{channel_fd(wire.channel), POLLIN, 0}, {wire.kernel, POLLIN, 0},
                                 {wire.libfuse, POLLIN, 0}};
        char buffer[1 << 16];
        bool seen = false;

        for (size_t j = 0; j < 12; j++) {
            state = state * 6364136223846793005ull + 1442695040888963407ull;
            words[j] = odd[(state >> 33) % 8] | (state >> 60 == 0 ? state << 32 : 0);
        }
        if (state >> 62 != 0)
            words[0] = (uint64_t)fd;
        request(&wire, opcodes[(state >> 40) % 10], 2 * i + 2, words, (state >> 45) % (sizeof words + 1));
        while (!seen) {
            CHECK(poll(wait, 3, 30000) > 0);
            if (wait[1].revents) {
                CHECK(read(wire.kernel, buffer, sizeof buffer) > 0);
                seen = true;
            } else if (wait[2].revents) {
                CHECK(recv(wire.libfuse, buffer, sizeof buffer, 0) > 0);
                seen = true;
            } else {
                seen = dropped(&wire);
            }
        }
    }
    close(fd);
    wire_free(&wire);
}

struct changes {
    struct wire *wire;
    int fd, gate;
    atomic_bool end;
};

static void *change(void *argument) {
    struct changes *changes = argument;
    int gates = 0;

    while (!atomic_load(&changes->end)) {
        CHECK(channel_announce(changes->wire->channel, changes->fd, changes->gate, 0, BLOCK) == 0);
        channel_enter(changes->wire->channel, changes->gate);
        channel_limit(changes->wire->channel, 0);
        channel_leave(changes->wire->channel, changes->gate);
        channel_limit(changes->wire->channel, 1 << 20);
        if (gates++ < 1000)
            CHECK(channel_gate(changes->wire->channel) >= 0);
        channel_forget(changes->wire->channel, changes->fd);
    }
    return NULL;
}

static void test_files_come_and_go_while_requests_are_served(void) {
    struct wire wire = wire_new(false);
    struct changes changes = {.wire = &wire, .fd = file_with(16), .gate = channel_gate(wire.channel)};
    struct protocol_fallocate_in punch = {.fh = (uint64_t)changes.fd, .length = BLOCK, .mode = PUNCH};
    uint64_t served = 0;
    pthread_t thread;

    account_file(wire.account);
    CHECK(pthread_create(&thread, NULL, change, &changes) == 0);
    for (uint64_t i = 0; i < 3000; i++) {
        struct pollfd wait[2] = {{channel_fd(wire.channel), POLLIN, 0}, {wire.kernel, POLLIN, 0}};
        bool seen = false;

        request(&wire, PROTOCOL_FALLOCATE, 2 * i + 2, &punch, sizeof punch);
        while (!seen) {
            CHECK(poll(wait, 2, 30000) > 0);
            if (wait[1].revents) {
                CHECK(answered(&wire, 2 * i + 2, NULL, 0, NULL) == 0);
                served++;
                seen = true;
            } else {
                seen = dropped(&wire);
            }
        }
    }
    atomic_store(&changes.end, true);
    pthread_join(thread, NULL);
    CHECK(account_sum(wire.account).events == served && channel_served(wire.channel) == served);
    close(changes.fd);
    wire_free(&wire);
}

struct flood {
    struct wire *wire;
    uint32_t opcode;
    size_t size;
};

static void *flood(void *argument) {
    struct flood *flood = argument;
    char *body = calloc(1, flood->size);
    struct protocol_in_header header = {.len = (uint32_t)(sizeof header + flood->size), .opcode = flood->opcode,
                                        .unique = 2};
    struct iovec iov[2] = {{&header, sizeof header}, {body, flood->size}};

    CHECK(body != NULL);
    ((struct protocol_write_in *)body)->size = (uint32_t)(flood->size - sizeof(struct protocol_write_in));
    while (writev(flood->wire->kernel, iov, 2) > 0)
        ;
    CHECK(errno == EPIPE || errno == ECONNRESET);
    free(body);
    return NULL;
}

/* Neither Python nor libfuse takes anything for a while. */
static void test_a_flood_fills_no_memory_and_does_not_hold_up_the_end(uint32_t opcode, size_t size, uint64_t most) {
    struct wire wire = wire_new(false);
    struct flood flooding = {&wire, opcode, size};
    size_t taken_requests = 0;
    uint64_t before = 0;
    char *buffer = malloc(1 << 20);
    pthread_t thread;

    CHECK(buffer != NULL && pthread_create(&thread, NULL, flood, &flooding) == 0);
    do { /* until nothing more comes */
        before = channel_requests(wire.channel, opcode);
        usleep(100000);
    } while (before == 0 || before != channel_requests(wire.channel, opcode));
    CHECK(before <= most);
    while (taken_requests++ < 1000) { /* the thread continues when there is room */
        if (opcode == PROTOCOL_WRITE)
            taken_by_python(&wire, opcode);
        else
            taken(&wire, buffer, 1 << 20);
    }
    usleep(100000);
    CHECK(channel_requests(wire.channel, opcode) <= most + 1001);
    channel_free(wire.channel); /* requests are still coming */
    close(wire.libfuse);
    pthread_join(thread, NULL);
    account_free(wire.account);
    close(wire.kernel);
    free(buffer);
}

static void test_the_end_of_the_device_is_seen_after_the_last_request(void) {
    struct wire wire = wire_new(false);
    struct protocol_lseek_in seek = {.fh = 1};
    struct pollfd wait = {channel_fd(wire.channel), POLLIN, 0};

    request(&wire, PROTOCOL_LSEEK, 2, &seek, sizeof seek);
    CHECK(shutdown(wire.kernel, SHUT_WR) == 0);
    usleep(20000);
    CHECK(channel_ended(wire.channel) == 0);
    CHECK(taken_by_python(&wire, PROTOCOL_LSEEK) == sizeof seek);
    while (channel_ended(wire.channel) == 0) {
        CHECK(channel_take(wire.channel) == NULL);
        CHECK(poll(&wait, 1, 30000) == 1);
    }
    CHECK(channel_ended(wire.channel) == EIO && channel_take(wire.channel) == NULL);
    CHECK(poll(&wait, 1, 0) == 1); /* it stays readable */
    wire_free(&wire);
}

/* libfuse's session was destroyed before the channel: the kernel's requests still have an answer. */
static void test_without_libfuse_requests_are_refused(void) {
    struct wire wire = wire_new(false);

    shutdown(wire.libfuse, SHUT_RDWR);
    request(&wire, 1, 2, "a name", 7);
    CHECK(answered(&wire, 2, NULL, 0, NULL) == EIO);
    wire_free(&wire);
}

void test_the_channel_under_pressure(void) {
    test_no_request_does_harm();
    test_files_come_and_go_while_requests_are_served();
    test_a_flood_fills_no_memory_and_does_not_hold_up_the_end(PROTOCOL_WRITE, 100000, (33 << 20) / 100000);
    test_a_flood_fills_no_memory_and_does_not_hold_up_the_end(1, 1000, 1000);
    test_the_end_of_the_device_is_seen_after_the_last_request();
    test_without_libfuse_requests_are_refused();
}
