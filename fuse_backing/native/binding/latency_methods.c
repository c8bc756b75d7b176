/* These are Python's readings of the latencies of the session's channel; latency/latency.h explains them. */
#include "binding.h"

/* Return the pairs (largest duration of the bucket, requests) of the buckets that are not empty. */
static PyObject *bucket_list(const struct latency_reading *reading) {
    PyObject *list = PyList_New(0);

    for (size_t i = 0; list != NULL && i < LATENCY_BUCKETS; i++) {
        PyObject *pair;

        if (reading->buckets[i] == 0)
            continue;
        pair = Py_BuildValue("(KK)", (unsigned long long)latency_bound(i), (unsigned long long)reading->buckets[i]);
        if (pair == NULL || PyList_Append(list, pair) < 0)
            Py_CLEAR(list);
        Py_XDECREF(pair);
    }
    return list;
}

static PyObject *latencies(PyObject *module, PyObject *unused) {
    struct latency_reading *reading = PyMem_Malloc(sizeof *reading);
    PyObject *list = PyList_New(0);

    (void)module;
    (void)unused;
    if (reading == NULL) {
        Py_XDECREF(list);
        return PyErr_NoMemory();
    }
    for (unsigned kind = 0; list != NULL && session_channel != NULL && kind < LATENCY_KINDS; kind++) {
        PyObject *tuple;

        latency_read(channel_latencies(session_channel), kind, reading);
        if (reading->count == 0)
            continue;
        tuple = Py_BuildValue("(IKKKKKN)", kind, (unsigned long long)reading->count,
                              (unsigned long long)reading->native, (unsigned long long)reading->sum,
                              (unsigned long long)reading->longest, (unsigned long long)reading->longest_since,
                              bucket_list(reading));
        if (tuple == NULL || PyList_Append(list, tuple) < 0)
            Py_CLEAR(list);
        Py_XDECREF(tuple);
    }
    PyMem_Free(reading);
    return list;
}

static PyObject *restart_longest(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    if (session_channel != NULL)
        latencies_restart_longest(channel_latencies(session_channel));
    Py_RETURN_NONE;
}

PyMethodDef latency_methods[] = {
    {"latencies", latencies, METH_NOARGS,
     "Return (kind, requests, served natively, sum, longest, longest since the restart, buckets) of each kind."},
    {"restart_longest", restart_longest, METH_NOARGS, "Find the longest latency of each kind from now on."},
    {NULL, NULL, 0, NULL},
};
