/* The extension fuse_backing._native.
 *
 * It holds what must not wait for Python: the ledger's numbers, and the way between the kernel and libfuse. It also
 * adds what pyfuse3 leaves out of a FUSE session: fallocate, lseek, and a statfs that knows its inode. pyfuse3
 * hands libfuse a table of operations that has no fallocate, so the kernel answers EOPNOTSUPP to every hole punch
 * on its mounts. This module defines fuse_session_new itself. Made visible to all (RTLD_GLOBAL) before pyfuse3 is
 * loaded, it is found first when pyfuse3's reference is bound (ld.so(8), symbol lookup scope); it completes the
 * table and calls the real function, taken from libfuse with dlsym(3). Three more functions are replaced in the
 * same way.
 *
 * A folder is one idea, and includes only what stands above it here:
 *
 *   protocol/   the structures of the FUSE protocol that are looked at
 *   account/    the ledger's numbers
 *   punch/      one measured fallocate
 *   libfuse/    libfuse's own functions
 *   channel/    the way between the kernel and libfuse, with the thread that serves punches and data
 *   binding/    what Python sees, and the functions of libfuse that are replaced
 *
 * The header of each says who owns what passes through it, and who closes it when.
 *
 * Nothing here is linked to libfuse or needs it before a session is mounted, so a ledger works without it.
 */
#include "binding.h"

static struct PyModuleDef module_definition = {
    PyModuleDef_HEAD_INIT, .m_name = "_native", .m_size = -1,
    .m_doc = "The ledger's numbers, and what pyfuse3 leaves out of a FUSE session.",
};

PyMODINIT_FUNC PyInit__native(void) {
    PyMethodDef *const parts[] = {request_methods, operation_methods, interposed_methods, channel_methods};
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
