/* The FUSE over io_uring of a channel: requests and answers go through rings, not through /dev/fuse (Linux 6.14).
 *
 * The kernel has a queue per possible processor, and a request goes to the queue of the processor on which its client
 * runs. A queue has entries, memory for one request and its answer each. The kernel puts a request into an entry. The
 * answer goes into the same entry, which is thereby free for the next request. So a request that waits for Python
 * occupies an entry. A queue whose last entries are in use registers more, up to a limit.
 *
 * A worker is a thread with an io_uring. It serves one queue, or several on a machine with many processors. Requests
 * are copied into its entries while it waits in its io_uring, so a worker that is busy delays those of its queues. A
 * worker therefore begins flushes, and does not wait for them. Answers from other threads are queued for the worker.
 *
 * /dev/fuse stays in use for forgets and interrupts, and for every request before the rings are ready. The kernel
 * decides at INIT: the workers have their rings before its answer, and register their first entries after it.
 *
 * Owned by:
 *   the workers   The channel, from uring_new to uring_free. They begin in uring_start and end in uring_end.
 *   entries       Their worker. The kernel knows their addresses until it reports their end. Those whose end it has not
 *                 reported when uring_free is called stay mapped, without memory, until the process ends.
 */
#ifndef FUSE_BACKING_CHANNEL_URING_H
#define FUSE_BACKING_CHANNEL_URING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "channel.h"

struct channel_reader;
struct uring;

/* Return the workers of a channel; their readers have the numbers from `first_reader` on. NULL with an errno. */
struct uring *uring_new(struct channel *channel, unsigned first_reader);
/* Return the number of workers. */
unsigned uring_workers(const struct uring *uring);
/* Start the workers, with the caller's mask of signals; 0 or an errno. */
int uring_start(struct uring *uring);
/* Wait until each worker has a ring, and return 0; else an errno: ENOSYS or EPERM where the kernel has none. */
int uring_prepared(struct uring *uring);
/* Register the entries: the kernel has the answer to INIT, which has requested FUSE over io_uring. */
void uring_begin(struct uring *uring);
/* End the workers instead, with an errno as the reason. */
void uring_refuse(struct uring *uring, int error);
/* Return 0 while the entries are in use, EAGAIN before uring_begin, or the errno with which the kernel refused them. */
int uring_state(struct uring *uring);

/* Queue an answer for the entry of its request. Any thread may. */
void uring_answer(struct uring_entry *entry, const struct protocol_out_header *header, const void *content);
/* Begin a flush for the request in the buffer that the reader handles; false if the reader is no worker. The worker
 * answers the request when the flush is complete. */
bool uring_flushes(struct channel_reader *reader, int fd, bool data_only);

/* End the workers, and wait for them. They send the answers that they have. */
void uring_end(struct uring *uring);
/* Free the workers after uring_end, when no thread sends answers any more. */
void uring_free(struct uring *uring);

#endif
