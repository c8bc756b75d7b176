/* Pools, devices and holds of a plane, and the tables that Python fills. */
#include "plane_state.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct plane *plane_new(unsigned readers, uint64_t table_bytes) {
    struct plane *plane = aligned_alloc(LINE, sizeof *plane);

    if (plane == NULL)
        return NULL;
    memset(plane, 0, sizeof *plane);
    pthread_mutex_init(&plane->rest, NULL);
    pthread_cond_init(&plane->rest_over, NULL);
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

static void device_free(struct plane *plane, struct device *device) {
    for (size_t i = 0; i < device->table->nr_pages; i++)
        pages_drop(plane->pages, device->table, i);
    table_free(device->table);
    free(device);
}

/* Map the pool's file, if that is possible: not every file system has it (FUSE with FOPEN_DIRECT_IO has not). */
static void map_file(struct pool *pool) {
    struct stat status;
    void *content;

    if (fstat(pool->fd, &status) != 0 || status.st_size <= 0)
        return;
    content = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_SHARED | MAP_NORESERVE, pool->fd, 0);
    if (content == MAP_FAILED)
        return;
    /* Otherwise a fault reads all that the disk reads ahead, up to megabytes: mm/filemap.c, do_sync_mmap_readahead. */
    madvise(content, (size_t)status.st_size, MADV_RANDOM);
    pool->content = content;
    pool->mapped = (size_t)status.st_size;
}

static void pool_free(struct pool *pool) {
    if (pool->content != NULL)
        munmap(pool->content, pool->mapped);
    free(pool);
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
        pool_free(pool);
    }
    pages_free(plane->pages);
    pthread_cond_destroy(&plane->rest_over);
    pthread_mutex_destroy(&plane->rest);
    close(plane->idle);
    free(plane);
}

void plane_set_readers(struct plane *plane, unsigned readers) {
    plane->nr_readers = readers;
}

int plane_pool_open(struct plane *plane, int fd, uint32_t block, enum plane_access access) {
    struct pool *pool = aligned_alloc(LINE, sizeof *pool);

    if (pool == NULL)
        return -1;
    memset(pool, 0, sizeof *pool);
    pool->number = plane->next_pool++;
    pool->fd = fd;
    pool->takes = access == PLANE_TAKES;
    pool->block = block;
    if (access == PLANE_MAPS)
        map_file(pool);
    pool->next = plane->pools;
    plane->pools = pool;
    atomic_fetch_add(pool->takes ? &plane->takers : &plane->others, 1);
    plane_end_rest(plane);
    return pool->number;
}

void plane_pool_close(struct plane *plane, int number) {
    struct pool **link = &plane->pools;

    while (*link != NULL && (*link)->number != number)
        link = &(*link)->next;
    if (*link != NULL) {
        struct pool *pool = *link;

        *link = pool->next;
        atomic_fetch_sub(pool->takes ? &plane->takers : &plane->others, 1);
        plane_end_rest(plane);
        pool_free(pool);
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
    while (atomic_load(&device->taken) != 0) /* a reader has just completed the pool's last request */
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
    struct device *device;

    for (unsigned i = 0; i < plane->nr_readers; i++)
        if (atomic_load(&plane->readers[i].serving) == handle + 1)
            return false;
    /* After the readers: before one ceases to publish the device it has counted what it has taken. */
    device = device_of(plane, handle);
    return device == NULL || atomic_load(&device->taken) == 0;
}

bool plane_pool_is_idle(struct plane *plane, int number) {
    struct pool *pool = pool_of(plane, number);

    for (unsigned i = 0; i < plane->nr_readers; i++) {
        uint64_t serving = atomic_load(&plane->readers[i].serving);
        struct device *device = serving == 0 ? NULL : device_of(plane, serving - 1);

        if (device != NULL && device->pool->number == number)
            return false;
    }
    return pool == NULL || atomic_load(&pool->taken) == 0; /* after the readers, as above */
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
