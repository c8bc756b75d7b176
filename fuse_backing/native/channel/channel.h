/* The way between the kernel's FUSE and libfuse, with a shortcut for punches and data, and passthrough.
 *
 * A thread of its own reads /dev/fuse. A fallocate on a file that has been announced is served right there,
 * measured and put into the account, without libfuse, Python or its lock; so are reads and writes, where the
 * kernel does not serve them itself from a backing file. Everything else is queued for libfuse, which waits
 * on an eventfd and reads the queue (fuse_session_custom_io, libfuse 3.13 and later).
 * On the way back two replies are amended, as libfuse before 3.17 does not know passthrough (Linux 6.9,
 * include/uapi/linux/fuse.h): INIT, to ask for it, and OPEN and CREATE, to name the backing file.
 *
 * Owned by:
 *   the device        the opener's descriptor is only duplicated. The channel closes its two duplicates in
 *                     channel_free; the kernel ends the connection with the last descriptor of all.
 *   an empty pipe     made by channel_new and closed by channel_free, which puts it before the thread to read.
 *   channel_fd        made here, handed to libfuse, which closes it with its session; channel_free does not, as
 *                     libfuse may still wait for it. Without a libfuse that has taken it, the caller closes it;
 *                     a channel_new that fails leaves none.
 *   the thread        begins in channel_start; channel_free ends it and waits for it. It never waits for Python.
 *   handles           the host's descriptors are Python's (fuse_backing/filesystem.py), which closes one after
 *                     channel_forget: no punch uses it then, and the kernel releases a file only when its reads
 *                     and writes are answered.
 *   backing files     the descriptor given to channel_backing_open is its caller's, who may close it at once: the
 *                     kernel holds the file until channel_backing_close, or until the connection ends.
 *   the account       borrowed from channel_new to channel_free.
 *   requests          copied into a queue, freed by channel_read as libfuse takes them, the rest by channel_free.
 *   gates             the channel's, until channel_free.
 */
#ifndef FUSE_BACKING_CHANNEL_H
#define FUSE_BACKING_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "account/account.h"

#define CHANNEL_OPCODES 64

struct channel;

/* A channel to `device`, an open /dev/fuse whose reads block. NULL without memory or descriptors. Starts no thread
 * before channel_start. */
struct channel *channel_new(int device, bool passthrough, unsigned stack_depth, struct account *account);
int channel_start(struct channel *channel); /* 0 or an errno */
void channel_free(struct channel *channel); /* waits for a request that is being served, for nothing else */

/* The descriptor (eventfd(2)) that libfuse waits for and gives to the two functions below. */
int channel_fd(struct channel *channel);
ssize_t channel_read(struct channel *channel, void *buffer, size_t size);
ssize_t channel_writev(struct channel *channel, struct iovec *iov, int count);

/* Whether the kernel offered passthrough and was asked for it; false before INIT. */
bool channel_passthrough(struct channel *channel);

/* Register `fd` with the kernel as a backing file: its id, or -1 with errno (EPERM, ELOOP, EOPNOTSUPP). */
int channel_backing_open(struct channel *channel, int fd);
void channel_backing_close(struct channel *channel, int id);

/* Announce an open file by its handle, which is the host's descriptor: punches on it are served here, unless `unit`
 * is 0, and go to `file` of the account, and data; with a backing id above 0 its open is answered as passthrough,
 * and the kernel sends no reads and writes. Announcing again replaces. Returns 0 or an errno. */
int channel_announce(struct channel *channel, int handle, int gate, uint32_t file, uint64_t unit, int backing);
void channel_forget(struct channel *channel, int handle);

/* A gate per inode keeps punches served here apart from changes that Python makes. While somebody has entered,
 * punches of that inode are queued for Python instead. channel_enter waits for one under way. */
int channel_gate(struct channel *channel); /* its number, or -1 without memory */
void channel_enter(struct channel *channel, int gate);
void channel_leave(struct channel *channel, int gate);

/* How many requests of an opcode (FUSE_READ is 15, FUSE_WRITE 16, ...) the kernel has sent. */
uint64_t channel_requests(struct channel *channel, unsigned opcode);
/* How many requests were served here, without libfuse. */
uint64_t channel_served(struct channel *channel);

/* Longest punch in bytes that is served here; 0 sends every request to libfuse, data too. */
void channel_limit(struct channel *channel, uint64_t length);

#endif
