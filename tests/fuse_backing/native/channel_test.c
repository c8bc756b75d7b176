/* These tests check which requests the channel answers itself, how it amends the answer to INIT, and which requests it
 * leaves to Python and to libfuse. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "native_test.h"
#include "wire.h"

static void test_passthrough_is_asked_for_only_where_it_is_offered(void) {
    static const struct {
        bool wanted;
        uint32_t flags, flags2, answer;
        bool granted;
    } cases[] = {
        {true, PROTOCOL_INIT_EXT, PROTOCOL_INIT2_PASSTHROUGH, 0, true},
        {false, PROTOCOL_INIT_EXT, PROTOCOL_INIT2_PASSTHROUGH, 0, false},
        {true, 0, PROTOCOL_INIT2_PASSTHROUGH, 0, false},
        {true, PROTOCOL_INIT_EXT, 0, 0, false},
        {true, PROTOCOL_INIT_EXT, PROTOCOL_INIT2_PASSTHROUGH, PROTOCOL_WRITEBACK_CACHE, false},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct wire wire = wire_new(cases[i].wanted);
        struct protocol_init_out out;

        negotiate(&wire, cases[i].flags, cases[i].flags2, cases[i].answer, &out);
        CHECK(channel_passthrough(wire.channel) == cases[i].granted);
        CHECK(((out.flags2 & PROTOCOL_INIT2_PASSTHROUGH) != 0) == cases[i].granted);
        CHECK(out.max_stack_depth == (cases[i].granted ? 2 : 0));
        CHECK(out.max_write == 1 << 20); /* the size of the channel's buffer */
        wire_free(&wire);
    }
}

static void test_data_and_punches_are_served(void) {
    struct wire wire = wire_new(false);
    int gate = channel_gate(wire.channel), fd = file_with(16);
    uint32_t file = account_file(wire.account);
    struct protocol_read_in in = {.fh = (uint64_t)fd, .offset = 15 * BLOCK, .size = 2 * BLOCK};
    struct {
        struct protocol_write_in in;
        char data[1000];
    } out = {{.fh = (uint64_t)fd, .offset = 77, .size = 1000}, {0}};
    struct protocol_fallocate_in punch = {.fh = (uint64_t)fd, .length = 4 * BLOCK, .mode = PUNCH};
    struct protocol_write_out written;
    char buffer[8192], expected[BLOCK];
    size_t size;

    channel_limit(wire.channel, 1 << 20);
    CHECK(channel_announce(wire.channel, fd, gate, file, BLOCK) == 0);
    request(&wire, PROTOCOL_READ, 2, &in, sizeof in);
    CHECK(answered(&wire, 2, buffer, sizeof buffer, &size) == 0 && size == BLOCK); /* shorter at the end of the file */
    memset(expected, 'x', sizeof expected);
    CHECK(memcmp(buffer, expected, BLOCK) == 0);
    memset(out.data, 'y', sizeof out.data);
    request(&wire, PROTOCOL_WRITE, 4, &out, sizeof out);
    CHECK(answered(&wire, 4, &written, sizeof written, &size) == 0 && written.size == 1000);
    CHECK(pread(fd, buffer, 1000, 77) == 1000 && memcmp(buffer, out.data, 1000) == 0);

    pwrite_short = 500;
    pwrite_errno = ENOSPC; /* the host gets full in the middle */
    request(&wire, PROTOCOL_WRITE, 6, &out, sizeof out);
    CHECK(answered(&wire, 6, NULL, 0, NULL) == ENOSPC);
    pwrite_errno = 0; /* the host writes in two parts */
    request(&wire, PROTOCOL_WRITE, 8, &out, sizeof out);
    CHECK(answered(&wire, 8, &written, sizeof written, &size) == 0 && written.size == 1000);
    pwrite_short = 0;

    request(&wire, PROTOCOL_FALLOCATE, 10, &punch, sizeof punch);
    CHECK(answered(&wire, 10, NULL, 0, NULL) == 0 && account_sum(wire.account).freed == 4 * BLOCK);
    fallocate_errno = ENOSYS; /* must not reach the kernel, which would never send the operation again */
    request(&wire, PROTOCOL_FALLOCATE, 12, &punch, sizeof punch);
    CHECK(answered(&wire, 12, NULL, 0, NULL) == EOPNOTSUPP);
    fallocate_errno = 0;
    CHECK(channel_served(wire.channel) == 6 && channel_requests(wire.channel, PROTOCOL_WRITE) == 3);

    channel_enter(wire.channel, gate); /* Python is changing the inode: the channel leaves the punch to Python */
    request(&wire, PROTOCOL_FALLOCATE, 14, &punch, sizeof punch);
    CHECK(taken_by_python(&wire, PROTOCOL_FALLOCATE) == sizeof punch);
    channel_leave(wire.channel, gate);
    channel_limit(wire.channel, 0); /* faults are active: the channel leaves everything to Python */
    request(&wire, PROTOCOL_READ, 16, &in, sizeof in);
    CHECK(taken_by_python(&wire, PROTOCOL_READ) == sizeof in);
    channel_limit(wire.channel, 1 << 20);
    channel_forget(wire.channel, fd);
    request(&wire, PROTOCOL_WRITE, 18, &out, sizeof out);
    CHECK(taken_by_python(&wire, PROTOCOL_WRITE) == sizeof out);
    close(fd);
    wire_free(&wire);
}

static void test_python_gets_whole_requests_and_answers_them(void) {
    struct wire wire = wire_new(false);
    struct {
        struct protocol_write_in in;
        char data[1000];
    } out = {{.fh = 9, .offset = 512, .size = 1000}, {0}};
    struct protocol_lseek_in seek = {.fh = 9, .offset = 77, .whence = 3};
    struct protocol_lseek_out found = {4096}, got;
    struct channel_request *left;
    size_t size;

    memset(out.data, 'y', sizeof out.data);
    request(&wire, PROTOCOL_WRITE, 2, &out, sizeof out - 1); /* its data is cut off */
    CHECK(answered(&wire, 2, NULL, 0, NULL) == EINVAL);
    request(&wire, PROTOCOL_LSEEK, 4, &seek, sizeof seek - 1);
    CHECK(answered(&wire, 4, NULL, 0, NULL) == EINVAL);
    CHECK(channel_take(wire.channel) == NULL && channel_ended(wire.channel) == 0);

    request(&wire, PROTOCOL_WRITE, 6, &out, sizeof out);
    left = left_to_python(&wire, PROTOCOL_WRITE);
    CHECK(left->unique == 6 && left->size == sizeof out && memcmp(left->body, &out, sizeof out) == 0);
    CHECK((uintptr_t)(left->body + sizeof out.in) % 4096 == 0);
    CHECK(channel_reply(wire.channel, left, ENOSPC, NULL, 0));
    channel_request_free(wire.channel, left);
    CHECK(answered(&wire, 6, NULL, 0, NULL) == ENOSPC);

    request(&wire, PROTOCOL_LSEEK, 8, &seek, sizeof seek);
    left = left_to_python(&wire, PROTOCOL_LSEEK);
    CHECK(channel_reply(wire.channel, left, 0, &found, sizeof found));
    channel_request_free(wire.channel, left);
    CHECK(answered(&wire, 8, &got, sizeof got, &size) == 0 && got.offset == 4096);
    wire_free(&wire);
}

/* A large request is handed over in the buffer that it was read into; the thread goes on with another. */
static void test_large_requests_are_kept_apart(void) {
    struct wire wire = wire_new(false);
    static struct {
        struct protocol_write_in in;
        char data[200000];
    } out = {{.fh = 9, .size = 200000}, {0}};
    struct channel_request *kept[40];

    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 40; i++) {
            memset(out.data, i, sizeof out.data);
            request(&wire, PROTOCOL_WRITE, 2 * (uint64_t)i + 2, &out, sizeof out);
            kept[i] = left_to_python(&wire, PROTOCOL_WRITE);
        }
        for (int i = 0; i < 40; i++) {
            memset(out.data, i, sizeof out.data);
            CHECK(kept[i]->unique == 2 * (uint64_t)i + 2 && memcmp(kept[i]->body, &out, sizeof out) == 0);
            CHECK((uintptr_t)(kept[i]->body + sizeof out.in) % 4096 == 0);
            channel_request_free(i % 3 == 0 ? NULL : wire.channel, kept[i]);
        }
    }
    wire_free(&wire);
}

static void test_libfuse_is_asked_for_listings_that_fit_its_socket(void) {
    struct wire wire = wire_new(false);
    struct protocol_read_in in = {.size = 1 << 20}, small = {.size = 4096};
    char buffer[256];
    struct protocol_read_in *seen = (void *)(buffer + sizeof(struct protocol_in_header));
    static char listing[128 << 10], back[sizeof listing + sizeof(struct protocol_out_header)];
    struct pollfd wait = {wire.kernel, POLLIN, 0};

    request(&wire, PROTOCOL_INTERRUPT, 2, &in, 8); /* nobody is interrupted, and nobody answers */
    request(&wire, PROTOCOL_READDIR, 4, &small, sizeof small);
    CHECK(taken(&wire, buffer, sizeof buffer) == sizeof(struct protocol_in_header) + sizeof in);
    CHECK(seen->size == 4096);
    request(&wire, PROTOCOL_READDIRPLUS, 6, &in, sizeof in);
    taken(&wire, buffer, sizeof buffer);
    CHECK(seen->size == sizeof listing);
    reply(&wire, 6, listing, sizeof listing);
    CHECK(poll(&wait, 1, 30000) == 1 && read(wire.kernel, back, sizeof back) == (ssize_t)sizeof back);
    wire_free(&wire);
}

void test_the_channel(void) {
    test_passthrough_is_asked_for_only_where_it_is_offered();
    test_data_and_punches_are_served();
    test_python_gets_whole_requests_and_answers_them();
    test_large_requests_are_kept_apart();
    test_libfuse_is_asked_for_listings_that_fit_its_socket();
}
