/* Names is the Python object of the files that the kernel knows; it wraps names/names.h. */
#include "binding.h"

#include <errno.h>
#include <unistd.h>

typedef struct {
    PyObject_HEAD
    struct names *names; /* NULL after close */
} Names;

PyTypeObject *names_type;

static PyObject *names_create(PyTypeObject *type, PyObject *arguments, PyObject *keywords) {
    static char *words[] = {"directory", "use_handles", "most_descriptors", NULL};
    unsigned int most_descriptors;
    int directory, use_handles;
    Names *self;

    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "ipI:Names", words, &directory, &use_handles,
                                     &most_descriptors))
        return NULL;
    self = (Names *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->names = names_new(directory, use_handles, most_descriptors);
    if (self->names == NULL) {
        Py_DECREF(self);
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    return (PyObject *)self;
}

static PyObject *names_close(PyObject *object, PyObject *unused) {
    Names *self = (Names *)object;

    (void)unused;
    if (session_names == object) {
        PyErr_SetString(PyExc_RuntimeError, "the session uses these names");
        return NULL;
    }
    if (self->names != NULL)
        names_free(self->names);
    self->names = NULL;
    Py_RETURN_NONE;
}

static void names_dealloc(PyObject *object) {
    PyTypeObject *type = Py_TYPE(object);

    if (((Names *)object)->names != NULL)
        names_free(((Names *)object)->names);
    type->tp_free(object);
    Py_DECREF(type);
}

struct names *names_of(PyObject *object) {
    if (((Names *)object)->names == NULL)
        PyErr_SetString(PyExc_ValueError, "the names are closed");
    return ((Names *)object)->names;
}

/* Return an error with the name of a file that could not be found, or of none. */
static PyObject *failed(int error) {
    errno = error;
    return PyErr_SetFromErrno(PyExc_OSError);
}

static PyObject *find(PyObject *self, PyObject *arguments) {
    struct names *names = names_of(self);
    unsigned long long directory;
    uint64_t number;
    struct stat status;
    Py_buffer name;
    int error;

    if (names == NULL || !PyArg_ParseTuple(arguments, "Ky*:find", &directory, &name))
        return NULL;
    error = strlen(name.buf) == (size_t)name.len ? names_find(names, directory, name.buf, &number, &status) : EINVAL;
    PyBuffer_Release(&name);
    return error != 0 ? failed(error)
                      : Py_BuildValue("(KI)", (unsigned long long)number, (unsigned int)(status.st_mode & S_IFMT));
}

static PyObject *descriptor(PyObject *self, PyObject *number) {
    struct names *names = names_of(self);
    unsigned long long wanted = PyLong_AsUnsignedLongLong(number);
    int fd;

    if (names == NULL || PyErr_Occurred())
        return NULL;
    fd = names_descriptor(names, wanted);
    return fd < 0 ? failed(errno) : PyLong_FromLong(fd);
}

static PyObject *path(PyObject *self, PyObject *number) {
    struct names *names = names_of(self);
    unsigned long long wanted = PyLong_AsUnsignedLongLong(number);
    PyObject *result;
    char *found;

    if (names == NULL || PyErr_Occurred())
        return NULL;
    found = names_path(names, wanted);
    if (found == NULL)
        return failed(errno);
    result = PyUnicode_DecodeFSDefault(found);
    free(found);
    return result;
}

static PyObject *of_handle(PyObject *self, PyObject *handle) {
    struct names *names = names_of(self);
    unsigned long long wanted = PyLong_AsUnsignedLongLong(handle);

    if (names == NULL || PyErr_Occurred())
        return NULL;
    return PyLong_FromUnsignedLongLong(names_of_handle(names, wanted));
}

static PyObject *gate(PyObject *self, PyObject *number) {
    struct names *names = names_of(self);
    unsigned long long wanted = PyLong_AsUnsignedLongLong(number);

    return names == NULL || PyErr_Occurred() ? NULL : PyLong_FromLong(names_gate(names, wanted));
}

static PyObject *set_opening(PyObject *self, PyObject *arguments) {
    struct names *names = names_of(self);
    unsigned long long unit;
    int passthrough;

    if (names == NULL || !PyArg_ParseTuple(arguments, "pK:set_opening", &passthrough, &unit))
        return NULL;
    names_set_opening(names, passthrough, unit);
    Py_RETURN_NONE;
}

static PyObject *set_times(PyObject *self, PyObject *nanoseconds) {
    struct names *names = names_of(self);
    unsigned long long times = PyLong_AsUnsignedLongLong(nanoseconds);

    if (names == NULL || PyErr_Occurred())
        return NULL;
    names_set_times(names, times);
    Py_RETURN_NONE;
}

static PyObject *get_handles(PyObject *self, void *closure) {
    struct names *names = names_of(self);

    (void)closure;
    return names == NULL ? NULL : PyBool_FromLong(names_has_handles(names));
}

static PyObject *get_descriptors(PyObject *self, void *closure) {
    struct names *names = names_of(self);

    (void)closure;
    return names == NULL ? NULL : PyLong_FromSize_t(names_open_descriptors(names));
}

static Py_ssize_t count(PyObject *self) {
    struct names *names = names_of(self);

    return names == NULL ? -1 : (Py_ssize_t)names_count(names);
}

static PyMethodDef names_methods[] = {
    {"find", find, METH_VARARGS, "Find the entry of a directory; return its number and kind."},
    {"descriptor", descriptor, METH_O, "Return a new O_PATH descriptor of a file."},
    {"path", path, METH_O, "Return the path of a file's last known link."},
    {"of_handle", of_handle, METH_O, "Return the number of the file of an open handle, or 0."},
    {"gate", gate, METH_O, "Return the gate of a file that was open, or -1."},
    {"set_opening", set_opening, METH_VARARGS, "Set passthrough, and the host's unit of allocation, for later opens."},
    {"set_times", set_times, METH_O, "Set how many nanoseconds the kernel may keep entries and attributes."},
    {"close", names_close, METH_NOARGS, "Close and forget all files."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef names_getset[] = {
    {"has_handles", get_handles, NULL, "True if known files have handles.", NULL},
    {"open_descriptors", get_descriptors, NULL, "Number of descriptors that may be closed at any time.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot names_slots[] = {
    {Py_tp_new, names_create},
    {Py_tp_dealloc, names_dealloc},
    {Py_tp_methods, names_methods},
    {Py_tp_getset, names_getset},
    {Py_sq_length, count},
    {Py_tp_doc, "A Names has the files that the kernel knows; threads without the GIL use it."},
    {0, NULL},
};

static PyType_Spec names_spec = {
    .name = "fuse_backing._native.Names",
    .basicsize = sizeof(Names),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = names_slots,
};

int names_ready(PyObject *module) {
    names_type = (PyTypeObject *)PyType_FromSpec(&names_spec);
    return names_type == NULL ? -1 : PyModule_AddType(module, names_type);
}
