/* What pyfuse3 leaves out of a FUSE session: fallocate, lseek, and a statfs that knows its inode.
 *
 * pyfuse3 hands libfuse a table of operations that has no fallocate, so the kernel answers EOPNOTSUPP to
 * every hole punch on its mounts. This module defines fuse_session_new itself. Loaded with RTLD_GLOBAL
 * before pyfuse3, it is found first when pyfuse3's reference is bound (ld.so(8), symbol lookup scope); it
 * completes the table and calls the real function, taken from libfuse with dlsym(3). Three more functions
 * are wrapped in the same way:
 *
 *   fuse_session_mount        makes /dev/fuse non-blocking where no channel is between: a request can be
 *                             withdrawn (its caller killed) between poll and read, and a blocking read would
 *                             then stop the event loop;
 *   fuse_session_receive_buf  turns the EAGAIN of that case into EINTR, which pyfuse3 answers by waiting
 *                             again;
 *   fuse_session_destroy      answers what is still unanswered, as requests do not outlive their session.
 *
 * Operations implemented here call a Python callable and return at once. The callable keeps the request
 * object and answers it later, from any thread: the reply functions of libfuse are thread-safe.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#define FUSE_USE_VERSION 34
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <stdbool.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "native/channel.h"

#ifdef fuse_session_new /* a macro from libfuse 3.17 on; its ABI symbol is still needed here */
#undef fuse_session_new
#endif

#define EXPORTED __attribute__((visibility("default")))

struct libfuse_version;
typedef struct fuse_session *session_new_fn(struct fuse_args *, const struct fuse_lowlevel_ops *, size_t, void *);
typedef struct fuse_session *session_new_versioned_fn(struct fuse_args *, const struct fuse_lowlevel_ops *, size_t,
                                                      struct libfuse_version *, void *);

/* libfuse, found at run time: the extension itself is not linked to it, so that pyfuse3's choice counts. */
static struct {
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
} libfuse;

static PyObject *fallocate_handler, *lseek_handler, *statfs_handler;
static void (*original_statfs)(fuse_req_t, fuse_ino_t);
static unsigned long sessions_completed;

/* ---- libfuse --------------------------------------------------------------------------------------- */

static bool find(const char *name, void *function) {
    void *address = dlsym(libfuse.handle, name);
    memcpy(function, &address, sizeof address); /* ISO C has no cast from object to function pointer */
    return address != NULL;
}

static bool load_libfuse(void) {
    static const char *const names[] = {"libfuse3.so.3", "libfuse3.so.4"};
    static const int modes[] = {RTLD_NOW | RTLD_NOLOAD, RTLD_NOW}; /* first the one that pyfuse3 has loaded */

    if (libfuse.handle != NULL)
        return true;
    for (size_t m = 0; m < 2 && libfuse.handle == NULL; m++)
        for (size_t n = 0; n < 2 && libfuse.handle == NULL; n++)
            libfuse.handle = dlopen(names[n], modes[m]);
    if (libfuse.handle == NULL) {
        fprintf(stderr, "fuse_backing: cannot load libfuse 3: %s\n", dlerror());
        return false;
    }
    find("fuse_session_new_versioned", &libfuse.session_new_versioned);
    find("fuse_session_custom_io", &libfuse.session_custom_io);
    find("fuse_session_custom_io_317", &libfuse.session_custom_io_317);
    if (find("fuse_session_new", &libfuse.session_new) && find("fuse_session_destroy", &libfuse.session_destroy) &&
        find("fuse_session_mount", &libfuse.session_mount) && find("fuse_session_unmount", &libfuse.session_unmount) &&
        find("fuse_session_fd", &libfuse.session_fd) &&
        find("fuse_session_receive_buf", &libfuse.session_receive_buf) && find("fuse_reply_err", &libfuse.reply_err) &&
        find("fuse_reply_lseek", &libfuse.reply_lseek) && find("fuse_reply_statfs", &libfuse.reply_statfs))
        return true;
    fprintf(stderr, "fuse_backing: libfuse lacks a function: %s\n", dlerror());
    dlclose(libfuse.handle);
    libfuse.handle = NULL;
    return false;
}

/* ---- requests -------------------------------------------------------------------------------------- */

/* A request of the kernel that waits for its one answer. All are linked (under the GIL). */
typedef struct Request {
    PyObject_HEAD
    fuse_req_t req; /* NULL once answered */
    struct Request *previous, *next;
} Request;

static Request *unanswered;
static PyTypeObject *request_type;

static PyObject *request_new(fuse_req_t req) {
    Request *self = PyObject_New(Request, request_type);

    if (self == NULL)
        return NULL;
    self->req = req;
    self->previous = NULL;
    self->next = unanswered;
    if (unanswered != NULL)
        unanswered->previous = self;
    unanswered = self;
    return (PyObject *)self;
}

/* Take the libfuse request for answering; NULL if it has been taken before. */
static fuse_req_t request_take(Request *self) {
    fuse_req_t req = self->req;

    if (req == NULL)
        return NULL;
    self->req = NULL;
    if (self->previous != NULL)
        self->previous->next = self->next;
    else
        unanswered = self->next;
    if (self->next != NULL)
        self->next->previous = self->previous;
    self->previous = self->next = NULL;
    return req;
}

static void request_dealloc(PyObject *object) {
    fuse_req_t req = request_take((Request *)object);
    PyTypeObject *type = Py_TYPE(object);

    if (req != NULL)
        libfuse.reply_err(req, EIO);
    PyObject_Free(object);
    Py_DECREF(type);
}

static PyObject *request_answered(PyObject *self, void *closure) {
    (void)closure;
    return PyBool_FromLong(((Request *)self)->req == NULL);
}

static PyGetSetDef request_getset[] = {
    {"answered", request_answered, NULL, "Whether a reply has been sent.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot request_slots[] = {
    {Py_tp_dealloc, request_dealloc},
    {Py_tp_getset, request_getset},
    {Py_tp_doc, "A request of the kernel that waits for exactly one answer; dropped unanswered, it gets EIO."},
    {0, NULL},
};

static PyType_Spec request_spec = {
    .name = "fuse_backing._libfuse.Request",
    .basicsize = sizeof(Request),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = request_slots,
};

/* ---- operations ------------------------------------------------------------------------------------ */

/* Call handler(request, ...); the format, as of Py_BuildValue, makes a tuple of what follows the request. */
static void dispatch(PyObject *handler, fuse_req_t req, const char *format, ...) {
    PyObject *request, *rest = NULL, *first = NULL, *arguments = NULL, *result = NULL;
    va_list values;

    request = request_new(req);
    if (request == NULL) {
        libfuse.reply_err(req, ENOMEM);
        PyErr_WriteUnraisable(handler);
        return;
    }
    va_start(values, format);
    rest = Py_VaBuildValue(format, values);
    va_end(values);
    if (rest != NULL)
        first = PyTuple_Pack(1, request);
    if (first != NULL)
        arguments = PySequence_Concat(first, rest);
    if (arguments != NULL)
        result = PyObject_CallObject(handler, arguments);
    if (result == NULL) {
        fuse_req_t left;

        PyErr_WriteUnraisable(handler);
        left = request_take((Request *)request);
        if (left != NULL)
            libfuse.reply_err(left, EIO);
    }
    Py_XDECREF(result);
    Py_XDECREF(arguments);
    Py_XDECREF(first);
    Py_XDECREF(rest);
    Py_DECREF(request);
}

/* Python may replace a handler while it runs, so each call holds its own reference. */
static PyObject *borrowed(PyObject *handler) {
    Py_XINCREF(handler);
    return handler;
}

static unsigned long long handle_of(const struct fuse_file_info *fi) {
    return fi == NULL ? 0 : fi->fh;
}

static void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
                         struct fuse_file_info *fi) {
    PyGILState_STATE gil = PyGILState_Ensure();
    PyObject *handler = borrowed(fallocate_handler);

    if (handler == NULL)
        libfuse.reply_err(req, EOPNOTSUPP); /* ENOSYS would switch fallocate off for the whole mount */
    else
        dispatch(handler, req, "(KKiLL)", (unsigned long long)ino, handle_of(fi), mode, (long long)offset,
                 (long long)length);
    Py_XDECREF(handler);
    PyGILState_Release(gil);
}

static void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence, struct fuse_file_info *fi) {
    PyGILState_STATE gil = PyGILState_Ensure();
    PyObject *handler = borrowed(lseek_handler);

    if (handler == NULL)
        libfuse.reply_err(req, EOPNOTSUPP);
    else
        dispatch(handler, req, "(KKLi)", (unsigned long long)ino, handle_of(fi), (long long)offset, whence);
    Py_XDECREF(handler);
    PyGILState_Release(gil);
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino) {
    PyGILState_STATE gil = PyGILState_Ensure();
    PyObject *handler = borrowed(statfs_handler);

    if (handler != NULL)
        dispatch(handler, req, "(K)", (unsigned long long)ino);
    else if (original_statfs != NULL)
        original_statfs(req, ino);
    else
        libfuse.reply_err(req, EOPNOTSUPP);
    Py_XDECREF(handler);
    PyGILState_Release(gil);
}

/* ---- wrapped functions of libfuse ------------------------------------------------------------------ */

/* The caller's table with our operations in it; larger than ours if pyfuse3 was built with newer headers. */
static union {
    struct fuse_lowlevel_ops ops;
    char room[2 * sizeof(struct fuse_lowlevel_ops)];
} table;

static size_t complete_table(const struct fuse_lowlevel_ops *ops, size_t size) {
    if (size > sizeof table)
        return 0;
    memset(&table, 0, sizeof table);
    memcpy(&table, ops, size);
    original_statfs = table.ops.statfs;
    table.ops.statfs = op_statfs;
    table.ops.fallocate = op_fallocate;
    if (lseek_handler != NULL) /* without the operation the kernel answers SEEK_DATA and SEEK_HOLE itself */
        table.ops.lseek = op_lseek;
    return size > sizeof table.ops ? size : sizeof table.ops;
}

EXPORTED struct fuse_session *fuse_session_new(struct fuse_args *args, const struct fuse_lowlevel_ops *ops,
                                               size_t size, void *userdata) {
    if (!load_libfuse() || (size = complete_table(ops, size)) == 0)
        return NULL;
    sessions_completed++;
    return libfuse.session_new(args, &table.ops, size, userdata);
}

/* What code compiled against libfuse 3.17 and later calls under the name of fuse_session_new. */
EXPORTED struct fuse_session *fuse_session_new_versioned(struct fuse_args *args, const struct fuse_lowlevel_ops *ops,
                                                         size_t size, struct libfuse_version *version,
                                                         void *userdata) {
    if (!load_libfuse() || libfuse.session_new_versioned == NULL || (size = complete_table(ops, size)) == 0)
        return NULL;
    sessions_completed++;
    return libfuse.session_new_versioned(args, &table.ops, size, version, userdata);
}

/* What the next session gets: see request_channel. */
static struct {
    bool wanted, passthrough;
    unsigned stack_depth;
    PyObject *account; /* an Account, kept while the channel uses it */
    struct account *pointer;
} request;
static struct channel *channel;

static ssize_t channel_io_read(int fd, void *buffer, size_t size, void *userdata) {
    (void)fd;
    (void)userdata;
    if (channel == NULL) {
        errno = ENODEV;
        return -1;
    }
    return channel_read(channel, buffer, size);
}

static ssize_t channel_io_writev(int fd, struct iovec *iov, int count, void *userdata) {
    (void)fd;
    (void)userdata;
    if (channel == NULL) {
        errno = ENODEV;
        return -1;
    }
    return channel_writev(channel, iov, count);
}

/* Put the channel between libfuse and the kernel. Failing, it leaves the session for fuse_session_destroy alone. */
static bool interpose(struct fuse_session *session, int device) {
    static const struct fuse_custom_io io = {.read = channel_io_read, .writev = channel_io_writev};
    int result;

    channel = channel_new(device, request.passthrough, request.stack_depth, request.pointer);
    if (channel == NULL)
        return false;
    if (libfuse.session_custom_io_317 != NULL)
        result = libfuse.session_custom_io_317(session, &io, sizeof io, channel_fd(channel));
    else
        result = libfuse.session_custom_io(session, &io, channel_fd(channel));
    if (result != 0)
        close(channel_fd(channel));
    else
        close(device); /* the session has the channel's descriptor instead now */
    return result == 0 && channel_start(channel) == 0;
}

EXPORTED int fuse_session_mount(struct fuse_session *session, const char *mountpoint) {
    int result, fd, flags;

    if (!load_libfuse())
        return -1;
    result = libfuse.session_mount(session, mountpoint);
    if (result == 0) {
        fd = libfuse.session_fd(session);
        flags = fcntl(fd, F_GETFL);
        if (request.wanted && !interpose(session, fd)) {
            fprintf(stderr, "fuse_backing: no channel to the kernel: too little memory, descriptors or threads\n");
            libfuse.session_unmount(session);
            return -1;
        }
        if (!request.wanted && flags >= 0)
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

    if (session != NULL && load_libfuse()) { /* NULL when fuse_session_new has failed; libfuse would crash */
        while (unanswered != NULL)
            libfuse.reply_err(request_take(unanswered), EIO);
        if (channel != NULL) { /* closes /dev/fuse; its thread never waits for the GIL */
            channel_free(channel);
            channel = NULL;
        }
        request.wanted = false;
        Py_CLEAR(request.account);
        libfuse.session_destroy(session);
    }
    PyGILState_Release(gil);
}

/* ---- Python ---------------------------------------------------------------------------------------- */

static fuse_req_t take_for_reply(PyObject *object) {
    fuse_req_t req;

    if (!Py_IS_TYPE(object, request_type)) {
        PyErr_Format(PyExc_TypeError, "a Request is needed, not %.100s", Py_TYPE(object)->tp_name);
        return NULL;
    }
    req = request_take((Request *)object);
    if (req == NULL)
        PyErr_SetString(PyExc_RuntimeError, "the request has been answered before");
    return req;
}

static PyObject *reply_err(PyObject *module, PyObject *arguments) {
    PyObject *request;
    fuse_req_t req;
    int error;

    (void)module;
    if (!PyArg_ParseTuple(arguments, "Oi:reply_err", &request, &error))
        return NULL;
    if (error < 0 || error >= 1000) /* libfuse's bound: fuse_send_reply_iov_nofree in lib/fuse_lowlevel.c */
        return PyErr_Format(PyExc_ValueError, "%d is no error number", error);
    req = take_for_reply(request);
    if (req == NULL)
        return NULL;
    return PyBool_FromLong(libfuse.reply_err(req, error) == 0);
}

static PyObject *reply_lseek(PyObject *module, PyObject *arguments) {
    PyObject *request;
    fuse_req_t req;
    long long offset;

    (void)module;
    if (!PyArg_ParseTuple(arguments, "OL:reply_lseek", &request, &offset))
        return NULL;
    req = take_for_reply(request);
    if (req == NULL)
        return NULL;
    return PyBool_FromLong(libfuse.reply_lseek(req, (off_t)offset) == 0);
}

static PyObject *reply_statfs(PyObject *module, PyObject *arguments) {
    PyObject *request;
    fuse_req_t req;
    struct statvfs stats;
    unsigned long long bsize, frsize, blocks, bfree, bavail, files, ffree, favail, namemax;

    (void)module;
    if (!PyArg_ParseTuple(arguments, "OKKKKKKKKK:reply_statfs", &request, &bsize, &frsize, &blocks, &bfree, &bavail,
                          &files, &ffree, &favail, &namemax))
        return NULL;
    req = take_for_reply(request);
    if (req == NULL)
        return NULL;
    memset(&stats, 0, sizeof stats);
    stats.f_bsize = (unsigned long)bsize;
    stats.f_frsize = (unsigned long)frsize;
    stats.f_blocks = (fsblkcnt_t)blocks;
    stats.f_bfree = (fsblkcnt_t)bfree;
    stats.f_bavail = (fsblkcnt_t)bavail;
    stats.f_files = (fsfilcnt_t)files;
    stats.f_ffree = (fsfilcnt_t)ffree;
    stats.f_favail = (fsfilcnt_t)favail;
    stats.f_namemax = (unsigned long)namemax;
    return PyBool_FromLong(libfuse.reply_statfs(req, &stats) == 0);
}

static int checked_handler(const char *name, PyObject *value) {
    if (value == Py_None || PyCallable_Check(value))
        return 0;
    PyErr_Format(PyExc_TypeError, "%s must be callable or None", name);
    return -1;
}

static void replace_handler(PyObject **slot, PyObject *value) {
    PyObject *old = *slot;

    *slot = value == Py_None ? NULL : Py_NewRef(value);
    Py_XDECREF(old);
}

static PyObject *set_handlers(PyObject *module, PyObject *arguments, PyObject *keywords) {
    static char *names[] = {"fallocate", "lseek", "statfs", NULL};
    PyObject *fallocate = Py_None, *lseek = Py_None, *statfs = Py_None;

    (void)module;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "|$OOO:set_handlers", names, &fallocate, &lseek, &statfs))
        return NULL;
    if (checked_handler("fallocate", fallocate) < 0 || checked_handler("lseek", lseek) < 0 ||
        checked_handler("statfs", statfs) < 0)
        return NULL;
    replace_handler(&fallocate_handler, fallocate);
    replace_handler(&lseek_handler, lseek);
    replace_handler(&statfs_handler, statfs);
    Py_RETURN_NONE;
}

/* ---- the channel ----------------------------------------------------------------------------------- */

static PyObject *request_channel(PyObject *module, PyObject *arguments) {
    PyObject *account, *capsule;
    unsigned int stack_depth;
    int passthrough;

    (void)module;
    if (!PyArg_ParseTuple(arguments, "OpI:request_channel", &account, &passthrough, &stack_depth))
        return NULL;
    if (channel != NULL) {
        PyErr_SetString(PyExc_RuntimeError, "a session has the channel already");
        return NULL;
    }
    if (!load_libfuse() || (libfuse.session_custom_io == NULL && libfuse.session_custom_io_317 == NULL))
        Py_RETURN_FALSE;
    capsule = PyObject_GetAttrString(account, "pointer");
    if (capsule == NULL)
        return NULL;
    request.pointer = PyCapsule_GetPointer(capsule, "fuse_backing.account");
    Py_DECREF(capsule);
    if (request.pointer == NULL)
        return NULL;
    Py_XDECREF(request.account);
    request.account = Py_NewRef(account);
    request.passthrough = passthrough;
    request.stack_depth = stack_depth;
    request.wanted = true;
    Py_RETURN_TRUE;
}

static bool have_channel(void) {
    if (channel == NULL)
        PyErr_SetString(PyExc_RuntimeError, "the session has no channel");
    return channel != NULL;
}

static PyObject *has_channel(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    return PyBool_FromLong(channel != NULL);
}

static PyObject *has_passthrough(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    return PyBool_FromLong(channel != NULL && channel_passthrough(channel));
}

static PyObject *backing_open(PyObject *module, PyObject *arguments) {
    int fd, id;

    (void)module;
    if (!PyArg_ParseTuple(arguments, "i:backing_open", &fd) || !have_channel())
        return NULL;
    id = channel_backing_open(channel, fd);
    return id < 0 ? PyErr_SetFromErrno(PyExc_OSError) : PyLong_FromLong(id);
}

static PyObject *backing_close(PyObject *module, PyObject *arguments) {
    int id;

    (void)module;
    if (!PyArg_ParseTuple(arguments, "i:backing_close", &id))
        return NULL;
    if (channel != NULL)
        channel_backing_close(channel, id);
    Py_RETURN_NONE;
}

static PyObject *file_announce(PyObject *module, PyObject *arguments) {
    unsigned long long block;
    int handle, gate, backing, error;
    unsigned int file;

    (void)module;
    if (!PyArg_ParseTuple(arguments, "iiIKi:announce", &handle, &gate, &file, &block, &backing) || !have_channel())
        return NULL;
    error = block == 0 ? EINVAL : channel_announce(channel, handle, gate, file, block, backing);
    if (error != 0) {
        errno = error;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    Py_RETURN_NONE;
}

/* The three that may wait for a punch under way let other Python threads go on. */
#define WAITING(name, function)                                              \
    static PyObject *name(PyObject *module, PyObject *arguments) {           \
        int number;                                                          \
                                                                             \
        (void)module;                                                        \
        if (!PyArg_ParseTuple(arguments, "i:" #name, &number))               \
            return NULL;                                                     \
        if (channel != NULL) {                                               \
            Py_BEGIN_ALLOW_THREADS function(channel, number);                \
            Py_END_ALLOW_THREADS                                             \
        }                                                                    \
        Py_RETURN_NONE;                                                      \
    }
WAITING(file_forget, channel_forget)
WAITING(gate_enter, channel_enter)
WAITING(gate_leave, channel_leave)

static PyObject *gate_new(PyObject *module, PyObject *unused) {
    int gate;

    (void)module;
    (void)unused;
    if (!have_channel())
        return NULL;
    gate = channel_gate(channel);
    return gate < 0 ? PyErr_NoMemory() : PyLong_FromLong(gate);
}

static PyObject *set_limit(PyObject *module, PyObject *arguments) {
    unsigned long long length;

    (void)module;
    if (!PyArg_ParseTuple(arguments, "K:set_limit", &length) || !have_channel())
        return NULL;
    channel_limit(channel, length);
    Py_RETURN_NONE;
}

static PyObject *requests(PyObject *module, PyObject *arguments) {
    unsigned int opcode;

    (void)module;
    if (!PyArg_ParseTuple(arguments, "I:requests", &opcode))
        return NULL;
    return PyLong_FromUnsignedLongLong(channel == NULL ? 0 : channel_requests(channel, opcode));
}

static PyObject *served(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    return PyLong_FromUnsignedLongLong(channel == NULL ? 0 : channel_served(channel));
}

static PyObject *sessions(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    return PyLong_FromUnsignedLong(sessions_completed);
}

static PyMethodDef methods[] = {
    {"set_handlers", (PyCFunction)(void (*)(void))set_handlers, METH_VARARGS | METH_KEYWORDS,
     "Set the callables for fallocate, lseek and statfs; None removes one."},
    {"reply_err", reply_err, METH_VARARGS, "Answer a request with an error number, or 0 for success."},
    {"reply_lseek", reply_lseek, METH_VARARGS, "Answer a seek with an offset in bytes."},
    {"reply_statfs", reply_statfs, METH_VARARGS, "Answer a statfs with the nine fields of statvfs(3)."},
    {"request_channel", request_channel, METH_VARARGS,
     "Give the next session a channel that records in an Account; False if libfuse can't have one."},
    {"has_channel", has_channel, METH_NOARGS, "Whether the session has a channel."},
    {"has_passthrough", has_passthrough, METH_NOARGS, "Whether the kernel serves data itself."},
    {"backing_open", backing_open, METH_VARARGS, "Register a descriptor as a backing file; return its id."},
    {"backing_close", backing_close, METH_VARARGS, "Take a backing file back."},
    {"announce", file_announce, METH_VARARGS, "Announce (handle, gate, file, block, backing id) of an open file."},
    {"forget", file_forget, METH_VARARGS, "Take an announced handle back."},
    {"gate_new", gate_new, METH_NOARGS, "Make a gate for an inode."},
    {"gate_enter", gate_enter, METH_VARARGS, "Keep punches of a gate's inode for Python until left."},
    {"gate_leave", gate_leave, METH_VARARGS, "Undo gate_enter."},
    {"set_limit", set_limit, METH_VARARGS, "Set the longest punch served without Python; 0: serve nothing."},
    {"requests", requests, METH_VARARGS, "The number of requests of an opcode."},
    {"served", served, METH_NOARGS, "The number of requests served without libfuse."},
    {"sessions", sessions, METH_NOARGS, "The number of FUSE sessions whose operations were completed here."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module_definition = {
    PyModuleDef_HEAD_INIT, .m_name = "_libfuse", .m_size = -1, .m_methods = methods,
    .m_doc = "What pyfuse3 leaves out of a FUSE session: fallocate, lseek, statfs per inode.",
};

PyMODINIT_FUNC PyInit__libfuse(void) {
    PyObject *module = PyModule_Create(&module_definition);

    if (module == NULL)
        return NULL;
    request_type = (PyTypeObject *)PyType_FromSpec(&request_spec);
    if (request_type == NULL || PyModule_AddType(module, request_type) < 0) {
        Py_DECREF(module);
        return NULL;
    }
    return module;
}
