/* These tests check the answers of a channel with names, and the requests that it leaves to Python first. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "names/names.h"
#include "native_test.h"
#include "wire.h"

static struct names *served;

static int serve(struct channel *channel) {
    channel_serve_names(channel, served);
    return 0;
}

static void ask_about(struct wire *wire, uint32_t opcode, uint64_t node, uint64_t unique, const void *body,
                      size_t size) {
    struct protocol_in_header header = {
        .len = (uint32_t)(sizeof header + size), .opcode = opcode, .unique = unique, .nodeid = node};
    struct iovec iov[2] = {{&header, sizeof header}, {(void *)body, size}};

    CHECK(writev(wire->kernel, iov, 2) == (ssize_t)(sizeof header + size));
}

static void test_names_are_served_and_truncations_left(struct wire *wire) {
    struct {
        struct protocol_create_in in;
        char name[2];
    } create = {{.flags = O_RDWR | O_CREAT, .mode = 0600}, "a"};
    struct {
        struct protocol_entry_out entry;
        struct protocol_open_out open;
    } created;
    struct protocol_setattr_in change = {.valid = PROTOCOL_SETATTR_SIZE};
    struct protocol_release_in release = {0};
    struct protocol_attr_out attributes;
    struct channel_request *left;
    uint64_t lookups = 1;
    size_t size;

    ask_about(wire, PROTOCOL_LOOKUP, NAMES_ROOT, 2, "a", 2);
    CHECK(answered(wire, 2, NULL, 0, NULL) == ENOENT);
    ask_about(wire, PROTOCOL_CREATE, NAMES_ROOT, 4, &create, sizeof create.in + 2);
    CHECK(answered(wire, 4, &created, sizeof created, &size) == 0 && size == sizeof created);
    CHECK(created.open.open_flags == (PROTOCOL_FOPEN_DIRECT_IO | PROTOCOL_FOPEN_NOFLUSH));
    CHECK(channel_served(wire->channel) == 2);
    CHECK(pwrite((int)created.open.fh, "x", 1, 0) == 1);

    ask_about(wire, PROTOCOL_SETATTR, created.entry.nodeid, 6, &change, sizeof change);
    left = left_to_python(wire, PROTOCOL_SETATTR);
    channel_resume(wire->channel, left);
    channel_request_free(wire->channel, left);
    CHECK(answered(wire, 6, &attributes, sizeof attributes, &size) == 0 && attributes.attr.size == 1);

    release.fh = created.open.fh;
    ask_about(wire, PROTOCOL_UNLINK, NAMES_ROOT, 8, "a", 2);
    CHECK(answered(wire, 8, NULL, 0, NULL) == 0);
    ask_about(wire, PROTOCOL_RELEASE, created.entry.nodeid, 10, &release, sizeof release);
    CHECK(answered(wire, 10, NULL, 0, NULL) == 0);
    ask_about(wire, PROTOCOL_FORGET, created.entry.nodeid, 12, &lookups, sizeof lookups);
    left = left_to_python(wire, NAMES_NOTE_RELEASED); /* a note, which has no answer */
    CHECK(left->note && left->fd >= 0 && strcmp(left->body, "a") == 0);
    channel_request_free(wire->channel, left); /* closes the descriptor */
}

static void test_the_rest_goes_to_libfuse(struct wire *wire) {
    char buffer[256];

    ask_about(wire, PROTOCOL_DESTROY, 0, 14, "", 0);
    CHECK(taken(wire, buffer, sizeof buffer) == sizeof(struct protocol_in_header));
    CHECK(channel_take(wire->channel) == NULL);
}

void test_the_names_of_a_channel(void) {
    char path[4096];
    struct wire wire;
    int place;

    snprintf(path, sizeof path, "%s/channel-XXXXXX", directory);
    CHECK(mkdtemp(path) != NULL);
    place = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    served = names_new(place, true, 16);
    CHECK(served != NULL);
    wire = wire_new_with(false, serve);
    test_names_are_served_and_truncations_left(&wire);
    test_the_rest_goes_to_libfuse(&wire);
    wire_free(&wire);
    names_free(served);
    close(place);
    CHECK(rmdir(path) == 0);
}
