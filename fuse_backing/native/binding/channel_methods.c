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

static PyObject *file_announce(PyObject *module, PyObject *arguments) {
    unsigned long long unit;
    int handle, gate, backing, error;
    unsigned int file;

    (void)module;
    if (!PyArg_ParseTuple(arguments, "iiIKi:announce", &handle, &gate, &file, &unit, &backing) || !have_channel())
        return NULL;
    error = channel_announce(session_channel, handle, gate, file, unit, backing);
    if (error != 0) {
        errno = error;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    Py_RETURN_NONE;
}

/* These three may wait for a running punch, so other Python threads run meanwhile. */
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
WAITING(file_forget, channel_forget)
WAITING(gate_enter, channel_enter)
WAITING(gate_leave, channel_leave)

static PyObject *gate_new(PyObject *module, PyObject *unused) {
    int gate;

    (void)module;
    (void)unused;
    if (!have_channel())
        return NULL;
    gate = channel_gate(session_channel);
    return gate < 0 ? PyErr_NoMemory() : PyLong_FromLong(gate);
}

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
    {"announce", file_announce, METH_VARARGS,
     "Announce (handle, gate, file, unit of allocation, backing id) of an open file."},
    {"forget", file_forget, METH_VARARGS, "Withdraw an announced handle; wait for a running punch."},
    {"gate_new", gate_new, METH_NOARGS, "Make a gate for an inode; return its number."},
    {"gate_enter", gate_enter, METH_VARARGS, "Send punches of a gate's inode to Python until gate_leave."},
    {"gate_leave", gate_leave, METH_VARARGS, "Undo gate_enter."},
    {"set_limit", set_limit, METH_VARARGS, "Set the longest punch served without Python; 0: serve nothing."},
    {"requests", requests, METH_VARARGS, "Return the number of requests of an opcode."},
    {"served", served, METH_NOARGS, "Return the number of requests served without Python."},
    {NULL, NULL, 0, NULL},
};
