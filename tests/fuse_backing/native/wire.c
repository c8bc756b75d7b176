/* The wire has the ends of a channel: the kernel's, which sends requests, and libfuse's and Python's, which take them. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "native_test.h"
#include "wire.h"

struct wire wire_new(bool passthrough) {
    return wire_new_with(passthrough, NULL);
}

struct wire wire_new_with(bool passthrough, int (*request)(struct channel *)) {
    struct wire wire;
    int ends[2], size = 1 << 20;

    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
    for (int i = 0; i < 2; i++)
        CHECK(setsockopt(ends[i], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) == 0 || errno == EPERM);
    wire.kernel = ends[0];
    wire.account = account_new(64);
    wire.channel = channel_new(&ends[1], 1, passthrough, 2, wire.account, NULL);
    CHECK(wire.account != NULL && wire.channel != NULL);
    close(ends[1]);
    wire.libfuse = channel_libfuse(wire.channel);
    CHECK(wire.libfuse >= 0 && channel_libfuse(wire.channel) == -1);
    CHECK(request == NULL || request(wire.channel) == 0);
    CHECK(channel_start(wire.channel) == 0);
    return wire;
}

void wire_free(struct wire *wire) {
    channel_free(wire->channel);
    close(wire->libfuse);
    account_free(wire->account);
    close(wire->kernel);
}

void request(struct wire *wire, uint32_t opcode, uint64_t unique, const void *body, size_t size) {
    struct protocol_in_header header = {.len = (uint32_t)(sizeof header + size), .opcode = opcode, .unique = unique};
    struct iovec iov[2] = {{&header, sizeof header}, {(void *)body, size}};

    CHECK(writev(wire->kernel, iov, 2) == (ssize_t)(sizeof header + size));
}

int answered(struct wire *wire, uint64_t unique, void *body, size_t room, size_t *size) {
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

size_t taken(struct wire *wire, void *buffer, size_t size) {
    struct pollfd wait = {wire->libfuse, POLLIN, 0};
    ssize_t got;

    CHECK(poll(&wait, 1, 30000) == 1);
    got = recv(wire->libfuse, buffer, size, 0);
    CHECK(got > 0);
    return (size_t)got;
}

bool dropped(struct wire *wire) {
    struct channel_request *request = channel_take(wire->channel);
    bool found = request != NULL;

    if (found)
        channel_request_free(wire->channel, request);
    return found;
}

struct channel_request *left_to_python(struct wire *wire, uint32_t opcode) {
    struct pollfd wait = {channel_fd(wire->channel), POLLIN, 0};
    struct channel_request *left;

    do {
        CHECK(poll(&wait, 1, 30000) == 1);
        left = channel_take(wire->channel);
    } while (left == NULL);
    CHECK(left->opcode == opcode);
    return left;
}

size_t taken_by_python(struct wire *wire, uint32_t opcode) {
    struct channel_request *left = left_to_python(wire, opcode);
    size_t size = left->size;

    channel_request_free(wire->channel, left);
    return size;
}

void reply(struct wire *wire, uint64_t unique, void *body, size_t size) {
    struct protocol_out_header header = {(uint32_t)(sizeof header + size), 0, unique};
    struct iovec iov[2] = {{&header, sizeof header}, {body, size}};

    CHECK(writev(wire->libfuse, iov, 2) == (ssize_t)(sizeof header + size));
}

void negotiate(struct wire *wire, uint32_t flags, uint32_t flags2, uint32_t answer_flags,
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
