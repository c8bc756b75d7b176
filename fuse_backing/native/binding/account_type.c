/* Account is the Python object of a ledger's numbers; it wraps account/account.h. */
#include "binding.h"

#define MOST_EVENTS 4096

typedef struct {
    PyObject_HEAD
    struct account *account;
} Account;

PyTypeObject *account_type;

static PyObject *account_create(PyTypeObject *type, PyObject *arguments, PyObject *keywords) {
    static char *names[] = {"capacity", NULL};
    Py_ssize_t capacity;
    Account *self;

    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "n:Account", names, &capacity))
        return NULL;
    if (capacity < 1)
        return PyErr_Format(PyExc_ValueError, "the capacity must be at least 1 event, not %zd", capacity);
    self = (Account *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->account = account_new((size_t)capacity);
    if (self->account == NULL) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    return (PyObject *)self;
}

static void account_dealloc(PyObject *object) {
    Account *self = (Account *)object;
    PyTypeObject *type = Py_TYPE(object);

    if (self->account != NULL)
        account_free(self->account);
    type->tp_free(object);
    Py_DECREF(type);
}

struct account *account_of(PyObject *object) {
    return ((Account *)object)->account;
}

static PyObject *add_file(PyObject *self, PyObject *unused) {
    uint32_t index = account_file(account_of(self));

    (void)unused;
    if (index == UINT32_MAX)
        return PyErr_Format(PyExc_MemoryError, "out of memory, or more than %d files", ACCOUNT_MOST_FILES);
    return PyLong_FromUnsignedLong(index);
}

static PyObject *index_result(uint32_t index) {
    if (index == UINT32_MAX)
        return PyErr_NoMemory();
    return PyLong_FromUnsignedLong(index);
}

static PyObject *index_of(PyObject *self, PyObject *name) {
    const char *bytes = PyBytes_AsString(name);

    return bytes == NULL ? NULL : index_result(account_index(account_of(self), bytes));
}

static PyObject *begin_use(PyObject *self, PyObject *name) {
    const char *bytes = PyBytes_AsString(name);

    return bytes == NULL ? NULL : index_result(account_begin_use(account_of(self), bytes));
}

static PyObject *end_use(PyObject *self, PyObject *index) {
    unsigned long file = PyLong_AsUnsignedLong(index);

    if (PyErr_Occurred())
        return NULL;
    account_end_use(account_of(self), (uint32_t)file);
    Py_RETURN_NONE;
}

static PyObject *find_index(PyObject *self, PyObject *name) {
    const char *bytes = PyBytes_AsString(name);
    uint32_t index;

    if (bytes == NULL)
        return NULL;
    index = account_find(account_of(self), bytes);
    if (index == UINT32_MAX)
        Py_RETURN_NONE;
    return PyLong_FromUnsignedLong(index);
}

static PyObject *name_of(PyObject *self, PyObject *index) {
    unsigned long file = PyLong_AsUnsignedLong(index);
    PyObject *result;
    char *name;

    if (PyErr_Occurred())
        return NULL;
    name = account_name(account_of(self), (uint32_t)file);
    if (name == NULL)
        Py_RETURN_NONE;
    result = PyUnicode_DecodeFSDefault(name);
    free(name);
    return result;
}

static PyObject *record(PyObject *self, PyObject *arguments) {
    struct account_event event = {0};
    unsigned long long offset, length, allocated, freed;
    long long time, duration;
    unsigned int file, operation, fault;

    if (!PyArg_ParseTuple(arguments, "LIIiKKKKiLI:record", &time, &file, &operation, &event.mode, &offset, &length,
                          &allocated, &freed, &event.error, &duration, &fault))
        return NULL;
    if (operation >= ACCOUNT_OPERATIONS)
        return PyErr_Format(PyExc_ValueError, "%u is not the number of an operation", operation);
    event.time = time;
    event.file = file;
    event.operation = operation;
    event.offset = offset;
    event.length = length;
    event.allocated = allocated;
    event.freed = freed;
    event.duration = duration;
    event.fault = fault;
    return PyLong_FromUnsignedLongLong(account_record(account_of(self), &event));
}

static PyObject *events(PyObject *self, PyObject *arguments) {
    struct account_event *room;
    unsigned long long from;
    Py_ssize_t most;
    PyObject *list;
    size_t count;

    if (!PyArg_ParseTuple(arguments, "Kn:events", &from, &most))
        return NULL;
    if (most < 0 || most > MOST_EVENTS)
        most = MOST_EVENTS;
    room = PyMem_Calloc((size_t)most + 1, sizeof *room);
    if (room == NULL)
        return PyErr_NoMemory();
    count = account_events(account_of(self), from, room, (size_t)most);
    list = PyList_New((Py_ssize_t)count);
    for (size_t i = 0; list != NULL && i < count; i++) {
        const struct account_event *event = &room[i];
        PyObject *tuple = Py_BuildValue(
            "(KLIIiKKKKiLI)", (unsigned long long)event->sequence, (long long)event->time, event->file,
            event->operation, event->mode, (unsigned long long)event->offset, (unsigned long long)event->length,
            (unsigned long long)event->allocated, (unsigned long long)event->freed, event->error,
            (long long)event->duration, event->fault);

        if (tuple == NULL)
            Py_CLEAR(list);
        else
            PyList_SET_ITEM(list, (Py_ssize_t)i, tuple);
    }
    PyMem_Free(room);
    return list;
}

static PyObject *totals_tuple(const struct account_totals *totals) {
    return Py_BuildValue("(KKKKKKK)", (unsigned long long)totals->events, (unsigned long long)totals->punched,
                         (unsigned long long)totals->zeroed, (unsigned long long)totals->allocated,
                         (unsigned long long)totals->freed, (unsigned long long)totals->errors,
                         (unsigned long long)totals->faults);
}

static PyObject *totals(PyObject *self, PyObject *unused) {
    struct account_totals sum = account_sum(account_of(self));

    (void)unused;
    return totals_tuple(&sum);
}

static PyObject *unknown_file(PyObject *index) {
    PyErr_SetObject(PyExc_IndexError, index);
    return NULL;
}

static PyObject *file_totals(PyObject *self, PyObject *index) {
    unsigned long file = PyLong_AsUnsignedLong(index);
    struct account_totals sum;

    if (PyErr_Occurred())
        return NULL;
    if (file >= UINT32_MAX || !account_file_sum(account_of(self), (uint32_t)file, &sum))
        return unknown_file(index);
    return totals_tuple(&sum);
}

/* Return (width, [(events, bytes, freed), ...]) up to the last bucket that is not empty. */
static PyObject *histogram_tuple(const struct account_histogram *histogram) {
    size_t used = ACCOUNT_BUCKETS;
    PyObject *buckets;

    while (used > 0 && histogram->buckets[used - 1].events == 0 && histogram->buckets[used - 1].bytes == 0)
        used--;
    buckets = PyList_New((Py_ssize_t)used);
    for (size_t i = 0; buckets != NULL && i < used; i++) {
        const struct account_bucket *bucket = &histogram->buckets[i];
        PyObject *tuple = Py_BuildValue("(KKK)", (unsigned long long)bucket->events,
                                        (unsigned long long)bucket->bytes, (unsigned long long)bucket->freed);

        if (tuple == NULL)
            Py_CLEAR(buckets);
        else
            PyList_SET_ITEM(buckets, (Py_ssize_t)i, tuple);
    }
    return buckets == NULL ? NULL : Py_BuildValue("(KN)", (unsigned long long)histogram->width, buckets);
}

static PyObject *by_offset(PyObject *self, PyObject *index) {
    unsigned long file = PyLong_AsUnsignedLong(index);
    struct account_histogram histogram;

    if (PyErr_Occurred())
        return NULL;
    if (file >= UINT32_MAX || !account_by_offset(account_of(self), (uint32_t)file, &histogram))
        return unknown_file(index);
    return histogram_tuple(&histogram);
}

static PyObject *by_time(PyObject *self, PyObject *unused) {
    struct account_histogram histogram;
    PyObject *tuple;
    int64_t started;

    (void)unused;
    account_by_time(account_of(self), &histogram, &started);
    tuple = histogram_tuple(&histogram);
    return tuple == NULL ? NULL : Py_BuildValue("(LN)", (long long)started, tuple);
}

static PyObject *arm(PyObject *self, PyObject *unused) {
    (void)unused;
    account_arm(account_of(self));
    Py_RETURN_NONE;
}

static PyObject *get_first(PyObject *self, void *closure) {
    (void)closure;
    return PyLong_FromUnsignedLongLong(account_first(account_of(self)));
}

static PyObject *get_last(PyObject *self, void *closure) {
    (void)closure;
    return PyLong_FromUnsignedLongLong(account_last(account_of(self)));
}

static PyObject *get_nr_files(PyObject *self, void *closure) {
    (void)closure;
    return PyLong_FromUnsignedLong(account_nr_files(account_of(self)));
}

static PyObject *get_notify_fd(PyObject *self, void *closure) {
    (void)closure;
    return PyLong_FromLong(account_notify_fd(account_of(self)));
}

static PyMethodDef account_methods[] = {
    {"file", add_file, METH_NOARGS, "Add a file; return its index."},
    {"index", index_of, METH_O, "Return the index of the file with a name, which it adds if necessary."},
    {"find", find_index, METH_O, "Return the index of the file with a name, or None."},
    {"name", name_of, METH_O, "Return the name of a file, or None."},
    {"begin_use", begin_use, METH_O, "Return the index of a name, which stays the file's until end_use."},
    {"end_use", end_use, METH_O, "Undo one begin_use."},
    {"record", record, METH_VARARGS, "Record an event; return its sequence number."},
    {"events", events, METH_VARARGS, "Return up to MOST events from a sequence number on, as tuples."},
    {"totals", totals, METH_NOARGS, "Return the sums over all events, as a tuple."},
    {"file_totals", file_totals, METH_O, "Return the sums of a file, as a tuple."},
    {"by_offset", by_offset, METH_O, "Return a file's histogram by offset."},
    {"by_time", by_time, METH_NOARGS, "Return the start in nanoseconds since the epoch, and the histogram by time."},
    {"arm", arm, METH_NOARGS, "Make notify_fd readable at the next event."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef account_getset[] = {
    {"first", get_first, NULL, "Sequence number of the oldest event kept.", NULL},
    {"last", get_last, NULL, "Sequence number of the newest event.", NULL},
    {"nr_files", get_nr_files, NULL, "Number of indices; some may have no name.", NULL},
    {"notify_fd", get_notify_fd, NULL, "An eventfd: see arm.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot account_slots[] = {
    {Py_tp_new, account_create},
    {Py_tp_dealloc, account_dealloc},
    {Py_tp_methods, account_methods},
    {Py_tp_getset, account_getset},
    {Py_tp_doc, "An Account has a ring of events, totals and histograms; threads without the GIL use it."},
    {0, NULL},
};

static PyType_Spec account_spec = {
    .name = "fuse_backing._native.Account",
    .basicsize = sizeof(Account),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = account_slots,
};

int accounts_ready(PyObject *module) {
    account_type = (PyTypeObject *)PyType_FromSpec(&account_spec);
    if (account_type == NULL || PyModule_AddType(module, account_type) < 0)
        return -1;
    return PyModule_AddIntConstant(module, "MOST_FILES", ACCOUNT_MOST_FILES);
}
