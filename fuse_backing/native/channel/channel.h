/* The channel owns /dev/fuse: its threads read every request, and it alone decides who answers.
 *
 *   the channel itself   fallocate on an announced file: it measures the punch and records it in the account. It
 *                        serves fsync too, and reads and writes that the kernel does not serve from a backing
 *                        file. It hands those of thin devices to the plane. Python's lock is not involved.
 *   Python               the same requests, where the channel does not serve them, and lseek and statfs. They wait in
 *                        a queue (channel_take, channel_reply).
 *   the names            requests about names, attributes and opens, where the channel has names. Where they need Python
 *                        first (a truncation), they wait in the same queue (channel_take, channel_resume).
 *   libfuse              everything else, such as INIT. libfuse has one end of a pair of sockets as its device
 *                        (/dev/fd/N), with the message borders of /dev/fuse. The channel amends its answer to INIT, since
 *                        libfuse before 3.17 does not know passthrough (Linux 6.9, include/uapi/linux/fuse.h).
 *
 * So no function of libfuse is replaced, and no build option of it is needed.
 *
 * Owned by:
 *   the devices       The opener keeps its descriptors. The channel closes its two duplicates in channel_free; the
 *                     kernel ends the connection with the last descriptor of all.
 *   an empty pipe     channel_new makes it. channel_free makes the threads read from it, and closes it.
 *   the sockets       channel_new makes them. The caller owns libfuse's end from channel_libfuse on; channel_free
 *                     closes the other, and both if libfuse's end was never taken.
 *   channel_fd        The channel makes it; channel_free closes it.
 *   the threads       They begin in channel_start; channel_free ends them and waits for them. They never wait for
 *                     Python.
 *   rings             FUSE over io_uring: see uring.h.
 *   the plane         The caller keeps it until after channel_free, and so it is with the names.
 *   handles           The names own the host's descriptors, and close one after channel_forget. Then no punch uses it, and
 *                     the kernel releases a file only when its reads and writes are answered.
 *   backing files     The caller of channel_backing_open owns the descriptor, and may close it at once: the kernel
 *                     holds the file until channel_backing_close, or until the connection ends.
 *   the account       The channel borrows it from channel_new to channel_free.
 *   requests          The caller of channel_take owns one until it calls channel_request_free, even after its answer;
 *                     channel_free frees the rest. A large one is in the buffer that it was read into: the thread that
 *                     read it takes another buffer, of which the channel keeps a few.
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
#include "names/names.h"
#include "plane/plane.h"

#define CHANNEL_OPCODES 64
#define CHANNEL_MOST_DEVICES 16

struct channel;
struct uring_entry;

/* The kernel takes an answer only where the request came from: an entry of io_uring, or else the device of a reader. */
struct channel_origin {
    unsigned reader;
    struct uring_entry *entry; /* NULL for a device */
};

/* A request that is left to Python. `body` follows the header of the protocol; the data of a write is page-aligned. */
struct channel_request {
    struct channel_request *next; /* the channel's own */
    uint64_t unique, node;
    uint32_t opcode, kind; /* the kind is of enum latency_kind */
    int64_t began;         /* nanoseconds, CLOCK_MONOTONIC */
    struct channel_origin origin;
    bool large;            /* it is in the buffer of a reader */
    bool note;             /* it has no answer; its opcode is of enum names_note, and the body is a path */
    int fd;                /* of a note, or -1; closed with the request */
    size_t size;           /* of the body, bytes */
    char *body;
};

/* Make a channel to `devices`, open /dev/fuse of one connection (FUSE_DEV_IOC_CLONE) with blocking reads. Each gets a
 * thread, which starts only in channel_start. Without an `account` no file may be announced. With a `plane`, it serves
 * reads, writes and flushes. NULL without memory or descriptors. */
struct channel *channel_new(const int *devices, unsigned nr_devices, bool passthrough, unsigned stack_depth,
                            struct account *account, struct plane *plane);
/* Request FUSE over io_uring at INIT. Call it before channel_start, with a plane for PLANE_MOST_READERS or without one.
 * 0 or an errno. */
int channel_request_uring(struct channel *channel);
/* Serve requests about names here, not by libfuse. Call it before channel_start, with an account. */
void channel_serve_names(struct channel *channel, struct names *names);
int channel_start(struct channel *channel); /* 0 or an errno */
void channel_free(struct channel *channel); /* waits only for the request that is being served */

/* Return libfuse's end of the sockets, for the mount point /dev/fd/N of fuse_session_mount; -1 if it was taken before. */
int channel_libfuse(struct channel *channel);

/* The descriptor (eventfd(2)) that is readable when requests wait for Python, or when the device has ended. */
int channel_fd(struct channel *channel);
/* Take the next request for Python, NULL if none waits. Its body has the whole structure of its opcode. */
struct channel_request *channel_take(struct channel *channel);
/* Answer a request that was taken, once: with an errno, or with 0 and `size` bytes. Return whether the kernel took the
 * answer; it does not if it has withdrawn the request. */
bool channel_reply(struct channel *channel, const struct channel_request *request, int error, const void *content,
                   size_t size);
/* Have the names answer a request that was taken, once: Python has done its part. */
void channel_resume(struct channel *channel, const struct channel_request *request);
/* Free a request; a `channel`, or NULL, keeps its buffer for later requests. */
void channel_request_free(struct channel *channel, struct channel_request *request);
/* Return the errno with which a read of the device has failed, ENODEV after an unmount; 0 while the device works, and
 * while requests wait. */
int channel_ended(struct channel *channel);

/* Return true if the kernel offered passthrough and the channel requested it; false before INIT. */
bool channel_passthrough(struct channel *channel);

/* Return 0 if FUSE over io_uring is in use, or an errno: EAGAIN before INIT, ENODATA if it was not requested, EOPNOTSUPP
 * if the kernel does not offer it, or that with which the kernel refused a ring or an entry. */
int channel_uring_error(struct channel *channel);

/* Register `fd` with the kernel as a backing file. Return its id, or -1 with errno (EPERM, ELOOP, EOPNOTSUPP). */
int channel_backing_open(struct channel *channel, int fd);
void channel_backing_close(struct channel *channel, int id);

/* Announce an open file by its handle, which is the host's descriptor. The channel then serves its data, and its
 * punches unless `unit` is 0; it records them under `file` of the account. A second call replaces the first. Returns 0 or
 * an errno. */
int channel_announce(struct channel *channel, int handle, int gate, uint32_t file, uint64_t unit);
void channel_forget(struct channel *channel, int handle);

/* A gate per inode separates the channel's punches from changes that Python makes. Between channel_enter and
 * channel_leave, punches of that inode are queued for Python instead. channel_enter waits for a running punch. */
int channel_gate(struct channel *channel); /* its number, or -1 without memory */
void channel_enter(struct channel *channel, int gate);
void channel_leave(struct channel *channel, int gate);

/* Return the number of requests of an opcode (FUSE_READ is 15, FUSE_WRITE 16, ...) that the kernel has sent. */
uint64_t channel_requests(struct channel *channel, unsigned opcode);
/* Return the number of requests that the channel has served itself. */
uint64_t channel_served(struct channel *channel);

/* Return the latencies of the requests that the kernel has sent. A latency begins when the channel's thread has read the
 * request, and ends when the answer is written. So it does not contain the wait in the kernel's queue. */
struct latencies *channel_latencies(struct channel *channel);

/* Set the longest punch, in bytes, that the channel serves; 0 leaves every request to Python, including data. */
void channel_limit(struct channel *channel, uint64_t length);

#endif
