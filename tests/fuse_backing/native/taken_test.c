/* These tests check a channel whose plane takes requests. A pipe is the pool's device where a test decides when the
 * reads are complete: a read of an empty pipe waits. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "channel/channel.h"
#include "native_test.h"
#include "plane/plane.h"
#include "plane/table.h"
#include "protocol/protocol.h"

enum { HANDLE = 3, PIPE_HANDLE = 4, BLOCKS = 64, READERS = PLANE_TAKERS + 1 };

static struct {
    int kernel[READERS], pipe[2], fd, pool, slow;
    struct plane *plane;
    struct channel *channel;
} taker;

static int open_pool(int fd, uint64_t handle, unsigned serves) {
    int pool = plane_pool_open(taker.plane, fd, BLOCK, PLANE_TAKES);
    uint32_t entries[BLOCKS];

    CHECK(pool >= 0 && plane_open(taker.plane, handle, pool, BLOCKS * BLOCK) == 0);
    for (unsigned i = 0; i < BLOCKS; i++)
        entries[i] = table_entry(BLOCKS - 1 - i, true);
    plane_learn(taker.plane, handle, 0, entries, BLOCKS);
    plane_set(taker.plane, handle, serves);
    plane_release(taker.plane, handle);
    return pool;
}

/* Start a channel with so many readers, each with a kernel of its own, and two pools: a file and a pipe. */
static void begin(unsigned readers) {
    int devices[READERS];

    for (unsigned i = 0; i < readers; i++) {
        int ends[2], size = 1 << 20;

        CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
        for (int j = 0; j < 2; j++)
            CHECK(setsockopt(ends[j], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) == 0 || errno == EPERM);
        taker.kernel[i] = ends[0];
        devices[i] = ends[1];
    }
    taker.plane = plane_new(READERS, 1 << 20);
    taker.fd = file_with(BLOCKS);
    CHECK(taker.plane != NULL && pipe2(taker.pipe, O_CLOEXEC) == 0);
    taker.pool = open_pool(taker.fd, HANDLE, PLANE_READS | PLANE_WRITES | PLANE_FLUSHES);
    taker.slow = open_pool(taker.pipe[0], PIPE_HANDLE, PLANE_READS | PLANE_WRITES);
    taker.channel = channel_new(devices, readers, false, 0, NULL, taker.plane);
    CHECK(taker.channel != NULL && channel_start(taker.channel) == 0);
    for (unsigned i = 0; i < readers; i++)
        close(devices[i]);
}

static void end(unsigned readers) {
    channel_free(taker.channel);
    plane_free(taker.plane);
    for (unsigned i = 0; i < readers; i++)
        close(taker.kernel[i]);
    close(taker.pipe[0]);
    close(taker.pipe[1]);
    close(taker.fd);
}

static void send_request(unsigned reader, uint32_t opcode, uint64_t unique, const void *in, size_t size,
                         const char *data, size_t length) {
    struct protocol_in_header header = {
        .len = (uint32_t)(sizeof header + size + length), .opcode = opcode, .unique = unique};
    struct iovec iov[3] = {{&header, sizeof header}, {(void *)in, size}, {(void *)data, length}};

    CHECK(writev(taker.kernel[reader], iov, 3) == (ssize_t)header.len);
}

static void send_read(unsigned reader, uint64_t unique, uint64_t handle, unsigned block, unsigned blocks) {
    struct protocol_read_in in = {.fh = handle, .offset = block * BLOCK, .size = blocks * BLOCK};

    send_request(reader, PROTOCOL_READ, unique, &in, sizeof in, NULL, 0);
}

static void send_write(unsigned reader, uint64_t unique, uint64_t handle, unsigned block, unsigned blocks, char fill) {
    struct protocol_write_in in = {.fh = handle, .offset = block * BLOCK, .size = blocks * BLOCK};
    char data[32 * BLOCK];

    memset(data, fill, sizeof data);
    send_request(reader, PROTOCOL_WRITE, unique, &in, sizeof in, data, in.size);
}

/* Wait for the next answer; return its unique, and put its data into `data`. */
static uint64_t next_answer(unsigned reader, char *data, size_t *size) {
    static char content[8 * BLOCK];
    struct protocol_out_header header;
    struct pollfd wait = {taker.kernel[reader], POLLIN, 0};
    ssize_t got;

    CHECK(poll(&wait, 1, 30000) == 1);
    got = recv(taker.kernel[reader], content, sizeof content, 0);
    CHECK(got >= (ssize_t)sizeof header);
    memcpy(&header, content, sizeof header);
    CHECK(header.len == (uint32_t)got && header.error == 0);
    *size = (size_t)got - sizeof header;
    memcpy(data, content + sizeof header, *size);
    return header.unique;
}

static bool has_answer(unsigned reader, int milliseconds) {
    struct pollfd wait = {taker.kernel[reader], POLLIN, 0};

    return poll(&wait, 1, milliseconds) == 1;
}

static void feed_pipe(unsigned blocks) {
    char data[BLOCK];

    memset(data, 'p', sizeof data);
    for (unsigned i = 0; i < blocks; i++)
        CHECK(write(taker.pipe[1], data, BLOCK) == BLOCK);
}

static void await_taken(int pool) {
    while (plane_pool_is_idle(taker.plane, pool))
        usleep(100);
}

static void test_many_requests_are_answered_with_their_own_data(void) {
    char data[8 * BLOCK];
    size_t size;

    begin(1);
    for (unsigned round = 0; round < 50; round++) {
        bool seen[BLOCKS] = {false};

        for (unsigned i = 0; i < 16; i++)
            send_write(0, i + 1, HANDLE, i, 1, (char)(round + i));
        for (unsigned i = 0; i < 16; i++) {
            uint64_t unique = next_answer(0, data, &size);

            CHECK(unique >= 1 && unique <= 16 && !seen[unique] && size == sizeof(struct protocol_write_out));
            CHECK(((struct protocol_write_out *)data)->size == BLOCK);
            seen[unique] = true;
        }
        for (unsigned i = 0; i < 15; i++)
            send_read(0, 100 + i, HANDLE, i, 2); /* each in two places of the file: the blocks lie backwards */
        for (unsigned i = 0; i < 15; i++) {
            unsigned block = (unsigned)next_answer(0, data, &size) - 100;

            CHECK(block < 15 && size == 2 * BLOCK);
            CHECK(data[0] == (char)(round + block) && data[BLOCK - 1] == data[0]);
            CHECK(data[BLOCK] == (char)(round + block + 1) && data[2 * BLOCK - 1] == data[BLOCK]);
        }
    }
    CHECK(plane_pool_counts(taker.plane, taker.pool).writes == 50 * 16);
    CHECK(channel_served(taker.channel) == 50 * 31);
    end(1);
}

static void test_others_are_served_while_a_request_is_in_flight(void) {
    char data[8 * BLOCK];
    size_t size;

    begin(1);
    send_read(0, 1, PIPE_HANDLE, 0, 1);
    await_taken(taker.slow);
    for (unsigned i = 0; i < 100; i++) {
        send_read(0, 2 + i, HANDLE, i % BLOCKS, 1);
        CHECK(next_answer(0, data, &size) == 2 + i && size == BLOCK && data[0] == 'x');
        CHECK(plane_pool_is_idle(taker.plane, taker.pool) && !plane_pool_is_idle(taker.plane, taker.slow));
        CHECK(!plane_is_idle(taker.plane, PIPE_HANDLE));
    }
    feed_pipe(1);
    CHECK(next_answer(0, data, &size) == 1 && size == BLOCK && data[0] == 'p');
    CHECK(plane_pool_is_idle(taker.plane, taker.slow));
    end(1);
}

/* Readers that wait for completions leave new requests to the others, and the last one must not. */
static void test_one_reader_always_sees_new_requests(void) {
    char data[8 * BLOCK];
    size_t size;

    begin(2);
    CHECK(plane_pool_open(taker.plane, taker.fd, BLOCK, PLANE_TRANSFERS) >= 0); /* so that no reader rests */
    for (unsigned round = 0; round < 100; round++) {
        struct pollfd wait[2] = {{taker.kernel[0], POLLIN, 0}, {taker.kernel[1], POLLIN, 0}};
        unsigned answers[2] = {0};

        for (unsigned i = 0; i < 2; i++)
            send_read(i, 1, PIPE_HANDLE, 0, 1);
        await_taken(taker.slow);
        usleep(round * 10); /* both are in flight, usually */
        for (unsigned i = 0; i < 2; i++)
            send_read(i, 2, HANDLE, 0, 1);
        CHECK(poll(wait, 2, 30000) > 0); /* one of them sees its request, though no transfer is complete */
        feed_pipe(2);
        for (unsigned i = 0; i < 2; i++)
            while (answers[i] < 3)
                answers[i] += (unsigned)next_answer(i, data, &size);
    }
    end(2);
}

static void test_more_requests_than_may_be_in_flight_wait_for_their_turn(void) {
    char data[8 * BLOCK];
    size_t size;

    begin(1);
    for (unsigned round = 0; round < 5; round++) {
        for (unsigned i = 0; i < PLANE_MOST_TAKEN + 8; i++)
            send_read(0, 1 + i, PIPE_HANDLE, i % BLOCKS, 1);
        for (unsigned i = 0; i < PLANE_MOST_TAKEN + 8; i++) {
            feed_pipe(1);
            CHECK(next_answer(0, data, &size) <= PLANE_MOST_TAKEN + 8 && size == BLOCK && data[0] == 'p');
        }
    }
    CHECK(plane_pool_is_idle(taker.plane, taker.slow));
    end(1);
}

/* Take the next request that is left to Python. */
static struct channel_request *next_left(void) {
    struct pollfd wait = {channel_fd(taker.channel), POLLIN, 0};
    struct channel_request *request;

    do
        CHECK(poll(&wait, 1, 30000) == 1);
    while ((request = channel_take(taker.channel)) == NULL);
    return request;
}

/* The next request that is left to Python must be this read of one block. */
static void check_left(uint64_t unique, uint64_t handle, unsigned block) {
    struct channel_request *request = next_left();
    const struct protocol_read_in *in;

    CHECK(request->unique == unique && request->opcode == PROTOCOL_READ && request->size == sizeof *in);
    in = (const void *)request->body;
    CHECK(in->fh == handle && in->offset == block * BLOCK && in->size == BLOCK);
    channel_request_free(taker.channel, request);
}

static void test_a_request_that_fails_or_is_short_goes_to_python_as_a_whole(void) {
    char data[8 * BLOCK];
    size_t size;

    begin(1);
    CHECK(ftruncate(taker.fd, (BLOCKS - 2) * BLOCK + 512) == 0); /* virtual block 0 has gone, and most of 1 */
    for (unsigned block = 0; block < 2; block++) {
        send_read(0, 10 + block, HANDLE, block, 1);
        check_left(10 + block, HANDLE, block);
    }
    CHECK(plane_pool_is_idle(taker.plane, taker.pool) && !has_answer(0, 0));
    send_read(0, 20, HANDLE, 2, 1);
    CHECK(next_answer(0, data, &size) == 20);
    CHECK(plane_pool_counts(taker.plane, taker.pool).reads == 1);
    end(1);
}

static void test_readers_rest_while_a_pool_takes_requests_and_return_after_it(void) {
    char data[8 * BLOCK];
    struct pollfd wait;
    size_t size;

    begin(READERS); /* the last one rests from the start */
    wait = (struct pollfd){channel_fd(taker.channel), POLLIN, 0};
    send_read(READERS - 1, 1, HANDLE, 0, 1);
    for (unsigned i = 0; i < 20; i++) {
        send_read(i % PLANE_TAKERS, 2, HANDLE, 0, 1);
        CHECK(next_answer(i % PLANE_TAKERS, data, &size) == 2);
    }
    CHECK(channel_requests(taker.channel, PROTOCOL_READ) == 20);
    plane_hold(taker.plane, HANDLE);
    plane_hold(taker.plane, PIPE_HANDLE);
    plane_close(taker.plane, HANDLE);
    plane_close(taker.plane, PIPE_HANDLE);
    plane_pool_close(taker.plane, taker.pool);
    CHECK(poll(&wait, 1, 20) == 0);
    plane_pool_close(taker.plane, taker.slow);
    check_left(1, HANDLE, 0); /* nobody serves the device any more */
    end(READERS);
    for (unsigned i = 0; i < 5; i++) {
        begin(READERS);
        usleep(2000); /* the last one rests by now, usually */
        end(READERS); /* it must return */
    }
}

/* A large request that is left to Python keeps its buffer, and the reader gets another one. */
static void test_writes_that_fail_are_left_to_python_with_their_data(void) {
    char data[8 * BLOCK];
    size_t size;

    begin(1);
    for (unsigned i = 0; i < 100; i++) {
        unsigned blocks = i % 2 ? 1 : 32;
        struct channel_request *request;
        const struct protocol_write_in *in;

        send_write(0, 1 + i, PIPE_HANDLE, 3, blocks, (char)i); /* nobody can write to this end of a pipe */
        send_read(0, 1000 + i, HANDLE, 1, 1);
        request = next_left();
        in = (const void *)request->body;
        CHECK(request->unique == 1 + i && request->opcode == PROTOCOL_WRITE && in->size == blocks * BLOCK);
        for (unsigned j = 0; j < in->size; j++)
            CHECK(((const char *)(in + 1))[j] == (char)i);
        channel_request_free(taker.channel, request);
        CHECK(next_answer(0, data, &size) == 1000 + i && size == BLOCK && data[0] == 'x');
    }
    end(1);
}

static void *feed_later(void *argument) {
    (void)argument;
    usleep(20000);
    feed_pipe(3);
    return NULL;
}

static void test_the_end_waits_for_what_is_in_flight(void) {
    for (unsigned round = 0; round < 5; round++) {
        char data[8 * BLOCK];
        pthread_t thread;
        size_t size;

        begin(1);
        for (unsigned i = 0; i < 3; i++)
            send_read(0, 1 + i, PIPE_HANDLE, i, 1);
        while (channel_requests(taker.channel, PROTOCOL_READ) < 3)
            usleep(100);
        CHECK(pthread_create(&thread, NULL, feed_later, NULL) == 0);
        channel_free(taker.channel);
        CHECK(plane_pool_is_idle(taker.plane, taker.slow));
        pthread_join(thread, NULL);
        CHECK(has_answer(0, 0) && next_answer(0, data, &size) <= 3 && size == BLOCK && data[0] == 'p');
        plane_free(taker.plane);
        close(taker.kernel[0]);
        close(taker.pipe[0]);
        close(taker.pipe[1]);
        close(taker.fd);
    }
}

static void test_without_io_uring_the_readers_transfer_data_themselves(void) {
    char data[8 * BLOCK];
    size_t size;

    CHECK(plane_ring_error() == 0);
    ring_errno = EPERM;
    CHECK(plane_ring_error() == EPERM);
    begin(1);
    send_write(0, 1, HANDLE, 5, 1, 'w');
    CHECK(next_answer(0, data, &size) == 1);
    send_read(0, 2, HANDLE, 5, 1);
    CHECK(next_answer(0, data, &size) == 2 && size == BLOCK && data[0] == 'w');
    end(1);
    ring_errno = 0;
}

void test_taken_requests(void) {
    test_many_requests_are_answered_with_their_own_data();
    test_others_are_served_while_a_request_is_in_flight();
    test_one_reader_always_sees_new_requests();
    test_more_requests_than_may_be_in_flight_wait_for_their_turn();
    test_a_request_that_fails_or_is_short_goes_to_python_as_a_whole();
    test_writes_that_fail_are_left_to_python_with_their_data();
    test_readers_rest_while_a_pool_takes_requests_and_return_after_it();
    test_the_end_waits_for_what_is_in_flight();
    test_without_io_uring_the_readers_transfer_data_themselves();
}
