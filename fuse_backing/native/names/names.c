/* The start and end of the names, and which function serves a request. */
#include "names_state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool root_ready(struct names *names) {
    struct file_identity identity;
    int fd = openat(names->directory, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return false;
    names->has_handles = names->has_handles && names_handles_work(names->directory);
    errno = names_identify(names, fd, &identity);
    if (errno == 0) {
        names->device = identity.status.st_dev;
        names->has_openat2 = names_openat2_works(fd);
        names->mount = names_mount_of(fd);
        names->root = names_added(names, &identity, fd);
        if (names->root != NULL) {
            names->root->lookups = names->root->pins = 1;
            return true;
        }
        errno = ENOMEM;
    }
    close(fd);
    return false;
}

struct names *names_new(int directory, bool use_handles, unsigned most_descriptors) {
    struct names *names = calloc(1, sizeof *names);

    if (names == NULL)
        return NULL;
    names->directory = directory;
    names->has_handles = use_handles;
    names->most_descriptors = most_descriptors;
    pthread_mutex_init(&names->lock, NULL);
    pthread_mutex_init(&names->making, NULL);
    names->mountinfo = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
    atomic_store(&names->has_mounts, true);
    if (!root_ready(names)) {
        int error = errno;

        names_free(names);
        errno = error;
        return NULL;
    }
    return names;
}

void names_free(struct names *names) {
    names->door = (struct names_door){0};
    names_close_handles(names);
    names_close_listings(names);
    for (size_t i = 0; i < names->nr_places; i++) /* this frees the nodes that the kernel has forgotten, and no other */
        for (struct name_node *node = names->by_number[i]; node != NULL; node = node->next_number)
            names_free_links(names, node, NULL);
    for (size_t i = 0; i < names->nr_places; i++) {
        for (struct name_node *node = names->by_number[i], *next; node != NULL; node = next) {
            next = node->next_number;
            names_forget_opened(names, node);
            if (node->fd >= 0)
                close(node->fd);
            free(node);
        }
    }
    free(names->by_number);
    free(names->by_identity);
    free(names->free_gates);
    free(names->handles);
    if (names->mountinfo >= 0)
        close(names->mountinfo);
    pthread_mutex_destroy(&names->making);
    pthread_mutex_destroy(&names->lock);
    free(names);
}

void names_set_door(struct names *names, const struct names_door *door, struct account *account) {
    pthread_mutex_lock(&names->lock);
    names->door = door == NULL ? (struct names_door){0} : *door;
    names->account = account;
    pthread_mutex_unlock(&names->lock);
}

void names_set_opening(struct names *names, bool passthrough, uint64_t unit) {
    atomic_store(&names->passthrough, passthrough);
    atomic_store(&names->unit, unit);
}

void names_set_times(struct names *names, uint64_t nanoseconds) {
    atomic_store(&names->valid, nanoseconds);
}

/* The server does nothing at these two: the kernel checks permissions, and has nothing to flush. */
static enum names_outcome succeed(struct names_request *request) {
    return names_answer_error(request, 0);
}

typedef enum names_outcome (*serve_function)(struct names_request *request);

static serve_function function_of(uint32_t opcode) {
    static const serve_function functions[] = {
        [PROTOCOL_LOOKUP] = names_serve_lookup,
        [PROTOCOL_FORGET] = names_serve_forget,
        [PROTOCOL_GETATTR] = names_serve_getattr,
        [PROTOCOL_SETATTR] = names_serve_setattr,
        [PROTOCOL_READLINK] = names_serve_readlink,
        [PROTOCOL_SYMLINK] = names_serve_symlink,
        [PROTOCOL_MKNOD] = names_serve_mknod,
        [PROTOCOL_MKDIR] = names_serve_mkdir,
        [PROTOCOL_UNLINK] = names_serve_unlink,
        [PROTOCOL_RMDIR] = names_serve_unlink,
        [PROTOCOL_RENAME] = names_serve_rename,
        [PROTOCOL_LINK] = names_serve_link,
        [PROTOCOL_OPEN] = names_serve_open,
        [PROTOCOL_RELEASE] = names_serve_release,
        [PROTOCOL_SETXATTR] = names_serve_setxattr,
        [PROTOCOL_GETXATTR] = names_serve_getxattr,
        [PROTOCOL_LISTXATTR] = names_serve_getxattr,
        [PROTOCOL_REMOVEXATTR] = names_serve_removexattr,
        [PROTOCOL_FLUSH] = succeed,
        [PROTOCOL_OPENDIR] = names_serve_opendir,
        [PROTOCOL_READDIR] = names_serve_readdir,
        [PROTOCOL_RELEASEDIR] = names_serve_releasedir,
        [PROTOCOL_FSYNCDIR] = names_serve_fsyncdir,
        [PROTOCOL_ACCESS] = succeed,
        [PROTOCOL_CREATE] = names_serve_create,
        [PROTOCOL_BATCH_FORGET] = names_serve_forget,
        [PROTOCOL_READDIRPLUS] = names_serve_readdir,
        [PROTOCOL_RENAME2] = names_serve_rename,
        [PROTOCOL_TMPFILE] = names_serve_tmpfile,
    };

    return opcode < sizeof functions / sizeof *functions ? functions[opcode] : NULL;
}

bool names_serve_opcode(uint32_t opcode) {
    return function_of(opcode) != NULL;
}

static enum names_outcome serve(struct names *names, const void *request, size_t size, struct names_answer *answer,
                                bool resumed) {
    const struct protocol_in_header *header = request;
    struct names_request served = {names, header, (const char *)(header + 1), size - sizeof *header, answer, resumed};
    serve_function function = function_of(header->opcode);

    answer->error = 0;
    answer->size = 0;
    return function == NULL ? NAMES_LEFT : function(&served);
}

enum names_outcome names_serve(struct names *names, const void *request, size_t size, struct names_answer *answer) {
    return serve(names, request, size, answer, false);
}

enum names_outcome names_resume(struct names *names, const void *request, size_t size, struct names_answer *answer) {
    return serve(names, request, size, answer, true);
}

int names_find(struct names *names, uint64_t directory, const char *name, uint64_t *number, struct stat *status) {
    struct name_node *parent = names_take(names, directory), *node;
    int error = errno;

    if (parent == NULL)
        return error;
    error = names_find_entry(names, parent, name, true, &node, status);
    if (error == 0) {
        pthread_mutex_lock(&names->lock);
        names_link(names, node, parent, name, (unsigned)status->st_nlink);
        pthread_mutex_unlock(&names->lock);
        *number = node->number;
        names_put(names, node);
    }
    names_put(names, parent);
    return error;
}

int names_descriptor(struct names *names, uint64_t number) {
    struct name_node *node = names_take(names, number);
    int fd;

    if (node == NULL)
        return -1;
    fd = fcntl(node->fd, F_DUPFD_CLOEXEC, 0);
    names_put(names, node);
    return fd;
}

char *names_path(struct names *names, uint64_t number) {
    struct name_node *node;
    char *path = NULL;

    pthread_mutex_lock(&names->lock);
    node = names_known(names, number);
    errno = ESTALE;
    if (node != NULL)
        path = names_path_of(node);
    pthread_mutex_unlock(&names->lock);
    return path;
}

bool names_has_handles(const struct names *names) {
    return names->has_handles;
}

size_t names_count(struct names *names) {
    size_t count;

    pthread_mutex_lock(&names->lock);
    count = names->count - 1;
    pthread_mutex_unlock(&names->lock);
    return count;
}

size_t names_open_descriptors(struct names *names) {
    unsigned count;

    pthread_mutex_lock(&names->lock);
    count = names->nr_cached;
    pthread_mutex_unlock(&names->lock);
    return count;
}
