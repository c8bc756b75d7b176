/* This test checks that a ring ends although its watch was woken for nothing: another reader took the request. */
#include <sys/eventfd.h>
#include <unistd.h>

#include "native_test.h"
#include "plane/ring.h"

void test_a_ring(void) {
    int file = file_with(1), watched = eventfd(0, EFD_CLOEXEC);
    static char data[BLOCK];
    struct piece piece = {data, BLOCK, 0};
    struct flight flight = {.kind = PLANE_READ, .size = BLOCK, .owner = data};
    struct ring *ring = ring_new();
    eventfd_t value;

    CHECK(ring != NULL && watched >= 0);
    ring_queue(ring, file, &flight, &piece, 1);
    while (!ring_next(ring, &flight))
        ring_wait(ring, watched);
    CHECK(flight.owner == data && !flight.failed && ring_taken(ring) == 0);
    CHECK(eventfd_write(watched, 1) == 0 && eventfd_read(watched, &value) == 0);
    ring_free(ring);
    close(watched);
    close(file);
}
