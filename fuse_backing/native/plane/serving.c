/* The readers of a plane serve requests: they look blocks up, and read, write and flush the file of the pool. */
#include "plane_state.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static bool transfer(int fd, enum plane_kind kind, char *data, size_t size, uint64_t offset) {
    while (size > 0) {
        ssize_t done = kind == PLANE_READ ? pread(fd, data, size, (off_t)offset) : pwrite(fd, data, size, (off_t)offset);

        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return false;
        data += done;
        size -= (size_t)done;
        offset += (uint64_t)done;
    }
    return true;
}

/* Return the bytes from `offset` on, at most `size`, that one system call can serve, with the entry of the first block.
 * 0 if the table does not know the first block, or a write must not go there. */
static size_t run_at(const struct device *device, enum plane_kind kind, uint64_t offset, size_t size, uint32_t *entry) {
    uint32_t block = device->pool->block;
    uint64_t vblock = offset / block;
    size_t length = block - offset % block;

    *entry = table_look(device->table, vblock);
    if (*entry == TABLE_UNKNOWN || (kind == PLANE_WRITE && !table_is_writable(*entry)))
        return 0;
    while (length < size) {
        uint32_t next = table_look(device->table, ++vblock);
        bool follows = table_is_mapped(*entry)
                           ? table_is_mapped(next) && table_data_block(next) == table_data_block(*entry) +
                                                                                    (vblock - offset / block)
                           : next == TABLE_UNMAPPED;

        if (!follows || (kind == PLANE_WRITE && !table_is_writable(next)))
            break;
        length += block;
    }
    return length < size ? length : size;
}

/* Return whether the table knows enough for the whole request: nothing of it is done otherwise. */
static bool knows_all(const struct device *device, const struct plane_request *request) {
    for (size_t done = 0; done < request->size;) {
        uint32_t entry;
        size_t length = run_at(device, request->kind, request->offset + done, request->size - done, &entry);

        if (length == 0)
            return false;
        done += length;
    }
    return true;
}

static bool serve_data(const struct device *device, const struct plane_request *request) {
    uint32_t block = device->pool->block;

    if (request->size == 0 || request->offset > device->size || request->size > device->size - request->offset ||
        !knows_all(device, request))
        return false;
    for (size_t done = 0; done < request->size;) {
        uint64_t offset = request->offset + done;
        uint32_t entry;
        size_t length = run_at(device, request->kind, offset, request->size - done, &entry);

        if (length == 0) /* another thread took the page away meanwhile */
            return false;
        if (!table_is_mapped(entry))
            memset(request->data + done, 0, length);
        else if (!transfer(device->pool->fd, request->kind, request->data + done, length,
                           (uint64_t)table_data_block(entry) * block + offset % block))
            return false;
        done += length;
    }
    return true;
}

/* At least one reader stays free of flushes, which can take long. */
static bool serve_flush(struct plane *plane, const struct device *device) {
    bool served = atomic_fetch_add(&plane->flushing, 1) + 1 < plane->nr_readers && fdatasync(device->pool->fd) == 0;

    atomic_fetch_sub(&plane->flushing, 1);
    return served;
}

static void count(struct counters *counters, const struct plane_request *request) {
    switch (request->kind) {
    case PLANE_READ:
        atomic_fetch_add_explicit(&counters->reads, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&counters->read_bytes, request->size, memory_order_relaxed);
        break;
    case PLANE_WRITE:
        atomic_fetch_add_explicit(&counters->writes, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&counters->written_bytes, request->size, memory_order_relaxed);
        break;
    case PLANE_FLUSH:
        atomic_fetch_add_explicit(&counters->flushes, 1, memory_order_relaxed);
        break;
    }
}

bool plane_serve(struct plane *plane, unsigned number, const struct plane_request *request) {
    static const unsigned needs[] = {[PLANE_READ] = PLANE_READS, [PLANE_WRITE] = PLANE_WRITES,
                                     [PLANE_FLUSH] = PLANE_FLUSHES};
    struct reader *reader = &plane->readers[number];
    struct device *device;
    bool served = false;

    atomic_fetch_add(&reader->turn, 1);
    atomic_store(&reader->serving, request->handle + 1);
    device = device_of(plane, request->handle);
    if (device != NULL && atomic_load(&device->holds) == 0 && atomic_load(&device->pool->holds) == 0 &&
        (atomic_load(&device->serves) & needs[request->kind])) {
        served = request->kind == PLANE_FLUSH ? serve_flush(plane, device) : serve_data(device, request);
        if (served)
            count(&device->pool->counters[number], request);
    }
    atomic_store(&reader->serving, 0);
    atomic_fetch_add(&reader->turn, 1);
    if (atomic_load(&plane->awaited))
        eventfd_write(plane->idle, 1);
    return served;
}
