/* The C core under a sanitizer, without a kernel: the channel's /dev/fuse is one end of a socket pair, the host's
 * answers to ioctl(2), fallocate(2) and pwrite(2) can be replaced (ld --wrap). One argument: a directory on a file
 * system with FIEMAP. Exit status 0 if every check held. */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "native/account.h"
#include "native/channel.h"
#include "native/protocol.h"
#include "native/punch.h"

#define CHECK(what)                                                          \
    do {                                                                     \
        if (!(what)) {                                                       \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #what); \
            exit(1);                                                         \
        }                                                                    \
    } while (0)

#define BLOCK 4096
#define PUNCH (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)

static const char *directory;

/* ---- what the host answers ------------------------------------------------------------------------- */

static atomic_int fail_fiemap_after; /* the FIEMAP call that fails, counted down; 0: none */
static atomic_int fallocate_errno, pwrite_short, pwrite_errno;

int __real_ioctl(int fd, unsigned long request, void *argument);
int __wrap_ioctl(int fd, unsigned long request, void *argument);
int __wrap_ioctl(int fd, unsigned long request, void *argument) {
    if ((request & 0xffffffff) == 0xC020660B && fail_fiemap_after > 0 && --fail_fiemap_after == 0) {
        errno = EIO;
        return -1;
    }
    return __real_ioctl(fd, request, argument);
}

int __real_fallocate(int fd, int mode, off_t offset, off_t length);
int __wrap_fallocate(int fd, int mode, off_t offset, off_t length);
int __wrap_fallocate(int fd, int mode, off_t offset, off_t length) {
    if (fallocate_errno != 0) {
        errno = fallocate_errno;
        return -1;
    }
    return __real_fallocate(fd, mode, offset, length);
}

ssize_t __real_pwrite(int fd, const void *data, size_t size, off_t offset);
ssize_t __wrap_pwrite(int fd, const void *data, size_t size, off_t offset);
ssize_t __wrap_pwrite(int fd, const void *data, size_t size, off_t offset) {
    if (pwrite_errno != 0 && offset >= pwrite_short) {
        errno = pwrite_errno;
        return -1;
    }
    if (pwrite_short != 0 && offset + (off_t)size > pwrite_short && offset < pwrite_short)
        size = (size_t)(pwrite_short - offset);
    return __real_pwrite(fd, data, size, offset);
}

static int file_with(size_t blocks) {
    char *content = malloc(blocks * BLOCK);
    int fd = open(directory, O_TMPFILE | O_RDWR, 0600);

    CHECK(fd >= 0 && content != NULL);
    memset(content, 'x', blocks * BLOCK);
    CHECK(__real_pwrite(fd, content, blocks * BLOCK, 0) == (ssize_t)(blocks * BLOCK));
    free(content);
    return fd;
}

/* ---- the account ----------------------------------------------------------------------------------- */

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
    while (last < 200000) { /* a reader beside the writers sees the ring without gaps within a batch */
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

/* ---- one punch ------------------------------------------------------------------------------------- */

static void test_a_punch_is_measured(void) {
    int fd = file_with(16);
    struct punch_result result;

    CHECK(punch_measured(fd, PUNCH, BLOCK + 1, 4 * BLOCK, BLOCK, &result) == 0);
    CHECK(result.error == 0 && result.allocated == 4 * BLOCK && result.freed == 3 * BLOCK);
    CHECK(punch_measured(fd, PUNCH, BLOCK + 1, 4 * BLOCK, BLOCK, &result) == 0 && result.freed == 0);
    close(fd);
}

static void test_what_was_not_measured_is_not_claimed(void) {
    int fd = file_with(16);
    struct punch_result result;

    fail_fiemap_after = 2; /* the second one is that after the punch */
    CHECK(punch_measured(fd, PUNCH, 0, 4 * BLOCK, BLOCK, &result) == 0);
    CHECK(fail_fiemap_after == 0 && result.error == 0 && result.allocated == 4 * BLOCK && result.freed == 0);
    fail_fiemap_after = 1;
    CHECK(punch_measured(fd, PUNCH, 8 * BLOCK, 4 * BLOCK, BLOCK, &result) == EIO);
    CHECK(lseek(fd, 8 * BLOCK, SEEK_DATA) == 8 * BLOCK); /* nothing was done */
    close(fd);
}

/* ---- the channel ----------------------------------------------------------------------------------- */

struct wire {
    int kernel; /* our end */
    struct account *account;
    struct channel *channel;
};

static struct wire wire_new(bool passthrough) {
    struct wire wire;
    int ends[2], size = 1 << 20;

    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
    for (int i = 0; i < 2; i++)
        CHECK(setsockopt(ends[i], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) == 0 || errno == EPERM);
    wire.kernel = ends[0];
    wire.account = account_new(64);
    wire.channel = channel_new(ends[1], passthrough, 2, wire.account);
    CHECK(wire.account != NULL && wire.channel != NULL);
    close(ends[1]);
    CHECK(channel_start(wire.channel) == 0);
    return wire;
}

static void wire_free(struct wire *wire) {
    int fd = channel_fd(wire->channel);

    channel_free(wire->channel);
    close(fd);
    account_free(wire->account);
    close(wire->kernel);
}

static void request(struct wire *wire, uint32_t opcode, uint64_t unique, const void *body, size_t size) {
    struct protocol_in_header header = {.len = (uint32_t)(sizeof header + size), .opcode = opcode, .unique = unique};
    struct iovec iov[2] = {{&header, sizeof header}, {(void *)body, size}};

    CHECK(writev(wire->kernel, iov, 2) == (ssize_t)(sizeof header + size));
}

/* Wait for the answer to `unique`; returns its error, the body in `body`. */
static int answered(struct wire *wire, uint64_t unique, void *body, size_t room, size_t *size) {
    char content[8192];
    struct protocol_out_header header;
    ssize_t got = read(wire->kernel, content, sizeof content);

    CHECK(got >= (ssize_t)sizeof header);
    memcpy(&header, content, sizeof header);
    CHECK(header.unique == unique && header.len == (uint32_t)got);
    got -= (ssize_t)sizeof header;
    if (body != NULL) {
        CHECK((size_t)got <= room);
        memcpy(body, content + sizeof header, (size_t)got);
        *size = (size_t)got;
    }
    return -header.error;
}

/* Take the next request as libfuse would. */
static size_t taken(struct wire *wire, void *buffer, size_t size) {
    struct pollfd wait = {channel_fd(wire->channel), POLLIN, 0};
    ssize_t got;

    do {
        CHECK(poll(&wait, 1, 30000) == 1);
        got = channel_read(wire->channel, buffer, size);
    } while (got < 0 && errno == EAGAIN);
    CHECK(got >= 0);
    return (size_t)got;
}

static void reply(struct wire *wire, uint64_t unique, void *body, size_t size) {
    struct protocol_out_header header = {(uint32_t)(sizeof header + size), 0, unique};
    struct iovec iov[2] = {{&header, sizeof header}, {body, size}};

    CHECK(channel_writev(wire->channel, iov, 2) == (ssize_t)(sizeof header + size));
}

static void negotiate(struct wire *wire, uint32_t flags, uint32_t flags2, uint32_t answer_flags,
                      struct protocol_init_out *got) {
    struct protocol_init_in in = {.major = 7, .minor = 40, .flags = flags, .flags2 = flags2};
    struct protocol_init_out out = {.major = 7, .minor = 40, .flags = answer_flags, .max_write = 16 << 20};
    char buffer[256];
    size_t size;

    request(wire, PROTOCOL_INIT, 2, &in, sizeof in);
    CHECK(taken(wire, buffer, sizeof buffer) == sizeof(struct protocol_in_header) + sizeof in);
    reply(wire, 2, &out, sizeof out);
    CHECK(answered(wire, 2, got, sizeof *got, &size) == 0 && size == sizeof *got);
}

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
        CHECK(out.max_write == 1 << 20); /* what the channel's buffer holds */
        wire_free(&wire);
    }
}

static void test_an_open_is_answered_with_its_backing_id_and_no_other_flag(void) {
    struct wire wire = wire_new(true);
    int gate = channel_gate(wire.channel), fd = file_with(1);
    struct protocol_open_out out = {.fh = (uint64_t)fd, .open_flags = 3};
    struct {
        char entry[PROTOCOL_ENTRY_OUT_SIZE];
        struct protocol_open_out open;
    } created = {{0}, {(uint64_t)fd, 3, 0}};
    char buffer[256];
    size_t size;

    CHECK(channel_announce(wire.channel, fd, gate, 0, BLOCK, 17) == 0);
    request(&wire, PROTOCOL_OPEN, 4, buffer, 8);
    taken(&wire, buffer, sizeof buffer);
    reply(&wire, 4, &out, sizeof out);
    CHECK(answered(&wire, 4, &out, sizeof out, &size) == 0);
    CHECK(out.open_flags == PROTOCOL_FOPEN_PASSTHROUGH && out.backing_id == 17 && out.fh == (uint64_t)fd);
    request(&wire, PROTOCOL_CREATE, 6, buffer, 8);
    taken(&wire, buffer, sizeof buffer);
    reply(&wire, 6, &created, sizeof created);
    CHECK(answered(&wire, 6, &created, sizeof created, &size) == 0 && size == sizeof created);
    CHECK(created.open.open_flags == PROTOCOL_FOPEN_PASSTHROUGH && created.open.backing_id == 17);
    channel_forget(wire.channel, fd);
    out = (struct protocol_open_out){.fh = (uint64_t)fd, .open_flags = 3};
    request(&wire, PROTOCOL_OPEN, 8, buffer, 8);
    taken(&wire, buffer, sizeof buffer);
    reply(&wire, 8, &out, sizeof out);
    CHECK(answered(&wire, 8, &out, sizeof out, &size) == 0 && out.open_flags == 3);
    close(fd);
    wire_free(&wire);
}

static void test_more_opens_than_answers_are_all_amended(void) {
    struct wire wire = wire_new(true);
    int gate = channel_gate(wire.channel);
    char buffer[256];
    size_t size;

    CHECK(channel_announce(wire.channel, 5, gate, 0, BLOCK, 17) == 0);
    for (uint64_t i = 0; i < 1000; i++) {
        request(&wire, PROTOCOL_OPEN, 2 * i + 2, buffer, 8);
        taken(&wire, buffer, sizeof buffer);
    }
    for (uint64_t i = 1000; i-- > 0;) {
        struct protocol_open_out out = {.fh = 5};

        reply(&wire, 2 * i + 2, &out, sizeof out);
        CHECK(answered(&wire, 2 * i + 2, &out, sizeof out, &size) == 0 && out.backing_id == 17);
    }
    wire_free(&wire);
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
    CHECK(channel_announce(wire.channel, fd, gate, file, BLOCK, 0) == 0);
    request(&wire, PROTOCOL_READ, 2, &in, sizeof in);
    CHECK(answered(&wire, 2, buffer, sizeof buffer, &size) == 0 && size == BLOCK); /* short at the end */
    memset(expected, 'x', sizeof expected);
    CHECK(memcmp(buffer, expected, BLOCK) == 0);
    memset(out.data, 'y', sizeof out.data);
    request(&wire, PROTOCOL_WRITE, 4, &out, sizeof out);
    CHECK(answered(&wire, 4, &written, sizeof written, &size) == 0 && written.size == 1000);
    CHECK(pread(fd, buffer, 1000, 77) == 1000 && memcmp(buffer, out.data, 1000) == 0);

    pwrite_short = 500;
    pwrite_errno = ENOSPC; /* the host is full in the middle */
    request(&wire, PROTOCOL_WRITE, 6, &out, sizeof out);
    CHECK(answered(&wire, 6, NULL, 0, NULL) == ENOSPC);
    pwrite_errno = 0; /* the host writes in two parts */
    request(&wire, PROTOCOL_WRITE, 8, &out, sizeof out);
    CHECK(answered(&wire, 8, &written, sizeof written, &size) == 0 && written.size == 1000);
    pwrite_short = 0;

    request(&wire, PROTOCOL_FALLOCATE, 10, &punch, sizeof punch);
    CHECK(answered(&wire, 10, NULL, 0, NULL) == 0 && account_sum(wire.account).freed == 4 * BLOCK);
    fallocate_errno = ENOSYS; /* must not reach the kernel: it would never ask again */
    request(&wire, PROTOCOL_FALLOCATE, 12, &punch, sizeof punch);
    CHECK(answered(&wire, 12, NULL, 0, NULL) == EOPNOTSUPP);
    fallocate_errno = 0;
    CHECK(channel_served(wire.channel) == 6 && channel_requests(wire.channel, PROTOCOL_WRITE) == 3);

    channel_enter(wire.channel, gate); /* Python is changing the inode: the punch is left to it */
    request(&wire, PROTOCOL_FALLOCATE, 14, &punch, sizeof punch);
    CHECK(taken(&wire, buffer, sizeof buffer) == sizeof(struct protocol_in_header) + sizeof punch);
    channel_leave(wire.channel, gate);
    channel_limit(wire.channel, 0); /* faults are in force: everything is left to it */
    request(&wire, PROTOCOL_READ, 16, &in, sizeof in);
    CHECK(taken(&wire, buffer, sizeof buffer) == sizeof(struct protocol_in_header) + sizeof in);
    channel_limit(wire.channel, 1 << 20);
    channel_forget(wire.channel, fd);
    request(&wire, PROTOCOL_WRITE, 18, &out, sizeof out);
    CHECK(taken(&wire, buffer, sizeof buffer) == sizeof(struct protocol_in_header) + sizeof out);
    close(fd);
    wire_free(&wire);
}

/* Any bytes at all: lengths cut short, handles, offsets and lengths beyond all files. Each request is either
 * answered or left to libfuse. */
static void test_no_request_does_harm(void) {
    static const uint32_t opcodes[] = {PROTOCOL_READ, PROTOCOL_WRITE,  PROTOCOL_FALLOCATE, PROTOCOL_INIT,
                                       PROTOCOL_OPEN, PROTOCOL_CREATE, 0,                  63, 64, UINT32_MAX};
    struct wire wire = wire_new(true);
    int gate = channel_gate(wire.channel), fd = file_with(4);
    uint64_t state = 1;

    channel_limit(wire.channel, UINT64_MAX);
    CHECK(channel_announce(wire.channel, fd, gate, account_file(wire.account), BLOCK, 1) == 0);
    CHECK(channel_announce(wire.channel, -1, gate, 0, BLOCK, 1) == EINVAL);
    CHECK(channel_announce(wire.channel, fd, 99, 0, BLOCK, 1) == EINVAL);
    channel_forget(wire.channel, -1);
    channel_forget(wire.channel, 1 << 30);
    for (uint64_t i = 0; i < 20000; i++) {
        uint64_t words[12], odd[] = {0, 1, (uint64_t)fd, UINT64_MAX, INT64_MAX, 1 << 20, BLOCK, 3};
        struct pollfd wait[2] = {{channel_fd(wire.channel), POLLIN, 0}, {wire.kernel, POLLIN, 0}};
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
            CHECK(poll(wait, 2, 30000) > 0);
            if (wait[1].revents) {
                CHECK(read(wire.kernel, buffer, sizeof buffer) > 0);
                seen = true;
            } else {
                seen = channel_read(wire.channel, buffer, sizeof buffer) > 0;
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
        CHECK(channel_announce(changes->wire->channel, changes->fd, changes->gate, 0, BLOCK, 3) == 0);
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
        char buffer[256];
        bool seen = false;

        request(&wire, PROTOCOL_FALLOCATE, 2 * i + 2, &punch, sizeof punch);
        while (!seen) {
            CHECK(poll(wait, 2, 30000) > 0);
            if (wait[1].revents) {
                CHECK(answered(&wire, 2 * i + 2, NULL, 0, NULL) == 0);
                served++;
                seen = true;
            } else {
                seen = channel_read(wire.channel, buffer, sizeof buffer) > 0;
            }
        }
    }
    atomic_store(&changes.end, true);
    pthread_join(thread, NULL);
    CHECK(account_sum(wire.account).events == served && channel_served(wire.channel) == served);
    close(changes.fd);
    wire_free(&wire);
}

static void *flood(void *argument) {
    struct wire *wire = argument;
    char *body = calloc(1, 100000);
    struct protocol_in_header header = {.len = sizeof header + 100000, .opcode = 1, .unique = 2};
    struct iovec iov[2] = {{&header, sizeof header}, {body, 100000}};

    CHECK(body != NULL);
    while (writev(wire->kernel, iov, 2) > 0)
        ;
    CHECK(errno == EPIPE || errno == ECONNRESET);
    free(body);
    return NULL;
}

static void test_a_flood_fills_no_memory_and_does_not_hold_up_the_end(void) {
    struct wire wire = wire_new(false);
    pthread_t thread;
    size_t taken_requests = 0;
    char *buffer = malloc(1 << 20);
    int fd;

    CHECK(buffer != NULL && pthread_create(&thread, NULL, flood, &wire) == 0);
    while (channel_requests(wire.channel, 1) < (32 << 20) / 100000)
        usleep(1000);
    while (taken_requests++ < 1000) /* it goes on as room is made */
        taken(&wire, buffer, 1 << 20);
    usleep(100000);
    CHECK(channel_requests(wire.channel, 1) < (34 << 20) / 100000 + 1001);
    fd = channel_fd(wire.channel);
    channel_free(wire.channel); /* requests are still coming */
    close(fd);
    pthread_join(thread, NULL);
    account_free(wire.account);
    close(wire.kernel);
    free(buffer);
}

static void test_the_end_of_the_device_is_told_after_the_last_request(void) {
    struct wire wire = wire_new(false);
    struct pollfd wait = {channel_fd(wire.channel), POLLIN, 0};
    char buffer[256];

    request(&wire, 1, 2, buffer, 8);
    CHECK(shutdown(wire.kernel, SHUT_WR) == 0);
    CHECK(taken(&wire, buffer, sizeof buffer) > 0);
    do {
        CHECK(poll(&wait, 1, 30000) == 1);
    } while (channel_read(wire.channel, buffer, sizeof buffer) < 0 && errno == EAGAIN);
    CHECK(channel_read(wire.channel, buffer, sizeof buffer) == -1 && errno == EIO);
    wire_free(&wire);
}

int main(int count, char **arguments) {
    CHECK(count == 2);
    directory = arguments[1];
    signal(SIGPIPE, SIG_IGN);
    test_threads_lose_no_event();
    test_absurd_events_do_no_harm();
    test_names_are_bounded();
    test_a_punch_is_measured();
    test_what_was_not_measured_is_not_claimed();
    test_passthrough_is_asked_for_only_where_it_is_offered();
    test_an_open_is_answered_with_its_backing_id_and_no_other_flag();
    test_more_opens_than_answers_are_all_amended();
    test_data_and_punches_are_served();
    test_no_request_does_harm();
    test_files_come_and_go_while_requests_are_served();
    test_a_flood_fills_no_memory_and_does_not_hold_up_the_end();
    test_the_end_of_the_device_is_told_after_the_last_request();
    return 0;
}
