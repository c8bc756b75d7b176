/* These tests check that a channel requests FUSE over io_uring only where both sides can have it, and that it serves
 * /dev/fuse otherwise. The kernel of these tests is a socket, which accepts no entry. */
#include <errno.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include "channel/channel.h"
#include "native_test.h"
#include "protocol/protocol.h"
#include "wire.h"

static struct wire asking_wire(void) {
    struct wire wire = wire_new_with(false, channel_request_uring);

    CHECK(channel_uring_error(wire.channel) == EAGAIN || channel_uring_error(wire.channel) == ring_errno);
    return wire;
}

/* Return the second flags of the answer to an INIT that offers these. */
static uint32_t answered_flags(struct wire *wire, uint32_t offered) {
    struct protocol_init_out out;

    negotiate(wire, PROTOCOL_INIT_EXT, offered, 0, &out);
    return out.flags2;
}

static void serves_the_device(struct wire *wire) {
    struct protocol_fsync_in in = {.fh = 1000};
    struct channel_request *left;

    request(wire, PROTOCOL_FSYNC, 4, &in, sizeof in);
    left = left_to_python(wire, PROTOCOL_FSYNC);
    CHECK(channel_reply(wire->channel, left, EIO, NULL, 0));
    channel_request_free(wire->channel, left);
    CHECK(answered(wire, 4, NULL, 0, NULL) == EIO);
}

static void test_a_kernel_that_does_not_offer_it(void) {
    struct wire wire = asking_wire();

    CHECK(answered_flags(&wire, 0) == 0 && channel_uring_error(wire.channel) == EOPNOTSUPP);
    serves_the_device(&wire);
    wire_free(&wire);
}

static void test_a_process_without_io_uring(void) {
    struct wire wire;

    ring_errno = EPERM;
    wire = asking_wire();
    CHECK(answered_flags(&wire, PROTOCOL_INIT2_OVER_IO_URING) == 0 && channel_uring_error(wire.channel) == EPERM);
    ring_errno = 0;
    serves_the_device(&wire);
    wire_free(&wire);
}

static void test_a_kernel_that_refuses_the_entries(void) {
    struct wire wire = asking_wire();

    CHECK(answered_flags(&wire, PROTOCOL_INIT2_OVER_IO_URING) == PROTOCOL_INIT2_OVER_IO_URING);
    while (channel_uring_error(wire.channel) == EAGAIN || channel_uring_error(wire.channel) == 0)
        sched_yield();
    serves_the_device(&wire);
    wire_free(&wire);
}

static void test_a_channel_that_ends_before_init(void) {
    struct wire wire = asking_wire();

    wire_free(&wire);
}

void test_the_rings_of_a_channel(void) {
    test_a_kernel_that_does_not_offer_it();
    test_a_process_without_io_uring();
    test_a_kernel_that_refuses_the_entries();
    test_a_channel_that_ends_before_init();
}
