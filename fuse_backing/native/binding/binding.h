/* The binding has everything that Python sees: two types and the module's methods.
 *
 *   module.c            the extension itself
 *   account_type.c      Account, the Python object of a ledger's numbers
 *   names_type.c        Names, the Python object of the files that the kernel knows
 *   session.c           the channel and the plane of the process's session, from the mount to its end
 *   requests.c          FuseRequest, the Python object of a request that waits for its answer, and the answers
 *   channel_methods.c   Python's methods of the open channel
 *   plane_methods.c     Python's methods of the plane that serves thin devices
 *   latency_methods.c   Python's readings of the channel's latencies
 *
 * Owned by:
 *   an Account        It owns its struct account, and frees it with its last reference. Python's ledger has one
 *                     reference. session.c has another from open_channel to close_channel.
 *   a Names           It owns its struct names, and frees it in close or with its last reference. Python's table of
 *                     inodes has one reference, and session.c another from open_channel to close_channel.
 *   a FuseRequest     It owns the channel's request, and frees it with its last reference: the data of a write may be
 *                     in use after the answer. An object that ends unanswered answers EIO, and so does close_channel.
 *   session_channel   open_channel makes it. close_channel frees it, after the answers to all requests.
 *   session_plane     open_channel makes it. close_channel frees it after the channel.
 *   /dev/fuse         Python opens it, and may close it after open_channel. The channel has duplicates.
 *   libfuse's device  open_channel returns it; Python hands it to libfuse, which closes it with its session.
 */
#ifndef FUSE_BACKING_BINDING_H
#define FUSE_BACKING_BINDING_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>

#include "account/account.h"
#include "channel/channel.h"
#include "names/names.h"
#include "plane/plane.h"

/* The type Account; its objects own their account and free it. */
extern PyTypeObject *account_type;
struct account *account_of(PyObject *object); /* the object must be an Account */
int accounts_ready(PyObject *module);         /* adds Account and MOST_FILES to the module; -1 with an exception */

/* The type Names. */
extern PyTypeObject *names_type;
struct names *names_of(PyObject *object); /* the object must be a Names; NULL with an exception after its end */
int names_ready(PyObject *module);        /* adds Names to the module; -1 with an exception */

/* Answer all unanswered requests with EIO, since requests do not outlive their session. */
void requests_end(void);
int requests_ready(PyObject *module); /* adds FuseRequest to the module; -1 with an exception */

/* The channel of the session, and its plane; NULL without one. */
extern struct channel *session_channel;
extern struct plane *session_plane;
extern PyObject *session_names; /* a Names, kept while the channel uses it; NULL without them */
bool have_channel(void); /* false with an exception */

/* The module's methods, one table per part; each ends with an empty entry. */
extern PyMethodDef session_methods[], request_methods[], channel_methods[], latency_methods[], plane_methods[];

#endif
