/* Descriptors of files: opened by name below a directory, or by the file's handle again. */
#include "names_state.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define MOST_MOVES 8 /* times that an entry which may have been moved meanwhile is opened again */

union whole_handle {
    struct file_handle head;
    char room[sizeof(struct file_handle) + LARGEST_HANDLE];
};

void names_proc_path(char path[32], int fd) {
    snprintf(path, 32, "/proc/self/fd/%d", fd);
}

bool names_is_name(const char *name) {
    return *name != '\0' && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && strchr(name, '/') == NULL;
}

/* A mountpoint is EXDEV each time. An entry that the host moves out of the directory meanwhile is EXDEV as well
 * (fs/namei.c, complete_walk). */
static int open_beneath(int directory, const char *name, int flags) {
    struct open_how how = {.flags = (uint64_t)(flags | O_CLOEXEC),
                           .resolve = RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH};
    long fd = -1;

    for (unsigned moves = 0; moves <= MOST_MOVES; moves++) {
        fd = syscall(SYS_openat2, directory, name, &how, sizeof how);
        if (fd >= 0 || errno != EXDEV)
            break;
    }
    return (int)fd;
}

bool names_openat2_works(int directory) {
    int fd = open_beneath(directory, ".", O_PATH | O_DIRECTORY);

    if (fd < 0)
        return errno != ENOSYS && errno != EPERM;
    close(fd);
    return true;
}

int names_open_entry(struct names *names, int directory, const char *name) {
    struct stat status;
    int fd;

    if (!names_is_name(name)) {
        errno = EINVAL;
        return -1;
    }
    if (names->has_openat2)
        return open_beneath(directory, name, O_PATH | O_NOFOLLOW);
    fd = openat(directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0 && (fstat(fd, &status) != 0 || status.st_dev != names->device)) {
        close(fd);
        errno = EXDEV;
        return -1;
    }
    return fd;
}

static int handle_of(int fd, uint8_t *kind, uint8_t *size, unsigned char *content) {
    union whole_handle handle = {.head = {.handle_bytes = LARGEST_HANDLE}};
    int mount;

    if (name_to_handle_at(fd, "", &handle.head, &mount, AT_EMPTY_PATH) != 0)
        return errno;
    *kind = (uint8_t)handle.head.handle_type;
    *size = (uint8_t)handle.head.handle_bytes;
    memcpy(content, handle.head.f_handle, handle.head.handle_bytes);
    return 0;
}

static int open_handle(int mount, uint8_t kind, uint8_t size, const unsigned char *content, int flags) {
    union whole_handle handle = {.head = {.handle_bytes = size, .handle_type = kind}};

    memcpy(handle.head.f_handle, content, size);
    return open_by_handle_at(mount, &handle.head, flags | O_CLOEXEC);
}

/* By the handle is the shorter way, but a file without a name has none that is valid. */
int names_reopen(struct names *names, const struct name_node *node, int flags) {
    char path[32];
    int fd = -1;

    if (node->handle_size > 0)
        fd = open_handle(names->directory, node->handle_kind, node->handle_size, node->handle, flags);
    if (fd >= 0 || (node->handle_size > 0 && errno != ESTALE))
        return fd;
    names_proc_path(path, node->fd);
    return open(path, flags | O_CLOEXEC);
}

bool names_handles_work(int directory) {
    unsigned char content[LARGEST_HANDLE];
    uint8_t kind, size;
    int fd;

    if (handle_of(directory, &kind, &size, content) != 0)
        return false;
    fd = open_handle(directory, kind, size, content, O_PATH);
    if (fd < 0)
        return false;
    close(fd);
    return true;
}

int names_identify(struct names *names, int fd, struct file_identity *identity) {
    identity->handle_kind = identity->handle_size = 0;
    if (fstat(fd, &identity->status) != 0)
        return errno;
    return names->has_handles ? handle_of(fd, &identity->handle_kind, &identity->handle_size, identity->handle) : 0;
}

void names_uncache(struct names *names, struct name_node *node) {
    if (!node->cached)
        return;
    *(node->older != NULL ? &node->older->newer : &names->oldest) = node->newer;
    *(node->newer != NULL ? &node->newer->older : &names->newest) = node->older;
    node->older = node->newer = NULL;
    node->cached = false;
    names->nr_cached--;
}

/* Close the descriptors that were used first, but this number. */
static void close_oldest(struct names *names, unsigned kept) {
    while (names->nr_cached > kept) {
        struct name_node *node = names->oldest;

        names_uncache(names, node);
        close(node->fd);
        node->fd = -1;
    }
}

void names_cache(struct names *names, struct name_node *node) {
    if (node->pins > 0 || node->fd < 0 || node->cached)
        return;
    node->older = names->newest;
    node->newer = NULL;
    *(names->newest != NULL ? &names->newest->newer : &names->oldest) = node;
    names->newest = node;
    node->cached = true;
    names->nr_cached++;
    close_oldest(names, names->most_descriptors);
}

/* Close descriptors that can be opened again if too many are open; with the lock held. */
static bool made_room(struct names *names, int error) {
    if ((error != EMFILE && error != ENFILE) || names->nr_cached == 0)
        return false;
    close_oldest(names, 0);
    return true;
}

int names_pin(struct names *names, struct name_node *node) {
    if (node->fd < 0) {
        if (node->handle_size == 0)
            return ESTALE;
        do
            node->fd = open_handle(names->directory, node->handle_kind, node->handle_size, node->handle,
                                   O_PATH);
        while (node->fd < 0 && made_room(names, errno));
        if (node->fd < 0)
            return errno;
    }
    names_uncache(names, node);
    node->pins++;
    return 0;
}

struct name_node *names_take(struct names *names, uint64_t number) {
    struct name_node *node;
    int error = ESTALE;

    pthread_mutex_lock(&names->lock);
    node = names_known(names, number);
    if (node != NULL)
        error = names_pin(names, node);
    pthread_mutex_unlock(&names->lock);
    errno = error;
    return error == 0 ? node : NULL;
}

void names_put(struct names *names, struct name_node *node) {
    pthread_mutex_lock(&names->lock);
    node->pins--;
    names_cache(names, node);
    pthread_mutex_unlock(&names->lock);
}

uint64_t names_mount_of(int directory) {
    struct statx found;

    if (statx(directory, "", AT_EMPTY_PATH, STATX_MNT_ID, &found) != 0 || !(found.stx_mask & STATX_MNT_ID))
        return 0;
    return found.stx_mnt_id;
}

static struct timespec time_of(const struct statx_timestamp *time) {
    return (struct timespec){time->tv_sec, time->tv_nsec};
}

static struct stat status_of(const struct statx *found) {
    return (struct stat){
        .st_dev = makedev(found->stx_dev_major, found->stx_dev_minor),
        .st_ino = found->stx_ino,
        .st_mode = found->stx_mode,
        .st_nlink = found->stx_nlink,
        .st_uid = found->stx_uid,
        .st_gid = found->stx_gid,
        .st_rdev = makedev(found->stx_rdev_major, found->stx_rdev_minor),
        .st_size = (off_t)found->stx_size,
        .st_blksize = (blksize_t)found->stx_blksize,
        .st_blocks = (blkcnt_t)found->stx_blocks,
        .st_atim = time_of(&found->stx_atime),
        .st_mtim = time_of(&found->stx_mtime),
        .st_ctim = time_of(&found->stx_ctime),
    };
}

/* Find an entry whose file is known and open, by one system call. Its number on the host is no other file's then, and one
 * name without links leads to no other directory. False leaves it to the other way; else *error is 0 or ENOENT. */
static bool found_open(struct names *names, struct name_node *parent, const char *name, struct name_node **node,
                       struct stat *status, int *error) {
    struct file_identity identity;
    struct statx found;

    if (names->mount == 0 || !names_is_name(name))
        return false;
    *error = ENOENT;
    if (statx(parent->fd, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_BASIC_STATS | STATX_MNT_ID, &found) != 0)
        return errno == ENOENT;
    if (found.stx_mnt_id != names->mount)
        return false;
    *status = identity.status = status_of(&found);
    *error = 0;
    pthread_mutex_lock(&names->lock);
    *node = names_same_open(names, &identity);
    if (*node != NULL)
        names_pin(names, *node);
    pthread_mutex_unlock(&names->lock);
    return *node != NULL;
}

static int open_with_room(struct names *names, int directory, const char *name) {
    int fd = names_open_entry(names, directory, name);

    if (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
        bool made;

        pthread_mutex_lock(&names->lock);
        made = made_room(names, EMFILE);
        pthread_mutex_unlock(&names->lock);
        errno = EMFILE;
        return made ? names_open_entry(names, directory, name) : -1;
    }
    return fd;
}

int names_find_entry(struct names *names, struct name_node *parent, const char *name, bool create,
                     struct name_node **node, struct stat *status) {
    struct file_identity identity;
    int fd, error;

    *node = NULL;
    if (found_open(names, parent, name, node, status, &error))
        return error;
    fd = open_with_room(names, parent->fd, name);
    if (fd < 0)
        return errno;
    error = names_identify(names, fd, &identity);
    if (error == 0) {
        pthread_mutex_lock(&names->lock);
        *node = names_same(names, &identity);
        if (*node == NULL && create) {
            *node = names_added(names, &identity, fd);
            error = *node == NULL ? ENOMEM : 0;
            fd = *node == NULL ? fd : -1;
        } else if (*node != NULL && (*node)->fd < 0) {
            (*node)->fd = fd;
            fd = -1;
        }
        if (*node != NULL)
            names_pin(names, *node);
        pthread_mutex_unlock(&names->lock);
        *status = identity.status;
    }
    if (fd >= 0)
        close(fd);
    return error;
}
