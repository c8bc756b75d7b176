/* FuseRequest is the Python object of a kernel request that waits for its one answer; reply_* are the answers.
 *
 * The holder of the object can answer later, from any thread: the reply functions of libfuse are thread-safe.
 */
#include "binding.h"

#include <string.h>
#include <sys/statvfs.h>

/* A kernel request that waits for its one answer. All unanswered requests are in a linked list, under the GIL. */
typedef struct FuseRequest {
    PyObject_HEAD
    fuse_req_t req; /* NULL once answered */
    struct FuseRequest *previous, *next;
} FuseRequest;

static FuseRequest *unanswered;
static PyTypeObject *request_type;

PyObject *request_new(fuse_req_t req) {
    FuseRequest *self = PyObject_New(FuseRequest, request_type);

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

fuse_req_t request_take(PyObject *object) {
    FuseRequest *self = (FuseRequest *)object;
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
    fuse_req_t req = request_take(object);
    PyTypeObject *type = Py_TYPE(object);

    if (req != NULL)
        libfuse.reply_err(req, EIO);
    PyObject_Free(object);
    Py_DECREF(type);
}

static PyObject *request_answered(PyObject *self, void *closure) {
    (void)closure;
    return PyBool_FromLong(((FuseRequest *)self)->req == NULL);
}

static PyGetSetDef request_getset[] = {
    {"answered", request_answered, NULL, "True if a reply has been sent.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot request_slots[] = {
    {Py_tp_dealloc, request_dealloc},
    {Py_tp_getset, request_getset},
    {Py_tp_doc, "A FuseRequest is a kernel request that waits for one answer; dropped unanswered, it gets EIO."},
    {0, NULL},
};

static PyType_Spec request_spec = {
    .name = "fuse_backing._native.FuseRequest",
    .basicsize = sizeof(FuseRequest),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = request_slots,
};

void requests_end(void) {
    while (unanswered != NULL)
        libfuse.reply_err(request_take((PyObject *)unanswered), EIO);
}

int requests_ready(PyObject *module) {
    request_type = (PyTypeObject *)PyType_FromSpec(&request_spec);
    return request_type == NULL ? -1 : PyModule_AddType(module, request_type);
}

static fuse_req_t take_for_reply(PyObject *object) {
    fuse_req_t req;

    if (!Py_IS_TYPE(object, request_type)) {
        PyErr_Format(PyExc_TypeError, "the request must be a FuseRequest, not %.100s", Py_TYPE(object)->tp_name);
        return NULL;
    }
    req = request_take(object);
    if (req == NULL)
        PyErr_SetString(PyExc_RuntimeError, "the request is already answered");
    return req;
}

static PyObject *reply_err(PyObject *module, PyObject *arguments) {
    PyObject *request;
    fuse_req_t req;
    int error;

    (void)module;
    if (!PyArg_ParseTuple(arguments, "Oi:reply_err", &request, &error))
        return NULL;
    if (error < 0 || error >= 1000) /* libfuse's limit: fuse_send_reply_iov_nofree in lib/fuse_lowlevel.c */
        return PyErr_Format(PyExc_ValueError, "%d is not an error number", error);
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

PyMethodDef request_methods[] = {
    {"reply_err", reply_err, METH_VARARGS, "Answer a request with an error number, or 0 for success."},
    {"reply_lseek", reply_lseek, METH_VARARGS, "Answer a seek with an offset in bytes."},
    {"reply_statfs", reply_statfs, METH_VARARGS, "Answer a statfs with the nine fields of statvfs(3)."},
    {NULL, NULL, 0, NULL},
};
