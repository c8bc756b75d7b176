/* What pyfuse3 leaves out of a FUSE session: fallocate, lseek, and a statfs that knows its inode.
 *
 * pyfuse3 hands libfuse a table of operations that has no fallocate, so the kernel answers EOPNOTSUPP to
 * every hole punch on its mounts. This module defines fuse_session_new itself. Loaded with RTLD_GLOBAL
 * before pyfuse3, it is found first when pyfuse3's reference is bound (ld.so(8), symbol lookup scope); it
 * completes the table and calls the real function, taken from libfuse with dlsym(3). Three more functions
 * are replaced in the same way. The parts are listed in binding.h.
 */
#include "binding.h"

static struct PyModuleDef module_definition = {
    PyModuleDef_HEAD_INIT, .m_name = "_libfuse", .m_size = -1,
    .m_doc = "What pyfuse3 leaves out of a FUSE session: fallocate, lseek, statfs per inode.",
};

PyMODINIT_FUNC PyInit__libfuse(void) {
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
    if (requests_ready(module) < 0) {
        Py_DECREF(module);
        return NULL;
    }
    return module;
}
