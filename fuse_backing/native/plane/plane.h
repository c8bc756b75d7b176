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
 * A pool on a block device is served with io_uring (ring.h), where the kernel has it. Then a reader *takes* a request:
 * it begins the transfer and goes on, and gets the request back from plane_completed. Taken requests are counted for
 * their device and pool, before the reader ceases to publish the device. So a holder looks for readers first, and then
 * at the counts: a request is always in one of the two.
 *
 * A pool on a file maps it into memory, if the file system can. Then the content of a read goes to its receiver from the
 * page cache of the file, and is not copied to a buffer before.
 *
 * Owned by:
 *   the plane     the channel's mount; plane_free frees it after the channel's threads have ended.
 *   pools         the plane, until plane_pool_close, which the caller calls after the last of its devices is closed.
 *   devices       the plane, until plane_close; the device must be held and idle then.
 *   descriptors   The caller owns a pool's descriptor and keeps it open until plane_pool_close.
 *   mapped files  the pool, until plane_pool_close.
 *   taken data    The caller keeps the data of a taken request until plane_completed returns it.
 *   rings         their readers, from the first taken request to plane_leave.
 *   idle_fd       the plane; it is readable when a reader has left a device that a holder waits for.
 *
 * Threads: the readers call plane_serve, plane_taken, plane_wait, plane_completed, plane_rest and plane_leave, each for
 * itself. All other functions are for one thread at a time, which holds Python's lock.
 */
#ifndef FUSE_BACKING_PLANE_H
#define FUSE_BACKING_PLANE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#define PLANE_MOST_READERS 32
#define PLANE_MOST_TAKEN 32 /* requests in flight for one reader */
#define PLANE_TAKERS 2      /* readers at work while the requests of all pools are taken */

enum plane_serves { PLANE_READS = 1, PLANE_WRITES = 2, PLANE_FLUSHES = 4 };

enum plane_kind { PLANE_READ, PLANE_WRITE, PLANE_FLUSH };

enum plane_answer {
    PLANE_LEFT,   /* to Python */
    PLANE_SERVED, /* it is complete */
    PLANE_SENT,   /* it is complete, and `send` has sent what was read */
    PLANE_TAKEN,  /* plane_completed will return it */
};

struct plane;

struct plane_request {
    enum plane_kind kind;
    uint64_t handle, offset;
    uint32_t size;
    char *data;  /* the data to write, or room for those to read; in whole pages for a block device (O_DIRECT) */
    void *owner; /* plane_completed returns it; NULL: the request must not be taken */
    bool must_go_on; /* the reader must not wait for a flush: it is taken, whatever the pool is on */
    /* Sends what was read from where it is, while no holder can change it; NULL: it must be in `data`. The first of the
     * `count` vectors is for a header. The others are only for system calls: where the file cannot be read these fail
     * with EFAULT, but the program itself would get SIGBUS. */
    void (*send)(void *sender, struct iovec *content, unsigned count);
    void *sender;
};

struct plane_completion {
    void *owner;
    bool served; /* false leaves the whole request to Python */
};

struct plane_counts {
    uint64_t reads, writes, flushes, read_bytes, written_bytes;
};

/* Return a plane for `readers` threads whose tables take at most `table_bytes`; NULL without memory. */
struct plane *plane_new(unsigned readers, uint64_t table_bytes);
void plane_free(struct plane *plane);
/* Set the number of readers, at most as many as plane_new was given, before they begin. */
void plane_set_readers(struct plane *plane, unsigned readers);

/* Serve a request as the reader of that number. PLANE_LEFT leaves it to Python, and nothing of it is done but what a
 * repeat by Python does again. With PLANE_MOST_TAKEN requests in flight a reader must wait before it serves another. */
enum plane_answer plane_serve(struct plane *plane, unsigned reader, const struct plane_request *request);

/* Return the number of requests that a reader has taken, and that plane_completed has not returned. */
unsigned plane_taken(struct plane *plane, unsigned reader);
/* Begin the transfers of the taken requests, and wait until one is complete or a signal comes. The last reader that
 * would wait also returns when its `device` is readable, unless that is -1: so one reader always sees new requests. A
 * reader that is `alone` with its device always does. */
void plane_wait(struct plane *plane, unsigned reader, int device, bool alone);
/* Take the next complete request of a reader, if there is one. */
bool plane_completed(struct plane *plane, unsigned reader, struct plane_completion *completion);
/* Rest while enough other readers are at work: one that takes requests serves many, and more only disturb each other.
 * Call it without taken requests, before a read that blocks. */
void plane_rest(struct plane *plane, unsigned reader);
/* Let no reader rest any more: the channel ends. */
void plane_end(struct plane *plane);
/* End a reader's use of the plane, in its own thread. It has no taken requests. */
void plane_leave(struct plane *plane, unsigned reader);

/* Return 0 if this process can have io_uring, or an errno: ENOSYS or EPERM where the kernel has none for it. */
int plane_ring_error(void);

/* The way to the bytes of a pool. */
enum plane_access {
    PLANE_TRANSFERS, /* reads and writes of a file or block device */
    PLANE_MAPS,      /* the same, and reads of a file are sent from its mapping where the file can be mapped */
    PLANE_TAKES,     /* requests to a block device, opened with O_DIRECT, are taken */
};

/* Open a pool with data blocks of `block` bytes on `fd`. Return its number, or -1 without memory. */
int plane_pool_open(struct plane *plane, int fd, uint32_t block, enum plane_access access);
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

/* Return whether no request of the held device or pool is being served or in flight. With plane_await, idle_fd becomes
 * readable when a reader leaves, and when a taken request is complete. */
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
