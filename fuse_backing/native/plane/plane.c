#include "plane.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "pages.h"
#include "table.h"

#define MOST_DEVICES 4096 /* two handles with the same remainder cannot be open at once */
#define LINE 64           /* bytes of a processor's cache line */

struct reader {
    atomic_uint_fast64_t serving; /* the handle that is served, plus 1; 0 for none */
    atomic_uint_fast64_t turn;    /* odd while the reader looks at tables (pages.h) */
} __attribute__((aligned(LINE)));

struct counters {
    atomic_uint_fast64_t reads, writes, flushes, read_bytes, written_bytes;
} __attribute__((aligned(LINE)));

struct pool {
    int number, fd;
    uint32_t block;
    atomic_int holds;
    struct counters counters[PLANE_MOST_READERS];
    struct pool *next;
};

struct device {
    uint64_t handle, size;
    struct pool *pool;
    atomic_int holds;
    atomic_uint serves;
    struct table *table;
};

struct plane {
    unsigned nr_readers;
    struct reader readers[PLANE_MOST_READERS];
    const atomic_uint_fast64_t *turns[PLANE_MOST_READERS];
    struct pages *pages;
    struct pool *pools;
    int next_pool;
    int idle;            /* eventfd */
    atomic_bool awaited; /* a holder waits, so a reader that leaves writes to idle */
    atomic_uint flushing;
    _Atomic(struct device *) devices[MOST_DEVICES];
};

struct plane *plane_new(unsigned readers, uint64_t table_bytes) {
    struct plane *plane = aligned_alloc(LINE, sizeof *plane);

    if (plane == NULL)
        return NULL;
    memset(plane, 0, sizeof *plane);
    plane->nr_readers = readers < PLANE_MOST_READERS ? readers : PLANE_MOST_READERS;
    for (unsigned i = 0; i < plane->nr_readers; i++)
        plane->turns[i] = &plane->readers[i].turn;
    plane->pages = pages_new(table_bytes / sizeof(struct table_page), plane->turns, plane->nr_readers);
    plane->idle = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (plane->pages == NULL || plane->idle < 0) {
        if (plane->pages != NULL)
            pages_free(plane->pages);
        free(plane);
        return NULL;
    }
    return plane;
}

static struct pool *pool_of(struct plane *plane, int number) {
    struct pool *pool = plane->pools;

    while (pool != NULL && pool->number != number)
        pool = pool->next;
    return pool;
}

static _Atomic(struct device *) *place_of(struct plane *plane, uint64_t handle) {
    return &plane->devices[handle % MOST_DEVICES];
}

static struct device *device_of(struct plane *plane, uint64_t handle) {
    struct device *device = atomic_load(place_of(plane, handle));

    return device != NULL && device->handle == handle ? device : NULL;
}

static void device_free(struct plane *plane, struct device *device) {
    for (size_t i = 0; i < device->table->nr_pages; i++)
        pages_drop(plane->pages, device->table, i);
    table_free(device->table);
    free(device);
}

void plane_free(struct plane *plane) {
    for (size_t i = 0; i < MOST_DEVICES; i++) {
        struct device *device = atomic_load(&plane->devices[i]);

        if (device != NULL)
            device_free(plane, device);
    }
    while (plane->pools != NULL) {
        struct pool *pool = plane->pools;

        plane->pools = pool->next;
        free(pool);
    }
    pages_free(plane->pages);
    close(plane->idle);
    free(plane);
}

int plane_pool_open(struct plane *plane, int fd, uint32_t block) {
    struct pool *pool = aligned_alloc(LINE, sizeof *pool);

    if (pool == NULL)
        return -1;
    memset(pool, 0, sizeof *pool);
    pool->number = plane->next_pool++;
    pool->fd = fd;
    pool->block = block;
    pool->next = plane->pools;
    plane->pools = pool;
    return pool->number;
}

void plane_pool_close(struct plane *plane, int number) {
    struct pool **link = &plane->pools;

    while (*link != NULL && (*link)->number != number)
        link = &(*link)->next;
    if (*link != NULL) {
        struct pool *pool = *link;

        *link = pool->next;
        free(pool);
    }
}

int plane_open(struct plane *plane, uint64_t handle, int number, uint64_t size) {
    struct pool *pool = pool_of(plane, number);
    struct device *device;

    if (pool == NULL)
        return ENXIO;
    if (atomic_load(place_of(plane, handle)) != NULL)
        return EBUSY;
    device = calloc(1, sizeof *device);
    if (device == NULL)
        return ENOMEM;
    device->handle = handle;
    device->size = size;
    device->pool = pool;
    atomic_init(&device->holds, 1);
    device->table = table_new((size + pool->block - 1) / pool->block);
    if (device->table == NULL) {
        free(device);
        return ENOMEM;
    }
    atomic_store(place_of(plane, handle), device);
    return 0;
}

void plane_close(struct plane *plane, uint64_t handle) {
    struct device *device = device_of(plane, handle);

    if (device == NULL)
        return;
    atomic_store(place_of(plane, handle), NULL);
    /* A reader may have found the device just before, and not have looked for holds yet. It leaves at once. */
    for (unsigned i = 0; i < plane->nr_readers; i++)
        while (atomic_load(&plane->readers[i].serving) == handle + 1)
            sched_yield();
    device_free(plane, device);
}

void plane_set(struct plane *plane, uint64_t handle, unsigned serves) {
    struct device *device = device_of(plane, handle);

    if (device != NULL)
        atomic_store(&device->serves, serves);
}

void plane_hold(struct plane *plane, uint64_t handle) {
    struct device *device = device_of(plane, handle);

    if (device != NULL)
        atomic_fetch_add(&device->holds, 1);
}

void plane_release(struct plane *plane, uint64_t handle) {
    struct device *device = device_of(plane, handle);

    if (device != NULL)
        atomic_fetch_sub(&device->holds, 1);
}

void plane_pool_hold(struct plane *plane, int number) {
    struct pool *pool = pool_of(plane, number);

    if (pool != NULL)
        atomic_fetch_add(&pool->holds, 1);
}

void plane_pool_release(struct plane *plane, int number) {
    struct pool *pool = pool_of(plane, number);

    if (pool != NULL)
        atomic_fetch_sub(&pool->holds, 1);
}

bool plane_is_idle(struct plane *plane, uint64_t handle) {
    for (unsigned i = 0; i < plane->nr_readers; i++)
        if (atomic_load(&plane->readers[i].serving) == handle + 1)
            return false;
    return true;
}

bool plane_pool_is_idle(struct plane *plane, int number) {
    for (unsigned i = 0; i < plane->nr_readers; i++) {
        uint64_t serving = atomic_load(&plane->readers[i].serving);
        struct device *device = serving == 0 ? NULL : device_of(plane, serving - 1);

        if (device != NULL && device->pool->number == number)
            return false;
    }
    return true;
}

int plane_idle_fd(struct plane *plane) {
    return plane->idle;
}

void plane_await(struct plane *plane, bool awaited) {
    atomic_store(&plane->awaited, awaited);
}

void plane_learn(struct plane *plane, uint64_t handle, uint64_t block, const uint32_t *entries, size_t count) {
    struct device *device = device_of(plane, handle);

    for (size_t i = 0; device != NULL && i < count && block + i < device->table->blocks; i++) {
        size_t place = (size_t)((block + i) / TABLE_PAGE_ENTRIES);
        struct table_page *page = atomic_load(&device->table->pages[place]);

        if (page == NULL)
            page = pages_give(plane->pages, device->table, place);
        if (page == NULL)
            return;
        atomic_store_explicit(&page->entries[(block + i) % TABLE_PAGE_ENTRIES], entries[i], memory_order_release);
    }
}

bool plane_knows(struct plane *plane, uint64_t handle, uint64_t block, uint64_t count) {
    struct device *device = device_of(plane, handle);

    for (uint64_t i = 0; device != NULL && i < count; i++)
        if (block + i < device->table->blocks && table_look(device->table, block + i) == TABLE_UNKNOWN)
            return false;
    return device != NULL;
}

void plane_forget(struct plane *plane, uint64_t handle, uint64_t block, uint64_t count) {
    struct device *device = device_of(plane, handle);
    uint64_t end;

    if (device == NULL || block >= device->table->blocks)
        return;
    end = count < device->table->blocks - block ? block + count : device->table->blocks;
    while (block < end) {
        size_t place = (size_t)(block / TABLE_PAGE_ENTRIES);
        uint64_t next = (place + 1ull) * TABLE_PAGE_ENTRIES;
        struct table_page *page = atomic_load(&device->table->pages[place]);

        if (page != NULL && block % TABLE_PAGE_ENTRIES == 0 && (next <= end || end == device->table->blocks))
            pages_drop(plane->pages, device->table, place);
        else if (page != NULL)
            for (uint64_t each = block; each < end && each < next; each++)
                atomic_store_explicit(&page->entries[each % TABLE_PAGE_ENTRIES], TABLE_UNKNOWN, memory_order_release);
        block = next;
    }
}

struct plane_counts plane_pool_counts(struct plane *plane, int number) {
    struct pool *pool = pool_of(plane, number);
    struct plane_counts counts = {0};

    for (unsigned i = 0; pool != NULL && i < plane->nr_readers; i++) {
        counts.reads += atomic_load(&pool->counters[i].reads);
        counts.writes += atomic_load(&pool->counters[i].writes);
        counts.flushes += atomic_load(&pool->counters[i].flushes);
        counts.read_bytes += atomic_load(&pool->counters[i].read_bytes);
        counts.written_bytes += atomic_load(&pool->counters[i].written_bytes);
    }
    return counts;
}

uint64_t plane_table_bytes(struct plane *plane) {
    return pages_used(plane->pages) * sizeof(struct table_page);
}

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
