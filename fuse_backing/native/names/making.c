/* New entries, owned by the caller: MKNOD, MKDIR, SYMLINK, LINK and CREATE.
 *
 * A thread makes them with the caller's group and umask, unless the directory decides otherwise. It does with the bit
 * setgid, and with a default access control list, which replaces the umask. */
#include "names_state.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/fsuid.h>
#include <unistd.h>

struct new_entry {
    struct name_node *parent;
    const char *name;
    mode_t mode, umask;
    dev_t device;
    const char *target; /* of a symbolic link */
    bool opens;
    int flags, fd;      /* of a regular file that is opened as well */
};

static __thread enum { MASK_UNKNOWN, MASK_OWN, MASK_OF_PROCESS } mask_kind;

/* A thread's umask is that of the process until it asks for one of its own: unshare(2). A sandbox may refuse that. */
static mode_t begin_umask(struct names *names, mode_t mask) {
    if (mask_kind == MASK_UNKNOWN)
        mask_kind = unshare(CLONE_FS) == 0 ? MASK_OWN : MASK_OF_PROCESS;
    if (mask_kind == MASK_OF_PROCESS)
        pthread_mutex_lock(&names->making);
    return umask(mask);
}

static void end_umask(struct names *names, mode_t before) {
    umask(before);
    if (mask_kind == MASK_OF_PROCESS)
        pthread_mutex_unlock(&names->making);
}

static int make(void *what) {
    struct new_entry *new = what;
    int at = new->parent->fd;

    if (new->target != NULL)
        return symlinkat(new->target, at, new->name);
    if (S_ISDIR(new->mode))
        return mkdirat(at, new->name, new->mode & 07777);
    if (!new->opens)
        return mknodat(at, new->name, new->mode, new->device);
    new->fd = openat(at, new->name, names_host_flags((uint32_t)new->flags) | O_CREAT | O_EXCL | O_NOFOLLOW,
                     new->mode & 07777);
    return new->fd < 0 ? -1 : 0;
}

int names_make_as_caller(struct names_request *request, mode_t mask, int (*function)(void *what), void *what) {
    mode_t before = begin_umask(request->names, mask);
    bool other = request->header->gid != getegid() && geteuid() == 0;
    int group = other ? setfsgid(request->header->gid) : 0;
    int error = function(what) == 0 ? 0 : errno;

    if (other)
        setfsgid((gid_t)group);
    end_umask(request->names, before);
    return error;
}

int names_own(const struct names_request *request, int fd, struct stat *status) {
    mode_t mode = status->st_mode & 07777;
    char path[32];

    if (geteuid() != 0 || request->header->uid == status->st_uid)
        return 0;
    if (fchownat(fd, "", request->header->uid, (gid_t)-1, AT_EMPTY_PATH) != 0)
        return errno;
    names_proc_path(path, fd);
    if ((mode & (S_ISUID | S_ISGID)) != 0 && !S_ISLNK(status->st_mode) && chmod(path, mode) != 0)
        return errno;
    return fstat(fd, status) == 0 ? 0 : errno;
}

/* Make an entry without opening it, and answer. Only what was made just now gets a new owner, not what somebody has put
 * in its place on the host. */
static enum names_outcome make_and_answer(struct names_request *request, struct new_entry *new) {
    struct names *names = request->names;
    struct name_node *node;
    struct stat status;
    int error = 0;

    new->parent = names_take(names, request->header->nodeid);
    if (new->parent == NULL)
        return names_answer_error(request, errno);
    if (new->name == NULL || !names_is_name(new->name))
        error = EINVAL;
    if (error == 0)
        error = names_make_as_caller(request, new->umask, make, new);
    if (error == 0)
        error = names_look_up(names, new->parent, new->name, true, &node, &status);
    names_put(names, new->parent);
    if (error != 0)
        return names_answer_error(request, error);
    if ((new->mode & S_IFMT) == node->kind && (status.st_nlink == 1 || node->kind == S_IFDIR))
        error = names_own(request, node->fd, &status);
    if (error == 0)
        names_answer_entry(request, node, &status);
    names_put(names, node);
    if (error == 0)
        return NAMES_ANSWERED;
    names_subtract_lookups(names, node->number, 1);
    return names_answer_error(request, error);
}

enum names_outcome names_serve_mknod(struct names_request *request) {
    const struct protocol_mknod_in *in = (const void *)request->body;
    size_t offset = sizeof *in;
    struct new_entry new = {.name = names_string(request, &offset)};

    if (new.name == NULL)
        return names_answer_error(request, EINVAL);
    new.mode = in->mode;
    new.umask = in->umask & 0777;
    new.device = in->rdev;
    if ((new.mode & S_IFMT) == 0)
        new.mode |= S_IFREG;
    return make_and_answer(request, &new);
}

enum names_outcome names_serve_mkdir(struct names_request *request) {
    const struct protocol_mkdir_in *in = (const void *)request->body;
    size_t offset = sizeof *in;
    struct new_entry new = {.name = names_string(request, &offset)};

    if (new.name == NULL)
        return names_answer_error(request, EINVAL);
    new.mode = S_IFDIR | (in->mode & 07777);
    new.umask = in->umask & 0777;
    return make_and_answer(request, &new);
}

enum names_outcome names_serve_symlink(struct names_request *request) {
    size_t offset = 0;
    struct new_entry new = {.name = names_string(request, &offset), .mode = S_IFLNK};

    new.target = names_string(request, &offset);
    if (new.target == NULL)
        return names_answer_error(request, EINVAL);
    return make_and_answer(request, &new);
}

/* Without CAP_DAC_READ_SEARCH, and for a file without a name, the descriptor cannot be linked itself: linkat(2). */
static int link_file(int fd, int directory, const char *name) {
    char path[32];

    if (linkat(fd, "", directory, name, AT_EMPTY_PATH) == 0)
        return 0;
    if (errno != ENOENT)
        return errno;
    names_proc_path(path, fd);
    return linkat(AT_FDCWD, path, directory, name, AT_SYMLINK_FOLLOW) == 0 ? 0 : errno;
}

enum names_outcome names_serve_link(struct names_request *request) {
    const struct protocol_link_in *in = (const void *)request->body;
    size_t offset = sizeof *in;
    const char *name = names_string(request, &offset);
    struct names *names = request->names;
    struct name_node *parent, *source, *node;
    struct stat status;
    int error;

    if (name == NULL || !names_is_name(name))
        return names_answer_error(request, EINVAL);
    parent = names_take(names, request->header->nodeid);
    if (parent == NULL)
        return names_answer_error(request, errno);
    source = names_take(names, in->oldnodeid);
    error = source == NULL ? errno : link_file(source->fd, parent->fd, name);
    if (source != NULL)
        names_put(names, source);
    if (error == 0)
        error = names_look_up(names, parent, name, true, &node, &status);
    names_put(names, parent);
    if (error != 0)
        return names_answer_error(request, error);
    names_answer_entry(request, node, &status);
    names_put(names, node);
    return NAMES_ANSWERED;
}

/* Own, look up and open a new file, whose descriptor is closed on failure. */
static int opened(struct names_request *request, struct new_entry *new) {
    char *content = request->answer->content;
    struct name_node *node;
    struct stat status;
    int error = fstat(new->fd, &status) == 0 ? names_own(request, new->fd, &status) : errno;

    if (error == 0)
        error = names_look_up(request->names, new->parent, new->name, true, &node, &status);
    if (error != 0) {
        close(new->fd);
        return error;
    }
    names_answer_entry(request, node, &status);
    error = names_opened(request->names, node, new->fd, (void *)(content + PROTOCOL_ENTRY_OUT_SIZE));
    names_put(request->names, node);
    if (error != 0)
        names_subtract_lookups(request->names, node->number, 1);
    request->answer->size = error != 0 ? 0 : PROTOCOL_ENTRY_OUT_SIZE + sizeof(struct protocol_open_out);
    return error;
}

/* A file that has appeared on the host since the kernel looked is no new file: after ESTALE, the kernel looks it up
 * again and opens it (fs/namei.c, do_filp_open). */
enum names_outcome names_serve_create(struct names_request *request) {
    const struct protocol_create_in *in = (const void *)request->body;
    size_t offset = sizeof *in;
    struct new_entry new = {.name = names_string(request, &offset)};
    int error;

    if (new.name == NULL || !names_is_name(new.name))
        return names_answer_error(request, EINVAL);
    new.parent = names_take(request->names, request->header->nodeid);
    if (new.parent == NULL)
        return names_answer_error(request, errno);
    new.mode = S_IFREG | (in->mode & 07777);
    new.umask = in->umask & 0777;
    new.flags = (int)in->flags;
    new.opens = true;
    error = names_make_as_caller(request, new.umask, make, &new);
    if (error == EEXIST && !(in->flags & O_EXCL))
        error = ESTALE;
    if (error == 0) {
        error = opened(request, &new);
        if (error != 0) /* a caller that was refused must not find the file */
            unlinkat(new.parent->fd, new.name, 0);
    }
    names_put(request->names, new.parent);
    return names_answer_error(request, error);
}
