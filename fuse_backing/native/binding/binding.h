/* Everything that Python sees: two types, the methods of the module, and the functions that libfuse loses to us.
 *
 *   module.c            the extension itself
 *   account_type.c      Account, the Python object of a ledger's numbers
 *   requests.c          FuseRequest, the Python object of a request that waits for its answer, and the answers
 *   operations.c        fallocate, lseek and statfs put into pyfuse3's table, and handed to Python
 *   interposed.c        the functions of libfuse that are replaced here
 *   channel_methods.c   Python's way to the channel between the kernel and libfuse
 *
 * Owned by:
 *   an Account        has its struct account, and frees it with its last reference. Python's ledger has one
 *                     reference, interposed.c another from want_channel until a session has ended, with the channel
 *                     or without one, or until want_channel is called again.
 *   a FuseRequest     has libfuse's request until that is answered, which frees it: by a reply function, by its own
 *                     end (EIO), or by the end of the session (requests_end, EIO). What is left is an empty object.
 *   session_channel   made with the mount, freed by fuse_session_destroy, after the requests and before libfuse's
 *                     session, which closes the channel's descriptor.
 *   /dev/fuse         is opened by libfuse. With a channel, interposed.c closes that descriptor once libfuse has the
 *                     channel's in its place; without, libfuse closes it with its session.
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

/* The type Account. Its objects own their account and free it. */
extern PyTypeObject *account_type;
struct account *account_of(PyObject *object); /* of an Account */
int accounts_ready(PyObject *module);         /* adds Account and MOST_FILES to the module; -1 with an exception */

/* Make the Python object of a request; NULL with an exception. Dropped unanswered, it answers EIO. */
PyObject *request_new(fuse_req_t req);
/* Take the libfuse request for answering; NULL if it has been taken before. */
fuse_req_t request_take(PyObject *request);
/* Answer with EIO what is still unanswered, as requests do not outlive their session. */
void requests_end(void);
int requests_ready(PyObject *module); /* adds FuseRequest to the module; -1 with an exception */

/* A copy of pyfuse3's table with the operations of operations.c in it; 0 if it can't be, else its size. */
size_t complete_table(const struct fuse_lowlevel_ops *ops, size_t size, const struct fuse_lowlevel_ops **completed);

/* The channel of the session, NULL without one; for the next session it is asked for first. */
extern struct channel *session_channel;
void want_channel(PyObject *account, bool passthrough, unsigned stack_depth);

/* Methods of the module, by part; each ends with an empty one. */
extern PyMethodDef request_methods[], operation_methods[], interposed_methods[], channel_methods[];

#endif
