/* These are Python's methods of the plane that serves thin devices; plane/plane.h explains each call. */
#include "binding.h"

#include <errno.h>

#include "plane/table.h"

static bool have_plane(void) {
    if (session_plane == NULL)
        PyErr_SetString(PyExc_RuntimeError, "the session has no plane");
    return session_plane != NULL;
}

static PyObject *plane_pool_new(PyObject *module, PyObject *arguments) {
    unsigned int block;
    int fd, access, pool;

    (void)module;
    if (!PyArg_ParseTuple(arguments, "iIi:plane_pool_open", &fd, &block, &access) || !have_plane())
        return NULL;
    if (access < PLANE_TRANSFERS || access > PLANE_TAKES)
        return PyErr_Format(PyExc_ValueError, "%d is no way of access", access);
    pool = plane_pool_open(session_plane, fd, block, (enum plane_access)access);
    return pool < 0 ? PyErr_NoMemory() : PyLong_FromLong(pool);
}

static PyObject *plane_device_open(PyObject *module, PyObject *arguments) {
    unsigned long long handle, size;
    int pool, error;

    (void)module;
    if (!PyArg_ParseTuple(arguments, "KiK:plane_open", &handle, &pool, &size) || !have_plane())
        return NULL;
    error = plane_open(session_plane, handle, pool, size);
    if (error != 0) {
        errno = error;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    Py_RETURN_NONE;
}

static PyObject *plane_device_set(PyObject *module, PyObject *arguments) {
    unsigned long long handle;
    unsigned int serves;

    (void)module;
    if (!PyArg_ParseTuple(arguments, "KI:plane_set", &handle, &serves))
        return NULL;
    if (session_plane != NULL)
        plane_set(session_plane, handle, serves);
    Py_RETURN_NONE;
}

static PyObject *ring_error(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    return PyLong_FromLong(plane_ring_error());
}

/* After the session these do nothing: its devices do not exist any more. */
#define OF_DEVICE(name, function)                                    \
    static PyObject *name(PyObject *module, PyObject *arguments) {   \
        unsigned long long handle;                                   \
                                                                     \
        (void)module;                                                \
        if (!PyArg_ParseTuple(arguments, "K:" #function, &handle))   \
            return NULL;                                             \
        if (session_plane != NULL)                                   \
            function(session_plane, handle);                         \
        Py_RETURN_NONE;                                              \
    }
OF_DEVICE(device_hold, plane_hold)
OF_DEVICE(device_release, plane_release)
OF_DEVICE(device_close, plane_close)

#define OF_POOL(name, function)                                     \
    static PyObject *name(PyObject *module, PyObject *arguments) {  \
        int pool;                                                   \
                                                                    \
        (void)module;                                               \
        if (!PyArg_ParseTuple(arguments, "i:" #function, &pool))    \
            return NULL;                                            \
        if (session_plane != NULL)                                  \
            function(session_plane, pool);                          \
        Py_RETURN_NONE;                                             \
    }
OF_POOL(pool_hold, plane_pool_hold)
OF_POOL(pool_release, plane_pool_release)
OF_POOL(pool_close, plane_pool_close)

static PyObject *device_is_idle(PyObject *module, PyObject *arguments) {
    unsigned long long handle;

    (void)module;
    if (!PyArg_ParseTuple(arguments, "K:plane_is_idle", &handle))
        return NULL;
    return PyBool_FromLong(session_plane == NULL || plane_is_idle(session_plane, handle));
}

static PyObject *pool_is_idle(PyObject *module, PyObject *arguments) {
    int pool;

    (void)module;
    if (!PyArg_ParseTuple(arguments, "i:plane_pool_is_idle", &pool))
        return NULL;
    return PyBool_FromLong(session_plane == NULL || plane_pool_is_idle(session_plane, pool));
}

static PyObject *idle_fd(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    return have_plane() ? PyLong_FromLong(plane_idle_fd(session_plane)) : NULL;
}

static PyObject *await_idle(PyObject *module, PyObject *arguments) {
    int awaited;

    (void)module;
    if (!PyArg_ParseTuple(arguments, "p:plane_await", &awaited))
        return NULL;
    if (session_plane != NULL)
        plane_await(session_plane, awaited);
    Py_RETURN_NONE;
}

static PyObject *learn(PyObject *module, PyObject *arguments) {
    unsigned long long handle, vblock, data_block, count;
    int writable;
    uint32_t entries[256];

    (void)module;
    if (!PyArg_ParseTuple(arguments, "KKKKp:plane_learn", &handle, &vblock, &data_block, &count, &writable))
        return NULL;
    if (session_plane == NULL || count > TABLE_MOST_DATA_BLOCKS || data_block > TABLE_MOST_DATA_BLOCKS - count)
        Py_RETURN_NONE;
    for (uint64_t done = 0; done < count;) {
        size_t some = count - done < 256 ? (size_t)(count - done) : 256;

        for (size_t i = 0; i < some; i++)
            entries[i] = table_entry((uint32_t)(data_block + done + i), writable);
        plane_learn(session_plane, handle, vblock + done, entries, some);
        done += some;
    }
    Py_RETURN_NONE;
}

static PyObject *learn_unmapped(PyObject *module, PyObject *arguments) {
    unsigned long long handle, vblock, count;
    uint32_t entries[256];

    (void)module;
    if (!PyArg_ParseTuple(arguments, "KKK:plane_learn_unmapped", &handle, &vblock, &count))
        return NULL;
    for (size_t i = 0; i < 256; i++)
        entries[i] = TABLE_UNMAPPED;
    for (uint64_t done = 0; session_plane != NULL && done < count; done += 256)
        plane_learn(session_plane, handle, vblock + done, entries, count - done < 256 ? (size_t)(count - done) : 256);
    Py_RETURN_NONE;
}

static PyObject *knows(PyObject *module, PyObject *arguments) {
    unsigned long long handle, vblock, count;

    (void)module;
    if (!PyArg_ParseTuple(arguments, "KKK:plane_knows", &handle, &vblock, &count))
        return NULL;
    return PyBool_FromLong(session_plane == NULL || plane_knows(session_plane, handle, vblock, count));
}

static PyObject *forget(PyObject *module, PyObject *arguments) {
    unsigned long long handle, vblock, count;

    (void)module;
    if (!PyArg_ParseTuple(arguments, "KKK:plane_forget", &handle, &vblock, &count))
        return NULL;
    if (session_plane != NULL)
        plane_forget(session_plane, handle, vblock, count);
    Py_RETURN_NONE;
}

static PyObject *pool_counts(PyObject *module, PyObject *arguments) {
    struct plane_counts counts = {0};
    int pool;

    (void)module;
    if (!PyArg_ParseTuple(arguments, "i:plane_counts", &pool))
        return NULL;
    if (session_plane != NULL)
        counts = plane_pool_counts(session_plane, pool);
    return Py_BuildValue("KKKKK", (unsigned long long)counts.reads, (unsigned long long)counts.writes,
                         (unsigned long long)counts.flushes, (unsigned long long)counts.read_bytes,
                         (unsigned long long)counts.written_bytes);
}

static PyObject *table_bytes(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    return PyLong_FromUnsignedLongLong(session_plane == NULL ? 0 : plane_table_bytes(session_plane));
}

PyMethodDef plane_methods[] = {
    {"plane_pool_open", plane_pool_new, METH_VARARGS,
     "Open a pool on (descriptor, bytes of a block, whether its requests go to io_uring); return its number."},
    {"plane_ring_error", ring_error, METH_NOARGS, "Return 0 if this process can have io_uring, or an errno."},
    {"plane_pool_close", pool_close, METH_VARARGS, "Close a pool after its devices."},
    {"plane_pool_hold", pool_hold, METH_VARARGS, "Leave the requests of all devices of a pool to Python."},
    {"plane_pool_release", pool_release, METH_VARARGS, "Undo one plane_pool_hold."},
    {"plane_pool_is_idle", pool_is_idle, METH_VARARGS, "Return whether no request of a held pool is being served."},
    {"plane_counts", pool_counts, METH_VARARGS,
     "Return the reads, writes, flushes, bytes read and bytes written that were served for a pool."},
    {"plane_open", plane_device_open, METH_VARARGS, "Open the held device of (file handle, pool, bytes)."},
    {"plane_close", device_close, METH_VARARGS, "Close a held device."},
    {"plane_set", plane_device_set, METH_VARARGS, "Set what is served of a device: reads 1, writes 2, flushes 4."},
    {"plane_hold", device_hold, METH_VARARGS, "Leave the requests of a device to Python."},
    {"plane_release", device_release, METH_VARARGS, "Undo one plane_hold."},
    {"plane_is_idle", device_is_idle, METH_VARARGS, "Return whether no request of a held device is being served."},
    {"plane_idle_fd", idle_fd, METH_NOARGS, "Return the descriptor that is readable when a device may be idle."},
    {"plane_await", await_idle, METH_VARARGS, "Set whether threads of the plane write to plane_idle_fd."},
    {"plane_learn", learn, METH_VARARGS, "Note a run of (handle, virtual block, data block, count, writable)."},
    {"plane_learn_unmapped", learn_unmapped, METH_VARARGS, "Note unmapped (handle, virtual block, count)."},
    {"plane_knows", knows, METH_VARARGS, "Return whether all of (handle, virtual block, count) is known."},
    {"plane_forget", forget, METH_VARARGS, "Forget the mappings of (handle, virtual block, count)."},
    {"plane_table_bytes", table_bytes, METH_NOARGS, "Return the bytes that the tables take."},
    {NULL, NULL, 0, NULL},
};
