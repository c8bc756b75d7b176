/* The binding has everything that Python sees, two types and the module's methods, and the replaced libfuse functions.
 *
 *   module.c            the extension itself
 *   account_type.c      Account, the Python object of a ledger's numbers
 *   requests.c          FuseRequest, the Python object of a request that waits for its answer, and the answers
 *   operations.c        fallocate, lseek and statfs, which are added to pyfuse3's table and handed to Python
 *   interposed.c        the functions of libfuse that the extension replaces
 *   channel_methods.c   Python's methods of the channel between the kernel and libfuse
 *   plane_methods.c     Python's methods of the plane that serves thin devices
 *   latency_methods.c   Python's readings of the channel's latencies
 *
 * Owned by:
 *   an Account        It owns its struct account, and frees it with its last reference. Python's ledger has one
 *                     reference. interposed.c has another from want_channel until a session has ended, with or without
 *                     a channel, or until want_channel is called again.
 *   a FuseRequest     It owns libfuse's request until an answer frees that: by a reply function, by the object's end
 *                     (EIO), or by the end of the session (requests_end, EIO). After that the object is empty.
 *   session_channel   The mount makes it. fuse_session_destroy frees it, after the requests and before libfuse's
 *                     session, which closes the channel's descriptor.
 *   session_plane     want_plane makes it. fuse_session_destroy frees it after the channel.
 *   /dev/fuse         libfuse opens it. With a channel, interposed.c closes that descriptor once libfuse has the
 *                     channel's instead. Without one, libfuse closes it with its session.
 *   handlers          set_handlers holds a reference to each, until the next set_handlers.
 */
#ifndef FUSE_BACKING_BINDING_H
#define FUSE_BACKING_BINDING_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>

#include "account/account.h"
#include "channel/channel.h"
#include "libfuse/libfuse.h"
#include "plane/plane.h"

/* The type Account; its objects own their account and free it. */
extern PyTypeObject *account_type;
struct account *account_of(PyObject *object); /* the object must be an Account */
int accounts_ready(PyObject *module);         /* adds Account and MOST_FILES to the module; -1 with an exception */

/* Make the Python object of a request; NULL with an exception. If it is dropped unanswered, it answers EIO. */
PyObject *request_new(fuse_req_t req);
/* Take the libfuse request for answering; NULL if it has been taken before. */
fuse_req_t request_take(PyObject *request);
/* Answer all unanswered requests with EIO, since requests do not outlive their session. */
void requests_end(void);
int requests_ready(PyObject *module); /* adds FuseRequest to the module; -1 with an exception */

/* Copy pyfuse3's table and add the operations of operations.c. Return the copy's size, or 0 if it does not fit. */
size_t complete_table(const struct fuse_lowlevel_ops *ops, size_t size, const struct fuse_lowlevel_ops **completed);

/* The channel of the session, NULL without one. want_channel makes the next session have one. */
extern struct channel *session_channel;
void want_channel(PyObject *account, bool passthrough, unsigned stack_depth);

/* The plane of the session, NULL without one. want_plane makes it, and the next session's channel with `readers`
 * threads; false without memory. */
extern struct plane *session_plane;
bool want_plane(unsigned readers, uint64_t table_bytes);

/* The module's methods, one table per part; each ends with an empty entry. */
extern PyMethodDef request_methods[], operation_methods[], interposed_methods[], channel_methods[],
    latency_methods[], plane_methods[];

#endif
