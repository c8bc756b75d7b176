/* The extension fuse_backing._native has the code that must not wait for Python: the account, the channel, the plane.
 *
 * Each folder has one purpose, and includes only folders above it in this list:
 *
 *   protocol/   the structures of the FUSE protocol that the channel uses
 *   account/    the ledger's numbers
 *   punch/      one measured fallocate
 *   latency/    how long requests took
 *   names/      the files that the kernel knows, and its requests about names
 *   plane/      reads, writes and flushes of thin devices, from tables that Python fills
 *   channel/    the connection to the kernel's FUSE, with the threads that read it
 *   binding/    the Python types and methods
 *
 * Each header names the owner of every object that passes through it, and when the owner closes it.
 *
 * The extension uses no function of libfuse. pyfuse3 has libfuse serve what the channel leaves, on a socket of it.
 */
#include "binding.h"

static struct PyModuleDef module_definition = {
    PyModuleDef_HEAD_INIT, .m_name = "_native", .m_size = -1,
    .m_doc = "_native has the ledger's numbers, and the connection to the kernel's FUSE.",
};

PyMODINIT_FUNC PyInit__native(void) {
    PyMethodDef *const parts[] = {session_methods, request_methods, channel_methods, latency_methods, plane_methods};
    PyObject *module = PyModule_Create(&module_definition);

    if (module == NULL)
        return NULL;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (PyModule_AddFunctions(module, parts[i]) < 0) {
            Py_DECREF(module);
            return NULL;
        }
    }
    if (accounts_ready(module) < 0 || names_ready(module) < 0 || requests_ready(module) < 0) {
        Py_DECREF(module);
        return NULL;
    }
    return module;
}
