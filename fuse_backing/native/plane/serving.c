/* The readers of a plane serve requests: they look blocks up, and read, write and flush the file of the pool. */
#include "plane_state.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#define MOST_PIECES 32 /* of one request; the smallest blocks, 64 KiB, give 17 in 1 MiB */
#define UNMAPPED UINT64_MAX
#define PAGE 4096 /* smaller pages than these don't exist */
#define MOST_ZEROS (1 << 20) /* bytes of a read that are sent as zeros */

static bool transfer(int fd, enum plane_kind kind, const struct piece *piece) {
    uint64_t offset = piece->offset;
    size_t size = piece->size;
    char *data = piece->data;

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

/* Look up all blocks of a request, and note the pieces that one transfer each can serve; `*count` is their number. False
 * if the table does not know enough, or there are too many pieces: then nothing of the request must be done. */
static bool pieces_of(const struct device *device, const struct plane_request *request, struct piece *pieces,
                      unsigned *count) {
    uint32_t block = device->pool->block;

    *count = 0;
    for (size_t done = 0; done < request->size;) {
        uint64_t offset = request->offset + done;
        uint32_t entry;
        size_t length = run_at(device, request->kind, offset, request->size - done, &entry);

        if (length == 0 || *count == MOST_PIECES)
            return false;
        pieces[(*count)++] = (struct piece){
            request->data + done, length,
            table_is_mapped(entry) ? (uint64_t)table_data_block(entry) * block + offset % block : UNMAPPED};
        done += length;
    }
    return true;
}

/* Have the host read all pages of a piece at once if one is not in the page cache; otherwise each would be read at its
 * own fault. A look at the pages of 1 MiB takes 2 us, and MADV_WILLNEED 15 us even if all of them are there. */
static void read_ahead(const struct pool *pool, const struct piece *piece) {
    unsigned char pages[MOST_ZEROS / PAGE + 1];
    uint64_t within = piece->offset % PAGE;
    char *first = pool->content + piece->offset - within;
    size_t length = within + piece->size, count = (length + PAGE - 1) / PAGE;

    if (count == 1 || mincore(first, length, pages) != 0)
        return;
    for (size_t i = 0; i < count; i++)
        if (!(pages[i] & 1)) {
            madvise(first + i * PAGE, length - i * PAGE, MADV_WILLNEED);
            return;
        }
}

/* Send what is read from the mapped file; false without one, or if it does not have all pieces. */
static bool sends(const struct pool *pool, const struct plane_request *request, const struct piece *pieces,
                  unsigned count) {
    static char zeros[MOST_ZEROS]; /* nobody writes to them, so they take no memory */
    struct iovec content[1 + MOST_PIECES];

    if (request->kind != PLANE_READ || request->send == NULL || pool->content == NULL || request->size > MOST_ZEROS)
        return false;
    for (unsigned i = 0; i < count; i++) {
        bool mapped = pieces[i].offset != UNMAPPED;

        if (mapped && (pieces[i].offset > pool->mapped || pieces[i].size > pool->mapped - pieces[i].offset))
            return false;
        if (mapped)
            read_ahead(pool, &pieces[i]);
        content[1 + i] = (struct iovec){mapped ? pool->content + pieces[i].offset : zeros, pieces[i].size};
    }
    request->send(request->sender, content, 1 + count);
    return true;
}

/* Fill the unmapped pieces with zeros, and remove them from the pieces; return the number of the others. */
static unsigned without_unmapped(struct piece *pieces, unsigned count) {
    unsigned mapped = 0;

    for (unsigned i = 0; i < count; i++)
        if (pieces[i].offset == UNMAPPED)
            memset(pieces[i].data, 0, pieces[i].size);
        else
            pieces[mapped++] = pieces[i];
    return mapped;
}

static enum plane_answer serve_data(struct plane *plane, unsigned number, struct device *device,
                                    const struct plane_request *request) {
    struct piece pieces[MOST_PIECES];
    unsigned count;

    if (request->size == 0 || request->offset > device->size || request->size > device->size - request->offset ||
        !pieces_of(device, request, pieces, &count))
        return PLANE_LEFT;
    if (sends(device->pool, request, pieces, count))
        return PLANE_SENT;
    count = without_unmapped(pieces, count);
    if (count > 0 && device->pool->takes && request->owner != NULL &&
        plane_take(plane, number, device, request, pieces, count))
        return PLANE_TAKEN;
    for (unsigned i = 0; i < count; i++)
        if (!transfer(device->pool->fd, request->kind, &pieces[i]))
            return PLANE_LEFT;
    return PLANE_SERVED;
}

/* A flush that is not taken can occupy its reader for long. At least one reader stays free of them, and a reader with
 * requests in flight must return to those. */
static enum plane_answer serve_flush(struct plane *plane, unsigned number, struct device *device,
                                     const struct plane_request *request) {
    bool served;

    if ((device->pool->takes || request->must_go_on) && request->owner != NULL &&
        plane_take(plane, number, device, request, NULL, 0))
        return PLANE_TAKEN;
    served = atomic_fetch_add(&plane->flushing, 1) + 1 < plane_at_work(plane) && plane_taken(plane, number) == 0 &&
             fdatasync(device->pool->fd) == 0;
    atomic_fetch_sub(&plane->flushing, 1);
    return served ? PLANE_SERVED : PLANE_LEFT;
}

void plane_count(struct pool *pool, unsigned number, enum plane_kind kind, uint32_t size) {
    struct counters *counters = &pool->counters[number];

    switch (kind) {
    case PLANE_READ:
        atomic_fetch_add_explicit(&counters->reads, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&counters->read_bytes, size, memory_order_relaxed);
        break;
    case PLANE_WRITE:
        atomic_fetch_add_explicit(&counters->writes, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&counters->written_bytes, size, memory_order_relaxed);
        break;
    case PLANE_FLUSH:
        atomic_fetch_add_explicit(&counters->flushes, 1, memory_order_relaxed);
        break;
    }
}

void plane_wake(struct plane *plane) {
    if (atomic_load(&plane->awaited))
        eventfd_write(plane->idle, 1);
}

enum plane_answer plane_serve(struct plane *plane, unsigned number, const struct plane_request *request) {
    static const unsigned needs[] = {[PLANE_READ] = PLANE_READS, [PLANE_WRITE] = PLANE_WRITES,
                                     [PLANE_FLUSH] = PLANE_FLUSHES};
    struct reader *reader = &plane->readers[number];
    enum plane_answer answer = PLANE_LEFT;
    struct device *device;

    atomic_fetch_add(&reader->turn, 1);
    atomic_store(&reader->serving, request->handle + 1);
    device = device_of(plane, request->handle);
    if (device != NULL && atomic_load(&device->holds) == 0 && atomic_load(&device->pool->holds) == 0 &&
        (atomic_load(&device->serves) & needs[request->kind])) {
        answer = request->kind == PLANE_FLUSH ? serve_flush(plane, number, device, request)
                                              : serve_data(plane, number, device, request);
        if (answer == PLANE_SERVED || answer == PLANE_SENT)
            plane_count(device->pool, number, request->kind, request->size);
    }
    atomic_store(&reader->serving, 0);
    atomic_fetch_add(&reader->turn, 1);
    plane_wake(plane);
    return answer;
}
