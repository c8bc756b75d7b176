/* A ring has the transfers of one reader that are in flight: it queues them, and hands back complete requests.
 *
 * It is an io_uring of the reader's thread. A request has one or more pieces, each a transfer of its own; it is complete
 * when the last piece is. Queued pieces begin with the next ring_wait.
 *
 * Owned by: the reader. Only the thread that has made a ring uses it and frees it.
 *   the data     The caller keeps the memory of a request's pieces until ring_next returns the request. */
#ifndef FUSE_BACKING_PLANE_RING_H
#define FUSE_BACKING_PLANE_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plane.h"

struct device;
struct ring;

struct piece {
    char *data;
    size_t size;
    uint64_t offset;
};

struct flight {
    struct device *device;
    enum plane_kind kind;
    uint32_t size;
    void *owner;
    unsigned pieces; /* that are not complete */
    bool failed;     /* a piece has failed, or was short */
    struct flight *next;
};

/* Return a ring; NULL with an errno: ENOSYS or EPERM where the kernel has none for this process. */
struct ring *ring_new(void);
/* Stop to watch, and free the ring. No request may be in flight. */
void ring_free(struct ring *ring);

/* Queue the pieces of a request, or none for PLANE_FLUSH, on the descriptor `fd`. At most PLANE_MOST_TAKEN requests are
 * in flight at once. */
void ring_queue(struct ring *ring, int fd, const struct flight *flight, const struct piece *pieces, unsigned count);

/* Return the number of requests in flight, with those that ring_next has not returned. */
unsigned ring_taken(const struct ring *ring);

/* Wait until a piece is complete, a signal comes or, with `watched` not -1, that descriptor is readable. */
void ring_wait(struct ring *ring, int watched);

/* Take the next complete request, if there is one. */
bool ring_next(struct ring *ring, struct flight *flight);

#endif
