/* FuseRequest is the Python object of a kernel request that waits for its one answer; reply_* are the answers.
 *
 * The object's buffer is the data of a write, without a copy.
 */
#include "binding.h"

#include <errno.h>
#include <string.h>

#include "protocol/protocol.h"

/* All unanswered requests are in a linked list, under the GIL. */
typedef struct FuseRequest {
    PyObject_HEAD
    struct channel_request *request;
    bool answered;
    struct FuseRequest *previous, *next;
} FuseRequest;

static FuseRequest *unanswered;
static PyTypeObject *request_type;

static PyObject *request_new(struct channel_request *request) {
    FuseRequest *self = PyObject_New(FuseRequest, request_type);

    if (self == NULL)
        return NULL;
    self->request = request;
    self->answered = request->note;
    self->previous = self->next = NULL;
    if (request->note)
        return (PyObject *)self;
    self->next = unanswered;
    if (unanswered != NULL)
        unanswered->previous = self;
    unanswered = self;
    return (PyObject *)self;
}

/* Note that a request has its answer. */
static void set_answered(FuseRequest *self) {
    self->answered = true;
    if (self->previous != NULL)
        self->previous->next = self->next;
    else
        unanswered = self->next;
    if (self->next != NULL)
        self->next->previous = self->previous;
    self->previous = self->next = NULL;
}

/* Answer a request that has no answer yet. */
static bool answer(FuseRequest *self, int error, const void *content, size_t size) {
    set_answered(self);
    return channel_reply(session_channel, self->request, error, content, size);
}

void requests_end(void) {
    while (unanswered != NULL)
        answer(unanswered, EIO, NULL, 0);
}

static void request_dealloc(PyObject *object) {
    FuseRequest *self = (FuseRequest *)object;
    PyTypeObject *type = Py_TYPE(object);

    if (!self->answered)
        answer(self, EIO, NULL, 0);
    channel_request_free(session_channel, self->request);
    PyObject_Free(object);
    Py_DECREF(type);
}

static PyObject *request_answered(PyObject *self, void *closure) {
    (void)closure;
    return PyBool_FromLong(((FuseRequest *)self)->answered);
}

static int request_buffer(PyObject *object, Py_buffer *view, int flags) {
    const struct channel_request *request = ((FuseRequest *)object)->request;
    const struct protocol_write_in *in = (const void *)request->body;

    if (request->opcode != PROTOCOL_WRITE) {
        PyErr_SetString(PyExc_BufferError, "only a write has data");
        return -1;
    }
    return PyBuffer_FillInfo(view, object, (void *)(in + 1), (Py_ssize_t)in->size, 1, flags);
}

static PyGetSetDef request_getset[] = {
    {"answered", request_answered, NULL, "True if a reply has been sent.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot request_slots[] = {
    {Py_tp_dealloc, request_dealloc},
    {Py_tp_getset, request_getset},
    {Py_bf_getbuffer, request_buffer},
    {Py_tp_doc, "A FuseRequest is a kernel request that waits for one answer; dropped unanswered, it gets EIO."},
    {0, NULL},
};

static PyType_Spec request_spec = {
    .name = "fuse_backing._native.FuseRequest",
    .basicsize = sizeof(FuseRequest),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = request_slots,
};

int requests_ready(PyObject *module) {
    request_type = (PyTypeObject *)PyType_FromSpec(&request_spec);
    return request_type == NULL ? -1 : PyModule_AddType(module, request_type);
}

/* Return the user who has sent a request. */
static unsigned int uid_of(const struct channel_request *request) {
    const struct protocol_in_header *header = (const void *)(request->body - sizeof *header);

    return header->uid;
}

/* Return (opcode, request, ...) with the arguments of the opcode. */
static PyObject *described(struct channel_request *request, PyObject *object) {
    unsigned int opcode = request->opcode;
    unsigned long long node = request->node;

    if (request->note) { /* Python owns its descriptor from now on */
        int fd = request->fd;

        request->fd = -1;
        return Py_BuildValue("(IOyi)", opcode, object, request->body, fd);
    }
    switch (opcode) {
    case PROTOCOL_OPEN:
        return Py_BuildValue("(IOKI)", opcode, object, node, uid_of(request));
    case PROTOCOL_SETATTR: {
        const struct protocol_setattr_in *in = (const void *)request->body;

        return Py_BuildValue("(IOKKLI)", opcode, object, node, (unsigned long long)in->size,
                             in->valid & PROTOCOL_SETATTR_FH ? (long long)in->fh : -1, uid_of(request));
    }
    case PROTOCOL_READ: {
        const struct protocol_read_in *in = (const void *)request->body;

        return Py_BuildValue("(IOKKI)", opcode, object, (unsigned long long)in->fh, (unsigned long long)in->offset,
                             in->size);
    }
    case PROTOCOL_WRITE: {
        const struct protocol_write_in *in = (const void *)request->body;

        return Py_BuildValue("(IOKK)", opcode, object, (unsigned long long)in->fh, (unsigned long long)in->offset);
    }
    case PROTOCOL_FSYNC: {
        const struct protocol_fsync_in *in = (const void *)request->body;

        return Py_BuildValue("(IOKO)", opcode, object, (unsigned long long)in->fh,
                             in->fsync_flags & PROTOCOL_FSYNC_DATA ? Py_True : Py_False);
    }
    case PROTOCOL_FALLOCATE: {
        const struct protocol_fallocate_in *in = (const void *)request->body;

        return Py_BuildValue("(IOKKIKK)", opcode, object, node, (unsigned long long)in->fh, in->mode,
                             (unsigned long long)in->offset, (unsigned long long)in->length);
    }
    case PROTOCOL_LSEEK: {
        const struct protocol_lseek_in *in = (const void *)request->body;

        return Py_BuildValue("(IOKKKI)", opcode, object, node, (unsigned long long)in->fh,
                             (unsigned long long)in->offset, in->whence);
    }
    }
    return Py_BuildValue("(IOK)", opcode, object, node); /* STATFS */
}

static PyObject *take_request(PyObject *module, PyObject *unused) {
    struct channel_request *request;
    PyObject *object, *tuple;

    (void)module;
    (void)unused;
    request = session_channel == NULL ? NULL : channel_take(session_channel);
    if (request == NULL)
        Py_RETURN_NONE;
    object = request_new(request);
    if (object == NULL) {
        if (!request->note)
            channel_reply(session_channel, request, ENOMEM, NULL, 0);
        channel_request_free(session_channel, request);
        return NULL;
    }
    tuple = described(request, object);
    Py_DECREF(object);
    return tuple;
}

static FuseRequest *for_reply(PyObject *object) {
    if (!Py_IS_TYPE(object, request_type)) {
        PyErr_Format(PyExc_TypeError, "the request must be a FuseRequest, not %.100s", Py_TYPE(object)->tp_name);
        return NULL;
    }
    if (((FuseRequest *)object)->answered) {
        PyErr_SetString(PyExc_RuntimeError, "the request is already answered");
        return NULL;
    }
    return (FuseRequest *)object;
}

static PyObject *reply_err(PyObject *module, PyObject *arguments) {
    PyObject *object;
    FuseRequest *request;
    int error;

    (void)module;
    if (!PyArg_ParseTuple(arguments, "Oi:reply_err", &object, &error))
        return NULL;
    if (error < 0 || error >= 512) /* the kernel's limit: fuse_dev_do_write of fs/fuse/dev.c */
        return PyErr_Format(PyExc_ValueError, "%d is not an error number", error);
    request = for_reply(object);
    return request == NULL ? NULL : PyBool_FromLong(answer(request, error, NULL, 0));
}

static PyObject *reply_data(PyObject *module, PyObject *arguments) {
    PyObject *object;
    FuseRequest *request;
    Py_buffer data;
    bool taken;

    (void)module;
    if (!PyArg_ParseTuple(arguments, "Oy*:reply_data", &object, &data))
        return NULL;
    request = for_reply(object);
    taken = request != NULL && answer(request, 0, data.buf, (size_t)data.len);
    PyBuffer_Release(&data);
    return request == NULL ? NULL : PyBool_FromLong(taken);
}

static PyObject *reply_written(PyObject *module, PyObject *arguments) {
    struct protocol_write_out out = {0, 0};
    PyObject *object;
    FuseRequest *request;

    (void)module;
    if (!PyArg_ParseTuple(arguments, "OI:reply_written", &object, &out.size))
        return NULL;
    request = for_reply(object);
    return request == NULL ? NULL : PyBool_FromLong(answer(request, 0, &out, sizeof out));
}

/* Several threads may call this, since a write may end on a worker thread. */
static PyObject *reply_ended(PyObject *module, PyObject *object) {
    struct protocol_write_out out = {0, 0};
    FuseRequest *request = (FuseRequest *)object;

    (void)module;
    if (!Py_IS_TYPE(object, request_type) || request->request->opcode != PROTOCOL_WRITE)
        return PyErr_Format(PyExc_TypeError, "only a FuseRequest of a write ends");
    if (request->answered)
        Py_RETURN_FALSE;
    out.size = ((const struct protocol_write_in *)(const void *)request->request->body)->size;
    return PyBool_FromLong(answer(request, 0, &out, sizeof out));
}

static PyObject *reply_lseek(PyObject *module, PyObject *arguments) {
    struct protocol_lseek_out out;
    unsigned long long offset;
    PyObject *object;
    FuseRequest *request;

    (void)module;
    if (!PyArg_ParseTuple(arguments, "OK:reply_lseek", &object, &offset))
        return NULL;
    out.offset = offset;
    request = for_reply(object);
    return request == NULL ? NULL : PyBool_FromLong(answer(request, 0, &out, sizeof out));
}

static PyObject *reply_statfs(PyObject *module, PyObject *arguments) {
    unsigned long long bsize, frsize, blocks, bfree, bavail, files, ffree, favail, namemax;
    struct protocol_statfs_out out;
    PyObject *object;
    FuseRequest *request;

    (void)module;
    if (!PyArg_ParseTuple(arguments, "OKKKKKKKKK:reply_statfs", &object, &bsize, &frsize, &blocks, &bfree, &bavail,
                          &files, &ffree, &favail, &namemax))
        return NULL;
    request = for_reply(object);
    if (request == NULL)
        return NULL;
    memset(&out, 0, sizeof out);
    out.blocks = blocks;
    out.bfree = bfree;
    out.bavail = bavail;
    out.files = files;
    out.ffree = ffree; /* the protocol has no favail */
    out.bsize = (uint32_t)bsize;
    out.frsize = (uint32_t)frsize;
    out.namelen = (uint32_t)namemax;
    return PyBool_FromLong(answer(request, 0, &out, sizeof out));
}

static PyObject *resume(PyObject *module, PyObject *object) {
    FuseRequest *request = for_reply(object);

    (void)module;
    if (request == NULL)
        return NULL;
    if (session_names == NULL)
        return PyErr_Format(PyExc_RuntimeError, "the session has no names");
    set_answered(request);
    channel_resume(session_channel, request->request);
    Py_RETURN_NONE;
}

PyMethodDef request_methods[] = {
    {"take_request", take_request, METH_NOARGS,
     "Return (opcode, request, ...) of the next request that is left to Python, or None."},
    {"reply_err", reply_err, METH_VARARGS, "Answer a request with an error number, or 0 for success."},
    {"resume", resume, METH_O, "Have the names answer a request of theirs, after Python's part."},
    {"reply_data", reply_data, METH_VARARGS, "Answer a read with its data."},
    {"reply_written", reply_written, METH_VARARGS, "Answer a write with the number of bytes written."},
    {"reply_ended", reply_ended, METH_O, "Answer a write as complete, unless it has its answer."},
    {"reply_lseek", reply_lseek, METH_VARARGS, "Answer a seek with an offset in bytes."},
    {"reply_statfs", reply_statfs, METH_VARARGS, "Answer a statfs with the nine fields of statvfs(3)."},
    {NULL, NULL, 0, NULL},
};
