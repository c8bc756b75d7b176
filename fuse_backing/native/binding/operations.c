/* This file adds the operations that pyfuse3 lacks: fallocate, lseek, and a statfs that knows its inode.
 *
 * Each operation calls a Python callable and returns at once; the callable keeps the request and answers it later.
 */
#include "binding.h"

#include <errno.h>
#include <string.h>

static PyObject *fallocate_handler, *lseek_handler, *statfs_handler;
static void (*original_statfs)(fuse_req_t, fuse_ino_t);

/* Call handler(request, ...). The format is Py_BuildValue's, and makes a tuple of the arguments after the request. */
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
        left = request_take(request);
        if (left != NULL)
            libfuse.reply_err(left, EIO);
    }
    Py_XDECREF(result);
    Py_XDECREF(arguments);
    Py_XDECREF(first);
    Py_XDECREF(rest);
    Py_DECREF(request);
}

/* Python may replace a handler while it runs, so each call holds a reference. */
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

/* pyfuse3's table with the operations added; it is larger than fuse_lowlevel_ops if pyfuse3 has newer headers. */
static union {
    struct fuse_lowlevel_ops ops;
    char room[2 * sizeof(struct fuse_lowlevel_ops)];
} table;

size_t complete_table(const struct fuse_lowlevel_ops *ops, size_t size, const struct fuse_lowlevel_ops **completed) {
    if (size > sizeof table)
        return 0;
    memset(&table, 0, sizeof table);
    memcpy(&table, ops, size);
    original_statfs = table.ops.statfs;
    table.ops.statfs = op_statfs;
    table.ops.fallocate = op_fallocate;
    if (lseek_handler != NULL) /* without the operation the kernel answers SEEK_DATA and SEEK_HOLE itself */
        table.ops.lseek = op_lseek;
    *completed = &table.ops;
    return size > sizeof table.ops ? size : sizeof table.ops;
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

PyMethodDef operation_methods[] = {
    {"set_handlers", (PyCFunction)(void (*)(void))set_handlers, METH_VARARGS | METH_KEYWORDS,
     "Set the callables for fallocate, lseek and statfs; None removes one."},
    {NULL, NULL, 0, NULL},
};
