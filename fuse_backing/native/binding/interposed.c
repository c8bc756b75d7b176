/* These functions replace functions of libfuse.
 *
 *   fuse_session_new          (and _versioned, of libfuse 3.17 and later) completes pyfuse3's table of operations.
 *   fuse_session_mount        puts the channel between libfuse and the kernel, if one was requested. Otherwise it makes
 *                             /dev/fuse non-blocking: a request can be withdrawn (its caller killed) between poll and
 *                             read, and a blocking read would then stop the event loop.
 *   fuse_session_receive_buf  turns the EAGAIN of that case into EINTR, after which pyfuse3 waits again.
 *   fuse_session_destroy      answers the unanswered requests, and ends the channel.
 */
#include "binding.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "protocol/protocol.h"

#define EXPORTED __attribute__((visibility("default")))

static unsigned long nr_completed;

EXPORTED struct fuse_session *fuse_session_new(struct fuse_args *args, const struct fuse_lowlevel_ops *ops,
                                               size_t size, void *userdata) {
    const struct fuse_lowlevel_ops *completed;

    if (!load_libfuse() || (size = complete_table(ops, size, &completed)) == 0)
        return NULL;
    nr_completed++;
    return libfuse.session_new(args, completed, size, userdata);
}

/* Code that is compiled against libfuse 3.17 or later calls this under the name fuse_session_new. */
EXPORTED struct fuse_session *fuse_session_new_versioned(struct fuse_args *args, const struct fuse_lowlevel_ops *ops,
                                                         size_t size, struct libfuse_version *version,
                                                         void *userdata) {
    const struct fuse_lowlevel_ops *completed;

    if (!load_libfuse() || libfuse.session_new_versioned == NULL ||
        (size = complete_table(ops, size, &completed)) == 0)
        return NULL;
    nr_completed++;
    return libfuse.session_new_versioned(args, completed, size, version, userdata);
}

/* The channel that want_channel requested for the next session. */
static struct {
    bool wanted, passthrough;
    unsigned stack_depth;
    PyObject *account; /* an Account, kept while the channel uses it; NULL with a plane */
} wish;
struct channel *session_channel;
struct plane *session_plane;
static unsigned nr_readers = 1;

static ssize_t channel_io_read(int fd, void *buffer, size_t size, void *userdata) {
    (void)fd;
    (void)userdata;
    if (session_channel == NULL) {
        errno = ENODEV;
        return -1;
    }
    return channel_read(session_channel, buffer, size);
}

static ssize_t channel_io_writev(int fd, struct iovec *iov, int count, void *userdata) {
    (void)fd;
    (void)userdata;
    if (session_channel == NULL) {
        errno = ENODEV;
        return -1;
    }
    return channel_writev(session_channel, iov, count);
}

/* Open the same connection `count` times more; return the number that could be opened. Requests are dealt out to all. */
static unsigned cloned(int device, int *clones, unsigned count) {
    uint32_t original = (uint32_t)device;
    unsigned found = 0;

    while (found < count) {
        int clone = open("/dev/fuse", O_RDWR | O_CLOEXEC);

        if (clone < 0)
            break;
        if (ioctl(clone, PROTOCOL_DEVICE_CLONE, &original) != 0) {
            close(clone);
            break;
        }
        clones[found++] = clone;
    }
    return found;
}

/* Put the channel between libfuse and the kernel. After a failure only fuse_session_destroy may use the session. */
static bool interpose(struct fuse_session *session, int device) {
    static const struct fuse_custom_io io = {.read = channel_io_read, .writev = channel_io_writev};
    int devices[PLANE_MOST_READERS] = {device};
    unsigned nr_clones = cloned(device, devices + 1, nr_readers - 1);
    int result;

    session_channel = channel_new(devices, 1 + nr_clones, wish.passthrough, wish.stack_depth,
                                  wish.account == NULL ? NULL : account_of(wish.account), session_plane);
    for (unsigned i = 1; i <= nr_clones; i++)
        close(devices[i]); /* the channel has duplicates */
    if (session_channel == NULL)
        return false;
    if (libfuse.session_custom_io_317 != NULL)
        result = libfuse.session_custom_io_317(session, &io, sizeof io, channel_fd(session_channel));
    else
        result = libfuse.session_custom_io(session, &io, channel_fd(session_channel));
    if (result != 0)
        close(channel_fd(session_channel));
    else
        close(device); /* the session now has the channel's descriptor instead */
    return result == 0 && channel_start(session_channel) == 0;
}

EXPORTED int fuse_session_mount(struct fuse_session *session, const char *mountpoint) {
    int result, fd, flags;

    if (!load_libfuse())
        return -1;
    result = libfuse.session_mount(session, mountpoint);
    if (result == 0) {
        fd = libfuse.session_fd(session);
        flags = fcntl(fd, F_GETFL);
        if (wish.wanted && !interpose(session, fd)) {
            fprintf(stderr, "fuse_backing: cannot create the channel: too little memory, descriptors or threads\n");
            libfuse.session_unmount(session);
            return -1;
        }
        if (!wish.wanted && flags >= 0)
            fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    }
    return result;
}

EXPORTED int fuse_session_receive_buf(struct fuse_session *session, struct fuse_buf *buffer) {
    int result;

    if (!load_libfuse())
        return -ENODEV;
    result = libfuse.session_receive_buf(session, buffer);
    return result == -EAGAIN ? -EINTR : result;
}

EXPORTED void fuse_session_destroy(struct fuse_session *session) {
    PyGILState_STATE gil = PyGILState_Ensure();

    if (session != NULL && load_libfuse()) { /* NULL if fuse_session_new failed; libfuse would crash */
        requests_end();
        if (session_channel != NULL) { /* closes /dev/fuse; its thread never waits for the GIL */
            channel_free(session_channel);
            session_channel = NULL;
        }
        if (session_plane != NULL) { /* the channel's threads have ended */
            plane_free(session_plane);
            session_plane = NULL;
        }
        nr_readers = 1;
        wish.wanted = false;
        Py_CLEAR(wish.account);
        libfuse.session_destroy(session);
    }
    PyGILState_Release(gil);
}

void want_channel(PyObject *account, bool passthrough, unsigned stack_depth) {
    nr_readers = 2; /* one serves punches while the other flushes a file */
    Py_XDECREF(wish.account);
    wish.account = Py_NewRef(account);
    wish.passthrough = passthrough;
    wish.stack_depth = stack_depth;
    wish.wanted = true;
}

bool want_plane(unsigned readers, uint64_t table_bytes) {
    if (session_plane == NULL)
        session_plane = plane_new(readers, table_bytes);
    if (session_plane == NULL)
        return false;
    nr_readers = readers;
    Py_CLEAR(wish.account);
    wish.passthrough = false;
    wish.wanted = true;
    return true;
}

static PyObject *sessions(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    return PyLong_FromUnsignedLong(nr_completed);
}

PyMethodDef interposed_methods[] = {
    {"sessions", sessions, METH_NOARGS, "Return the number of FUSE sessions whose table of operations was completed."},
    {NULL, NULL, 0, NULL},
};
