/* The channel lies between the kernel's FUSE and libfuse; it serves punches and data, and sets up passthrough.
 *
 * Its own threads read /dev/fuse. They serve a fallocate on an announced file: they measure the punch and record it
 * in the account, without libfuse, Python or Python's lock. They also serve fsync, and reads and writes that the
 * kernel does not serve from a backing file, and hand those of thin devices to the plane. All other requests are
 * queued for libfuse, which waits on an eventfd and reads the queue (fuse_session_custom_io, libfuse 3.13 and later).
 * The channel amends two kinds of replies of libfuse, since libfuse before 3.17 does not know passthrough (Linux 6.9,
 * include/uapi/linux/fuse.h): INIT, to request passthrough, and OPEN and CREATE, to name the backing file.
 *
 * Owned by:
 *   the devices       The opener keeps its descriptors. The channel closes its two duplicates in channel_free; the
 *                     kernel ends the connection with the last descriptor of all.
 *   an empty pipe     channel_new makes it. channel_free makes the threads read from it, and closes it.
 *   channel_fd        The channel makes it and hands it to libfuse, which closes it with its session; channel_free
 *                     does not, since libfuse may still wait for it. If no libfuse has taken it, the caller closes it.
 *                     A channel_new that fails leaves none.
 *   the threads       They begin in channel_start; channel_free ends them and waits for them. They never wait for
 *                     Python.
 *   the plane         The caller keeps it until after channel_free.
 *   handles           Python owns the host's descriptors (fuse_backing/filesystem.py), and closes one after
 *                     channel_forget. Then no punch uses it, and the kernel releases a file only when its reads and
 *                     writes are answered.
 *   backing files     The caller of channel_backing_open owns the descriptor, and may close it at once: the kernel
 *                     holds the file until channel_backing_close, or until the connection ends.
 *   the account       The channel borrows it from channel_new to channel_free.
 *   requests          The channel copies them into a queue. channel_read frees each one that libfuse takes, and
 *                     channel_free the rest.
 *   gates             The channel owns them until channel_free.
 *   latencies         The channel makes and frees them.
 */
#ifndef FUSE_BACKING_CHANNEL_H
#define FUSE_BACKING_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "account/account.h"
#include "latency/latency.h"
#include "plane/plane.h"

#define CHANNEL_OPCODES 64

struct channel;

/* Make a channel to `devices`, open /dev/fuse of one connection (FUSE_DEV_IOC_CLONE) with blocking reads. Each gets a
 * thread, which starts only in channel_start. With a `plane`, it serves reads, writes and flushes, and no file may be
 * announced. NULL without memory or descriptors. */
struct channel *channel_new(const int *devices, unsigned nr_devices, bool passthrough, unsigned stack_depth,
                            struct account *account, struct plane *plane);
int channel_start(struct channel *channel); /* 0 or an errno */
void channel_free(struct channel *channel); /* waits only for the request that is being served */

/* The descriptor (eventfd(2)) that libfuse waits for and passes to the two functions below. */
int channel_fd(struct channel *channel);
ssize_t channel_read(struct channel *channel, void *buffer, size_t size);
ssize_t channel_writev(struct channel *channel, struct iovec *iov, int count);

/* Return true if the kernel offered passthrough and the channel requested it; false before INIT. */
bool channel_passthrough(struct channel *channel);

/* Register `fd` with the kernel as a backing file. Return its id, or -1 with errno (EPERM, ELOOP, EOPNOTSUPP). */
int channel_backing_open(struct channel *channel, int fd);
void channel_backing_close(struct channel *channel, int id);

/* Announce an open file by its handle, which is the host's descriptor. The channel then serves its data, and its
 * punches unless `unit` is 0; it records them under `file` of the account. With a `backing` id above 0 the channel
 * answers the open as passthrough, and the kernel sends no reads and writes. A second call replaces the first. Returns
 * 0 or an errno. */
int channel_announce(struct channel *channel, int handle, int gate, uint32_t file, uint64_t unit, int backing);
void channel_forget(struct channel *channel, int handle);

/* A gate per inode separates the channel's punches from changes that Python makes. Between channel_enter and
 * channel_leave, punches of that inode are queued for Python instead. channel_enter waits for a running punch. */
int channel_gate(struct channel *channel); /* its number, or -1 without memory */
void channel_enter(struct channel *channel, int gate);
void channel_leave(struct channel *channel, int gate);

/* Return the number of requests of an opcode (FUSE_READ is 15, FUSE_WRITE 16, ...) that the kernel has sent. */
uint64_t channel_requests(struct channel *channel, unsigned opcode);
/* Return the number of requests that the channel has served without libfuse. */
uint64_t channel_served(struct channel *channel);

/* Return the latencies of the requests that the kernel has sent. A latency begins when the channel's thread has read the
 * request, and ends when the answer is written. So it does not contain the wait in the kernel's queue. */
struct latencies *channel_latencies(struct channel *channel);

/* Set the longest punch, in bytes, that the channel serves; 0 sends every request to libfuse, including data. */
void channel_limit(struct channel *channel, uint64_t length);

#endif
