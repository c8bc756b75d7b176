/* The extension fuse_backing._native has the code that must not wait for Python: the account and the channel.
 *
 * It also adds the operations that pyfuse3 lacks: fallocate, lseek, and a statfs that knows its inode. pyfuse3 hands
 * libfuse a table of operations without fallocate, so the kernel answers EOPNOTSUPP to every hole punch on its mounts.
 * Therefore this module defines fuse_session_new itself. The module is made visible to all libraries (RTLD_GLOBAL)
 * before pyfuse3 is loaded, so pyfuse3's reference is bound to this definition first (ld.so(8), symbol lookup scope).
 * It completes the table and calls the real function, which dlsym(3) finds in libfuse. Three more functions are
 * replaced in the same way.
 *
 * Each folder has one purpose, and includes only folders above it in this list:
 *
 *   protocol/   the structures of the FUSE protocol that the channel uses
 *   account/    the ledger's numbers
 *   punch/      one measured fallocate
 *   latency/    how long requests took
 *   plane/      reads, writes and flushes of thin devices, from tables that Python fills
 *   libfuse/    libfuse's own functions
 *   channel/    the connection between the kernel and libfuse, with the thread that serves punches and data
 *   binding/    the Python types and methods, and the functions of libfuse that are replaced
 *
 * Each header names the owner of every object that passes through it, and when the owner closes it.
 *
 * The extension is not linked to libfuse and needs it only for a mount, so a ledger works without libfuse.
 */
#include "binding.h"

static struct PyModuleDef module_definition = {
    PyModuleDef_HEAD_INIT, .m_name = "_native", .m_size = -1,
    .m_doc = "_native has the ledger's numbers, and the FUSE operations that pyfuse3 lacks.",
};

PyMODINIT_FUNC PyInit__native(void) {
    PyMethodDef *const parts[] = {request_methods, operation_methods, interposed_methods, channel_methods,
                                  latency_methods, plane_methods};
    PyObject *module = PyModule_Create(&module_definition);

    if (module == NULL)
        return NULL;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (PyModule_AddFunctions(module, parts[i]) < 0) {
            Py_DECREF(module);
            return NULL;
        }
    }
    if (accounts_ready(module) < 0 || requests_ready(module) < 0) {
        Py_DECREF(module);
        return NULL;
    }
    return module;
}
