/* load_libfuse finds libfuse's functions at run time, in the library that pyfuse3 has loaded or will load.
 *
 * Owned by: the handle of dlopen(3) stays open until the process ends; if a function is missing it is closed at once.
 * pyfuse3 owns the sessions: it makes and destroys them through the functions of binding/interposed.c. */
#ifndef FUSE_BACKING_LIBFUSE_H
#define FUSE_BACKING_LIBFUSE_H

#define FUSE_USE_VERSION 34
#include <fuse_lowlevel.h>
#include <stdbool.h>

#ifdef fuse_session_new /* a macro since libfuse 3.17; this code needs the symbol of that name */
#undef fuse_session_new
#endif

struct libfuse_version;
typedef struct fuse_session *session_new_fn(struct fuse_args *, const struct fuse_lowlevel_ops *, size_t, void *);
typedef struct fuse_session *session_new_versioned_fn(struct fuse_args *, const struct fuse_lowlevel_ops *, size_t,
                                                      struct libfuse_version *, void *);

/* The extension is not linked to libfuse, so it uses the libfuse that pyfuse3 uses. */
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

/* Find all functions of `struct libfuse`. Return false and print the reason on standard error if one is missing. */
bool load_libfuse(void);

#endif
