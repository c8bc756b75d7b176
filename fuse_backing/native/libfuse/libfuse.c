#include "libfuse.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

struct libfuse libfuse;

static bool find(const char *name, void *function) {
    void *address = dlsym(libfuse.handle, name);
    memcpy(function, &address, sizeof address); /* ISO C has no cast from object to function pointer */
    return address != NULL;
}

bool load_libfuse(void) {
    static const char *const names[] = {"libfuse3.so.3", "libfuse3.so.4"};
    static const int modes[] = {RTLD_NOW | RTLD_NOLOAD, RTLD_NOW}; /* prefer the one that pyfuse3 has loaded */

    if (libfuse.handle != NULL)
        return true;
    for (size_t m = 0; m < 2 && libfuse.handle == NULL; m++)
        for (size_t n = 0; n < 2 && libfuse.handle == NULL; n++)
            libfuse.handle = dlopen(names[n], modes[m]);
    if (libfuse.handle == NULL) {
        fprintf(stderr, "fuse_backing: cannot load libfuse 3: %s\n", dlerror());
        return false;
    }
    find("fuse_session_new_versioned", &libfuse.session_new_versioned);
    find("fuse_session_custom_io", &libfuse.session_custom_io);
    find("fuse_session_custom_io_317", &libfuse.session_custom_io_317);
    if (find("fuse_session_new", &libfuse.session_new) && find("fuse_session_destroy", &libfuse.session_destroy) &&
        find("fuse_session_mount", &libfuse.session_mount) && find("fuse_session_unmount", &libfuse.session_unmount) &&
        find("fuse_session_fd", &libfuse.session_fd) &&
        find("fuse_session_receive_buf", &libfuse.session_receive_buf) && find("fuse_reply_err", &libfuse.reply_err) &&
        find("fuse_reply_lseek", &libfuse.reply_lseek) && find("fuse_reply_statfs", &libfuse.reply_statfs))
        return true;
    fprintf(stderr, "fuse_backing: libfuse lacks a function: %s\n", dlerror());
    dlclose(libfuse.handle);
    libfuse.handle = NULL;
    return false;
}
