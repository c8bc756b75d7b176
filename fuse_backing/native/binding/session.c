/* The session of this process: its channel, and the plane if it serves thin devices. */
#include "binding.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "protocol/protocol.h"

struct channel *session_channel;
struct plane *session_plane;
PyObject *session_names;
static int uring_error;           /* with which the request for FUSE over io_uring failed */
static PyObject *session_account; /* an Account, kept while the channel uses it; NULL without one */

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

static void end(void) {
    if (session_channel != NULL) { /* closes /dev/fuse; its threads never wait for the GIL */
        requests_end();
        channel_free(session_channel);
        session_channel = NULL;
        uring_error = 0;
    }
    if (session_plane != NULL) { /* the channel's threads have ended */
        plane_free(session_plane);
        session_plane = NULL;
    }
    Py_CLEAR(session_names);
    Py_CLEAR(session_account);
}

static bool begin(int device, unsigned threads, bool passthrough, unsigned stack_depth, unsigned long long tables,
                  bool uring) {
    int devices[CHANNEL_MOST_DEVICES] = {device};
    unsigned nr_clones = cloned(device, devices + 1, threads - 1);
    struct account *account = session_account == NULL ? NULL : account_of(session_account);

    if (tables > 0)
        session_plane = plane_new(uring ? PLANE_MOST_READERS : 1 + nr_clones, tables);
    if (tables == 0 || session_plane != NULL)
        session_channel = channel_new(devices, 1 + nr_clones, passthrough, stack_depth, account, session_plane);
    for (unsigned i = 1; i <= nr_clones; i++)
        close(devices[i]); /* the channel has duplicates */
    if (session_channel != NULL && session_names != NULL)
        channel_serve_names(session_channel, names_of(session_names));
    if (session_channel != NULL && uring)
        uring_error = channel_request_uring(session_channel);
    return session_channel != NULL && channel_start(session_channel) == 0;
}

static PyObject *open_channel(PyObject *module, PyObject *arguments) {
    unsigned int threads, stack_depth;
    unsigned long long tables;
    PyObject *account, *names;
    int device, passthrough, uring;

    (void)module;
    if (!PyArg_ParseTuple(arguments, "iIOOpIKp:open_channel", &device, &threads, &account, &names, &passthrough,
                          &stack_depth, &tables, &uring))
        return NULL;
    if (account != Py_None && !Py_IS_TYPE(account, account_type))
        return PyErr_Format(PyExc_TypeError, "the account must be an Account or None");
    if (names != Py_None && (!Py_IS_TYPE(names, names_type) || account == Py_None))
        return PyErr_Format(PyExc_TypeError, "the names must be Names, with an Account, or None");
    if (names != Py_None && names_of(names) == NULL)
        return NULL;
    if (threads < 1 || threads > CHANNEL_MOST_DEVICES)
        return PyErr_Format(PyExc_ValueError, "a channel has 1 to %d threads, not %u", CHANNEL_MOST_DEVICES, threads);
    if (session_channel != NULL) {
        PyErr_SetString(PyExc_RuntimeError, "this process already has a channel");
        return NULL;
    }
    if (account != Py_None)
        session_account = Py_NewRef(account);
    if (names != Py_None)
        session_names = Py_NewRef(names);
    if (!begin(device, threads, passthrough, stack_depth, tables, uring)) {
        end();
        errno = ENOMEM;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    return PyLong_FromLong(channel_libfuse(session_channel));
}

static PyObject *close_channel(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    end();
    Py_RETURN_NONE;
}

bool have_channel(void) {
    if (session_channel == NULL)
        PyErr_SetString(PyExc_RuntimeError, "the session has no channel");
    return session_channel != NULL;
}

static PyObject *requests_fd(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    return have_channel() ? PyLong_FromLong(channel_fd(session_channel)) : NULL;
}

static PyObject *ended(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    return have_channel() ? PyLong_FromLong(channel_ended(session_channel)) : NULL;
}

static PyObject *fuse_uring_error(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    if (!have_channel())
        return NULL;
    return PyLong_FromLong(uring_error != 0 ? uring_error : channel_uring_error(session_channel));
}

PyMethodDef session_methods[] = {
    {"open_channel", open_channel, METH_VARARGS,
     "Serve a mount: (device, threads, account, names, passthrough, stack depth, bytes of tables, io_uring); return "
     "libfuse's device."},
    {"close_channel", close_channel, METH_NOARGS, "End the channel and the connection; do nothing without one."},
    {"requests_fd", requests_fd, METH_NOARGS, "Return the descriptor that is readable when requests wait for Python."},
    {"ended", ended, METH_NOARGS, "Return the errno with which the device has ended, 0 while it works."},
    {"fuse_uring_error", fuse_uring_error, METH_NOARGS,
     "Return 0 if FUSE over io_uring is in use, or the errno of channel_uring_error."},
    {NULL, NULL, 0, NULL},
};
