/* LOOKUP, FORGET, GETATTR and READLINK, and the answers that other requests have in common with them. */
#include "names_state.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NANO 1000000000

/* The kernel may use attributes until the next tick of its clock at least. One system call on a path asks for the
 * attributes of the same file several times: for permissions and at its end. The kernel has just looked the file up then,
 * with its attributes, so that they are new. */
#define LEAST_VALID 1

/* The bits suid and sgid of a file may change with a write, after which the kernel would keep the former mode. */
static uint64_t attributes_valid(struct names *names, const struct stat *status) {
    uint64_t valid = atomic_load(&names->valid);
    bool privileged = S_ISREG(status->st_mode) && (status->st_mode & (S_ISUID | S_ISGID)) != 0;

    return valid < LEAST_VALID || privileged ? LEAST_VALID : valid;
}

enum names_outcome names_answer_error(struct names_request *request, int error) {
    request->answer->error = error;
    return NAMES_ANSWERED;
}

static struct protocol_attr attributes_of(uint64_t number, const struct stat *status) {
    return (struct protocol_attr){
        .ino = number,
        .size = (uint64_t)status->st_size,
        .blocks = (uint64_t)status->st_blocks,
        .atime = (uint64_t)status->st_atim.tv_sec,
        .mtime = (uint64_t)status->st_mtim.tv_sec,
        .ctime = (uint64_t)status->st_ctim.tv_sec,
        .atimensec = (uint32_t)status->st_atim.tv_nsec,
        .mtimensec = (uint32_t)status->st_mtim.tv_nsec,
        .ctimensec = (uint32_t)status->st_ctim.tv_nsec,
        .mode = status->st_mode,
        .nlink = (uint32_t)status->st_nlink,
        .uid = status->st_uid,
        .gid = status->st_gid,
        .rdev = (uint32_t)status->st_rdev,
        .blksize = (uint32_t)status->st_blksize,
    };
}

void names_fill_entry(struct names *names, struct protocol_entry_out *out, const struct name_node *node,
                      const struct stat *status) {
    uint64_t valid = atomic_load(&names->valid), attributes = attributes_valid(names, status);

    *out = (struct protocol_entry_out){
        .nodeid = node->number,
        .entry_valid = valid / NANO,
        .attr_valid = attributes / NANO,
        .entry_valid_nsec = (uint32_t)(valid % NANO),
        .attr_valid_nsec = (uint32_t)(attributes % NANO),
        .attr = attributes_of(node->number, status),
    };
}

enum names_outcome names_answer_entry(struct names_request *request, const struct name_node *node,
                                      const struct stat *status) {
    names_fill_entry(request->names, (void *)request->answer->content, node, status);
    request->answer->size = sizeof(struct protocol_entry_out);
    return NAMES_ANSWERED;
}

enum names_outcome names_answer_attributes(struct names_request *request, const struct name_node *node) {
    struct protocol_attr_out *out = (void *)request->answer->content;
    struct stat status;
    uint64_t valid;

    if (fstat(node->fd, &status) != 0)
        return names_answer_error(request, errno);
    valid = attributes_valid(request->names, &status);
    *out = (struct protocol_attr_out){
        .attr_valid = valid / NANO,
        .attr_valid_nsec = (uint32_t)(valid % NANO),
        .attr = attributes_of(node->number, &status),
    };
    request->answer->size = sizeof *out;
    return NAMES_ANSWERED;
}

const char *names_string(const struct names_request *request, size_t *offset) {
    const char *string = request->body + *offset;
    const char *end = *offset < request->size ? memchr(string, '\0', request->size - *offset) : NULL;

    if (end == NULL)
        return NULL;
    *offset += (size_t)(end - string) + 1;
    return string;
}

/* Note a mountpoint in the tree. */
static void note_mount(struct names *names, struct name_node *parent, const char *name) {
    char *path, *whole;
    size_t size;

    pthread_mutex_lock(&names->lock);
    path = names_path_of(parent);
    pthread_mutex_unlock(&names->lock);
    if (path == NULL)
        return;
    size = strlen(path) + strlen(name) + 2;
    whole = malloc(size);
    if (whole != NULL && names->door.channel != NULL) {
        snprintf(whole, size, "%s%s%s", path, *path == '\0' ? "" : "/", name);
        names->door.note(names->door.channel, NAMES_NOTE_MOUNTED, -1, whole);
    }
    free(whole);
    free(path);
}

int names_look_up(struct names *names, struct name_node *parent, const char *name, bool used,
                  struct name_node **node, struct stat *status) {
    int error = names_find_entry(names, parent, name, true, node, status), changed = 0;
    uint64_t number;

    if (error == EXDEV)
        note_mount(names, parent, name);
    if (error != 0)
        return error;
    pthread_mutex_lock(&names->lock);
    (*node)->lookups++;
    if (used || status->st_nlink == 1 || (*node)->kind == S_IFDIR || (*node)->links == NULL)
        changed = names_link(names, *node, parent, name, (unsigned)status->st_nlink);
    if (changed > 0)
        names_moved(names, *node);
    number = (*node)->number;
    pthread_mutex_unlock(&names->lock);
    if (changed >= 0)
        return 0;
    names_put(names, *node);
    names_subtract_lookups(names, number, 1);
    return ENOMEM;
}

enum names_outcome names_serve_lookup(struct names_request *request) {
    struct name_node *parent = names_take(request->names, request->header->nodeid), *node;
    int error = errno;
    struct stat status;
    size_t offset = 0;
    const char *name = names_string(request, &offset);

    if (parent == NULL)
        return names_answer_error(request, error);
    error = name == NULL ? EINVAL : names_look_up(request->names, parent, name, true, &node, &status);
    names_put(request->names, parent);
    if (error != 0)
        return names_answer_error(request, error);
    names_answer_entry(request, node, &status);
    names_put(request->names, node);
    return NAMES_ANSWERED;
}

/* Close the descriptor of a forgotten file; one of a removed file that has space goes to Python, which measures what the
 * host frees. */
static void close_forgotten(struct names *names, int fd, bool removed, const char *path) {
    struct stat status;

    if (fd < 0)
        return;
    if (removed && path != NULL && names->door.channel != NULL && fstat(fd, &status) == 0 && status.st_nlink == 0 &&
        status.st_blocks > 0)
        names->door.note(names->door.channel, NAMES_NOTE_RELEASED, fd, path);
    else
        close(fd);
}

void names_subtract_lookups(struct names *names, uint64_t number, uint64_t count) {
    struct name_node *node;
    bool removed;
    char *path;
    int fd;

    pthread_mutex_lock(&names->lock);
    node = names_known(names, number);
    if (node == NULL || node == names->root || node->lookups > count) {
        if (node != NULL && node != names->root)
            node->lookups -= count;
        pthread_mutex_unlock(&names->lock);
        return;
    }
    removed = node->pins > 0 && node->kind == S_IFREG;
    path = removed ? names_path_of(node) : NULL;
    fd = names_taken_out(names, node);
    names_free_if_unused(names, node);
    pthread_mutex_unlock(&names->lock);
    close_forgotten(names, fd, removed, path);
    free(path);
}

enum names_outcome names_serve_forget(struct names_request *request) {
    const struct protocol_batch_forget_in *in = (const void *)request->body;
    const struct protocol_forget_one *each = (const void *)(in + 1);

    if (request->header->opcode == PROTOCOL_FORGET && request->size >= sizeof(uint64_t))
        names_subtract_lookups(request->names, request->header->nodeid,
                               *(const uint64_t *)(const void *)request->body);
    if (request->header->opcode == PROTOCOL_BATCH_FORGET && request->size >= sizeof *in)
        for (uint32_t i = 0; i < in->count && (size_t)(i + 1) * sizeof *each + sizeof *in <= request->size; i++)
            names_subtract_lookups(request->names, each[i].nodeid, each[i].nlookup);
    return NAMES_SILENT;
}

enum names_outcome names_serve_getattr(struct names_request *request) {
    struct name_node *node = names_take(request->names, request->header->nodeid);

    if (node == NULL)
        return names_answer_error(request, errno);
    names_answer_attributes(request, node);
    names_put(request->names, node);
    return NAMES_ANSWERED;
}

enum names_outcome names_serve_readlink(struct names_request *request) {
    struct name_node *node = names_take(request->names, request->header->nodeid);
    ssize_t size;

    if (node == NULL)
        return names_answer_error(request, errno);
    size = readlinkat(node->fd, "", request->answer->content, PATH_MAX);
    request->answer->error = size < 0 ? errno : 0;
    request->answer->size = size < 0 ? 0 : (size_t)size;
    names_put(request->names, node);
    return NAMES_ANSWERED;
}
