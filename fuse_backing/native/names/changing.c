/* SETATTR and extended attributes. */
#include "names_state.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#define ATTRIBUTES                                                                                             \
    (PROTOCOL_SETATTR_MODE | PROTOCOL_SETATTR_UID | PROTOCOL_SETATTR_GID | PROTOCOL_SETATTR_SIZE |             \
     PROTOCOL_SETATTR_ATIME | PROTOCOL_SETATTR_MTIME | PROTOCOL_SETATTR_CTIME)

static int set_mode(int fd, mode_t mode) {
    char path[32];

    names_proc_path(path, fd);
    return chmod(path, mode & 07777) == 0 ? 0 : errno;
}

/* Clear suid, and sgid of an executable, as the kernel does before a write and at a chown(2). */
static int clear_privileges(int fd) {
    struct stat status;
    mode_t kept;

    if (fstat(fd, &status) != 0)
        return errno;
    if (S_ISDIR(status.st_mode) || S_ISLNK(status.st_mode))
        return 0;
    kept = status.st_mode & ~(mode_t)(S_ISUID | (status.st_mode & S_IXGRP ? S_ISGID : 0));
    return kept == status.st_mode ? 0 : set_mode(fd, kept);
}

/* AT_EMPTY_PATH came with Linux 5.8. */
static int set_times(int fd, const struct protocol_setattr_in *in) {
    struct timespec times[2] = {{0, UTIME_OMIT}, {0, UTIME_OMIT}};
    char path[32];

    if (in->valid & PROTOCOL_SETATTR_ATIME_NOW)
        times[0].tv_nsec = UTIME_NOW;
    else if (in->valid & PROTOCOL_SETATTR_ATIME)
        times[0] = (struct timespec){(time_t)in->atime, in->atimensec};
    if (in->valid & PROTOCOL_SETATTR_MTIME_NOW)
        times[1].tv_nsec = UTIME_NOW;
    else if (in->valid & PROTOCOL_SETATTR_MTIME)
        times[1] = (struct timespec){(time_t)in->mtime, in->mtimensec};
    if (utimensat(fd, "", times, AT_EMPTY_PATH) == 0)
        return 0;
    if (errno != EINVAL)
        return errno;
    names_proc_path(path, fd);
    return utimensat(AT_FDCWD, path, times, 0) == 0 ? 0 : errno;
}

/* A request without any field is one to clear the bits suid and sgid, before a write or at a chown(2) that keeps the
 * owner: with FUSE_HANDLE_KILLPRIV_V2 the kernel leaves that to the server (fs/fuse/dir.c, fuse_setattr). */
static int changed(const struct name_node *node, const struct protocol_setattr_in *in) {
    int error = 0;

    if (in->valid & (PROTOCOL_SETATTR_UID | PROTOCOL_SETATTR_GID)) {
        uid_t uid = in->valid & PROTOCOL_SETATTR_UID ? in->uid : (uid_t)-1;
        gid_t gid = in->valid & PROTOCOL_SETATTR_GID ? in->gid : (gid_t)-1;

        error = fchownat(node->fd, "", uid, gid, AT_EMPTY_PATH) == 0 ? 0 : errno;
    }
    if (error == 0 && (in->valid & PROTOCOL_SETATTR_MODE))
        error = node->kind == S_IFLNK ? EOPNOTSUPP : set_mode(node->fd, in->mode);
    if (error == 0 && (in->valid & (PROTOCOL_SETATTR_ATIME | PROTOCOL_SETATTR_MTIME)))
        error = set_times(node->fd, in);
    if (error == 0 && !(in->valid & ATTRIBUTES))
        error = clear_privileges(node->fd);
    return error;
}

enum names_outcome names_serve_setattr(struct names_request *request) {
    const struct protocol_setattr_in *in = (const void *)request->body;
    struct name_node *node;
    int error;

    if (request->size < sizeof *in)
        return names_answer_error(request, EINVAL);
    if ((in->valid & PROTOCOL_SETATTR_SIZE) && !request->resumed)
        return NAMES_LEFT; /* Python truncates, since the ledger has what that frees */
    node = names_take(request->names, request->header->nodeid);
    if (node == NULL)
        return names_answer_error(request, errno);
    error = changed(node, in);
    if (error == 0)
        names_answer_attributes(request, node);
    else
        names_answer_error(request, error);
    names_put(request->names, node);
    return NAMES_ANSWERED;
}

enum names_outcome names_serve_setxattr(struct names_request *request) {
    const struct protocol_setxattr_in *in = (const void *)request->body;
    size_t offset = sizeof *in;
    const char *name = names_string(request, &offset);
    struct name_node *node;
    char path[32];

    if (name == NULL || request->size - offset < in->size)
        return names_answer_error(request, EINVAL);
    node = names_take(request->names, request->header->nodeid);
    if (node == NULL)
        return names_answer_error(request, errno);
    names_proc_path(path, node->fd);
    request->answer->error = setxattr(path, name, request->body + offset, in->size, (int)in->flags) == 0 ? 0 : errno;
    names_put(request->names, node);
    return NAMES_ANSWERED;
}

/* GETXATTR has a name, LISTXATTR has none. A request without room asks for the size. */
enum names_outcome names_serve_getxattr(struct names_request *request) {
    const struct protocol_getxattr_in *in = (const void *)request->body;
    struct names_answer *answer = request->answer;
    struct protocol_getxattr_out *out = (void *)answer->content;
    bool list = request->header->opcode == PROTOCOL_LISTXATTR;
    size_t offset = sizeof *in, room;
    const char *name = list ? "" : names_string(request, &offset);
    struct name_node *node;
    ssize_t size;
    char path[32];

    if (name == NULL || request->size < sizeof *in)
        return names_answer_error(request, EINVAL);
    room = in->size < answer->capacity ? in->size : answer->capacity;
    node = names_take(request->names, request->header->nodeid);
    if (node == NULL)
        return names_answer_error(request, errno);
    names_proc_path(path, node->fd);
    size = list ? listxattr(path, answer->content, room) : getxattr(path, name, answer->content, room);
    answer->error = size < 0 ? errno : 0;
    names_put(request->names, node);
    if (size < 0)
        return NAMES_ANSWERED;
    answer->size = (size_t)size;
    if (room == 0) {
        *out = (struct protocol_getxattr_out){(uint32_t)size, 0};
        answer->size = sizeof *out;
    }
    return NAMES_ANSWERED;
}

enum names_outcome names_serve_removexattr(struct names_request *request) {
    size_t offset = 0;
    const char *name = names_string(request, &offset);
    struct name_node *node;
    char path[32];

    if (name == NULL)
        return names_answer_error(request, EINVAL);
    node = names_take(request->names, request->header->nodeid);
    if (node == NULL)
        return names_answer_error(request, errno);
    names_proc_path(path, node->fd);
    request->answer->error = removexattr(path, name) == 0 ? 0 : errno;
    names_put(request->names, node);
    return NAMES_ANSWERED;
}
