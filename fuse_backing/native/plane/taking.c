/* The readers of a plane take requests: they begin the transfer, serve others meanwhile, and complete them later. */
#include "plane_state.h"

#include <errno.h>
#include <sys/eventfd.h>

int plane_ring_error(void) {
    struct ring *ring = ring_new();

    if (ring == NULL)
        return errno;
    ring_free(ring);
    return 0;
}

bool plane_take(struct plane *plane, unsigned number, struct device *device, const struct plane_request *request,
                const struct piece *pieces, unsigned count) {
    struct reader *reader = &plane->readers[number];
    struct flight flight = {.device = device, .kind = request->kind, .size = request->size, .owner = request->owner};

    if (reader->ring == NULL && !reader->has_no_ring) {
        reader->ring = ring_new();
        reader->has_no_ring = reader->ring == NULL;
    }
    if (reader->ring == NULL)
        return false;
    atomic_fetch_add(&device->taken, 1); /* while the reader still publishes the device */
    atomic_fetch_add(&device->pool->taken, 1);
    ring_queue(reader->ring, device->pool->fd, &flight, pieces, count);
    return true;
}

unsigned plane_taken(struct plane *plane, unsigned number) {
    return plane->readers[number].ring == NULL ? 0 : ring_taken(plane->readers[number].ring);
}

void plane_wait(struct plane *plane, unsigned number, int device, bool alone) {
    bool is_last = atomic_fetch_add(&plane->waiting, 1) + 1 >= plane_at_work(plane);

    ring_wait(plane->readers[number].ring, is_last || alone ? device : -1);
    atomic_fetch_sub(&plane->waiting, 1);
}

bool plane_completed(struct plane *plane, unsigned number, struct plane_completion *completion) {
    struct reader *reader = &plane->readers[number];
    struct flight flight;

    if (reader->ring == NULL || !ring_next(reader->ring, &flight))
        return false;
    *completion = (struct plane_completion){flight.owner, !flight.failed};
    if (!flight.failed)
        plane_count(flight.device->pool, number, flight.kind, flight.size);
    atomic_fetch_sub(&flight.device->pool->taken, 1); /* the device last: then it may be closed */
    atomic_fetch_sub(&flight.device->taken, 1);
    plane_wake(plane);
    return true;
}

void plane_rest(struct plane *plane, unsigned number) {
    if (number < plane_at_work(plane))
        return;
    pthread_mutex_lock(&plane->rest);
    while (number >= plane_at_work(plane) && !plane->ended)
        pthread_cond_wait(&plane->rest_over, &plane->rest);
    pthread_mutex_unlock(&plane->rest);
}

void plane_end_rest(struct plane *plane) {
    pthread_mutex_lock(&plane->rest);
    pthread_cond_broadcast(&plane->rest_over);
    pthread_mutex_unlock(&plane->rest);
}

void plane_end(struct plane *plane) {
    pthread_mutex_lock(&plane->rest);
    plane->ended = true;
    pthread_cond_broadcast(&plane->rest_over);
    pthread_mutex_unlock(&plane->rest);
}

void plane_leave(struct plane *plane, unsigned number) {
    struct reader *reader = &plane->readers[number];

    if (reader->ring != NULL)
        ring_free(reader->ring);
    reader->ring = NULL;
}
