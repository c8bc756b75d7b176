/* These are Python's methods of the open channel; channel/channel.h explains each call. */
#include "binding.h"

#include <errno.h>

static PyObject *has_channel(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    return PyBool_FromLong(session_channel != NULL);
}

static PyObject *has_passthrough(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    return PyBool_FromLong(session_channel != NULL && channel_passthrough(session_channel));
}

static PyObject *backing_open(PyObject *module, PyObject *arguments) {
    int fd, id;

    (void)module;
    if (!PyArg_ParseTuple(arguments, "i:backing_open", &fd) || !have_channel())
        return NULL;
    id = channel_backing_open(session_channel, fd);
    return id < 0 ? PyErr_SetFromErrno(PyExc_OSError) : PyLong_FromLong(id);
}

static PyObject *backing_close(PyObject *module, PyObject *arguments) {
    int id;

    (void)module;
    if (!PyArg_ParseTuple(arguments, "i:backing_close", &id))
        return NULL;
    if (session_channel != NULL)
        channel_backing_close(session_channel, id);
    Py_RETURN_NONE;
}

/* These two may wait for a running punch, so other Python threads run meanwhile. */
#define WAITING(name, function)                                       \
    static PyObject *name(PyObject *module, PyObject *arguments) {    \
        int number;                                                   \
                                                                      \
        (void)module;                                                 \
        if (!PyArg_ParseTuple(arguments, "i:" #name, &number))        \
            return NULL;                                              \
        if (session_channel != NULL) {                                \
            Py_BEGIN_ALLOW_THREADS function(session_channel, number); \
            Py_END_ALLOW_THREADS                                      \
        }                                                             \
        Py_RETURN_NONE;                                               \
    }
WAITING(gate_enter, channel_enter)
WAITING(gate_leave, channel_leave)

static PyObject *set_limit(PyObject *module, PyObject *arguments) {
    unsigned long long length;

    (void)module;
    if (!PyArg_ParseTuple(arguments, "K:set_limit", &length) || !have_channel())
        return NULL;
    channel_limit(session_channel, length);
    Py_RETURN_NONE;
}

static PyObject *requests(PyObject *module, PyObject *arguments) {
    unsigned int opcode;

    (void)module;
    if (!PyArg_ParseTuple(arguments, "I:requests", &opcode))
        return NULL;
    return PyLong_FromUnsignedLongLong(session_channel == NULL ? 0 : channel_requests(session_channel, opcode));
}

static PyObject *served(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    return PyLong_FromUnsignedLongLong(session_channel == NULL ? 0 : channel_served(session_channel));
}

PyMethodDef channel_methods[] = {
    {"has_channel", has_channel, METH_NOARGS, "Return whether the session has a channel."},
    {"has_passthrough", has_passthrough, METH_NOARGS, "Return whether the kernel can serve data by passthrough."},
    {"backing_open", backing_open, METH_VARARGS, "Register a descriptor as a backing file; return its id."},
    {"backing_close", backing_close, METH_VARARGS, "Unregister a backing file."},
    {"gate_enter", gate_enter, METH_VARARGS, "Send punches of a gate's inode to Python until gate_leave."},
    {"gate_leave", gate_leave, METH_VARARGS, "Undo gate_enter."},
    {"set_limit", set_limit, METH_VARARGS, "Set the longest punch served without Python; 0: serve nothing."},
    {"requests", requests, METH_VARARGS, "Return the number of requests of an opcode."},
    {"served", served, METH_NOARGS, "Return the number of requests served without Python."},
    {NULL, NULL, 0, NULL},
};
