/* The plane serves reads, writes and flushes of thin devices without Python, where that changes no mapping.
 *
 * Python decides; the plane repeats what Python has decided. Each device has a table of the mappings that Python has
 * looked up (table.h). A request is served if the table knows each of its blocks: a read of mapped and unmapped blocks,
 * a write of mapped blocks that share no data block with a snapshot. A flush is served while the device is clean: then
 * no mapping of it waits for a commit. Every other request is left to Python, as is a request of which a part fails.
 *
 * Before Python changes a mapping, it holds the device's pool: from then on no request of the pool's devices is served,
 * and the pool is idle once those that were being served have ended. A single device is held for a suspend. Holds are
 * counted. While a pool is held, Python changes tables and flags; after the release, requests find the new ones.
 *
 * The protocol between readers and a holder is Dekker's: a reader first publishes which device it serves, then looks for
 * holds; a holder first counts its hold, then looks for readers. Both are sequentially consistent, so at least one of
 * them sees the other.
 *
 * Owned by:
 *   the plane     the channel's mount; plane_free frees it after the channel's threads have ended.
 *   pools         the plane, until plane_pool_close, which the caller calls after the last of its devices is closed.
 *   devices       the plane, until plane_close; the device must be held and idle then.
 *   descriptors   The caller owns a pool's descriptor and keeps it open until plane_pool_close.
 *   idle_fd       the plane; it is readable when a reader has left a device that a holder waits for.
 *
 * Threads: the readers call plane_serve. All other functions are for one thread at a time, which holds Python's lock.
 */
#ifndef FUSE_BACKING_PLANE_H
#define FUSE_BACKING_PLANE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PLANE_MOST_READERS 16

enum plane_serves { PLANE_READS = 1, PLANE_WRITES = 2, PLANE_FLUSHES = 4 };

enum plane_kind { PLANE_READ, PLANE_WRITE, PLANE_FLUSH };

struct plane;

struct plane_request {
    enum plane_kind kind;
    uint64_t handle, offset;
    uint32_t size;
    char *data; /* the data to write, or room for those to read */
};

struct plane_counts {
    uint64_t reads, writes, flushes, read_bytes, written_bytes;
};

/* Return a plane for `readers` threads whose tables take at most `table_bytes`; NULL without memory. */
struct plane *plane_new(unsigned readers, uint64_t table_bytes);
void plane_free(struct plane *plane);

/* Serve a request as the reader of that number; false leaves it to Python, and nothing of it is done but what a repeat
 * by Python does again. */
bool plane_serve(struct plane *plane, unsigned reader, const struct plane_request *request);

/* Open a pool with data blocks of `block` bytes on the file `fd`. Return its number, or -1 without memory. */
int plane_pool_open(struct plane *plane, int fd, uint32_t block);
void plane_pool_close(struct plane *plane, int pool);

/* Open the device of a file handle: `size` bytes, of a pool. It is held once, and serves nothing. 0 or an errno. */
int plane_open(struct plane *plane, uint64_t handle, int pool, uint64_t size);
void plane_close(struct plane *plane, uint64_t handle);

/* Set which requests of a device are served (enum plane_serves). */
void plane_set(struct plane *plane, uint64_t handle, unsigned serves);

/* Hold and release a device, or a pool with all devices; holds are counted. */
void plane_hold(struct plane *plane, uint64_t handle);
void plane_release(struct plane *plane, uint64_t handle);
void plane_pool_hold(struct plane *plane, int pool);
void plane_pool_release(struct plane *plane, int pool);

/* Return whether no reader serves the held device or pool. With plane_await, idle_fd becomes readable when a reader
 * leaves. */
bool plane_is_idle(struct plane *plane, uint64_t handle);
bool plane_pool_is_idle(struct plane *plane, int pool);
int plane_idle_fd(struct plane *plane);
/* Set whether a holder waits: only then do readers write to idle_fd. Set it before the question whether they are idle. */
void plane_await(struct plane *plane, bool awaited);

/* Fill `count` entries (table.h) from a virtual block on. Without memory, the rest stays unknown. */
void plane_learn(struct plane *plane, uint64_t handle, uint64_t block, const uint32_t *entries, size_t count);
/* Return whether the table knows every block of a range. */
bool plane_knows(struct plane *plane, uint64_t handle, uint64_t block, uint64_t count);
/* Forget a range of virtual blocks. The device must be held and idle, unless its mappings have not changed. */
void plane_forget(struct plane *plane, uint64_t handle, uint64_t block, uint64_t count);

/* Return what was served for a pool since it was opened. */
struct plane_counts plane_pool_counts(struct plane *plane, int pool);
/* Return the bytes that all tables take. */
uint64_t plane_table_bytes(struct plane *plane);

#endif
