/* What the parts of the extension share; for them alone.
 *
 *   libfuse.c           libfuse's functions, found at run time
 *   requests.c          Request, the Python object of a request that waits for its answer, and the answers
 *   operations.c        fallocate, lseek and statfs put into pyfuse3's table, and handed to Python
 *   interposed.c        the functions of libfuse that are replaced here
 *   channel_methods.c   Python's way to the channel between the kernel and libfuse (native/channel.h)
 */
#ifndef FUSE_BACKING_BINDING_H
#define FUSE_BACKING_BINDING_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#define FUSE_USE_VERSION 34
#include <fuse_lowlevel.h>
#include <stdbool.h>

#include "channel/channel.h"

#ifdef fuse_session_new /* a macro from libfuse 3.17 on; its ABI symbol is still needed here */
#undef fuse_session_new
#endif

struct libfuse_version;
typedef struct fuse_session *session_new_fn(struct fuse_args *, const struct fuse_lowlevel_ops *, size_t, void *);
typedef struct fuse_session *session_new_versioned_fn(struct fuse_args *, const struct fuse_lowlevel_ops *, size_t,
                                                      struct libfuse_version *, void *);

/* The extension itself is not linked to libfuse, so that pyfuse3's choice counts. */
struct libfuse {
    void *handle;
    session_new_fn *session_new;
    session_new_versioned_fn *session_new_versioned; /* NULL before libfuse 3.17 */
    void (*session_destroy)(struct fuse_session *);
    int (*session_mount)(struct fuse_session *, const char *);
    void (*session_unmount)(struct fuse_session *);
    int (*session_fd)(struct fuse_session *);
    int (*session_receive_buf)(struct fuse_session *, struct fuse_buf *);
    int (*session_custom_io)(struct fuse_session *, const struct fuse_custom_io *, int);
    int (*session_custom_io_317)(struct fuse_session *, const struct fuse_custom_io *, size_t, int);
    int (*reply_err)(fuse_req_t, int);
    int (*reply_lseek)(fuse_req_t, off_t);
    int (*reply_statfs)(fuse_req_t, const struct statvfs *);
};
extern struct libfuse libfuse;

/* Find all of that; false, and a word on standard error, if it can't be had. */
bool load_libfuse(void);

/* Make the Python object of a request; NULL with an exception. Dropped unanswered, it answers EIO. */
PyObject *request_new(fuse_req_t req);
/* Take the libfuse request for answering; NULL if it has been taken before. */
fuse_req_t request_take(PyObject *request);
/* Answer with EIO what is still unanswered, as requests do not outlive their session. */
void requests_end(void);
int requests_ready(PyObject *module); /* adds Request to the module; -1 with an exception */

/* A copy of pyfuse3's table with the operations of operations.c in it; 0 if it can't be, else its size. */
size_t complete_table(const struct fuse_lowlevel_ops *ops, size_t size, const struct fuse_lowlevel_ops **completed);

/* The channel of the session, NULL without one; for the next session it is asked for first. */
extern struct channel *session_channel;
void want_channel(PyObject *account, struct account *pointer, bool passthrough, unsigned stack_depth);

/* Methods of the module, by part; each ends with an empty one. */
extern PyMethodDef request_methods[], operation_methods[], interposed_methods[], channel_methods[];

#endif
