/* Other file systems that are mounted in the tree: lists leave them out, since they cannot be looked up. */
#include "names_state.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <linux/stat.h>
#include <unistd.h>

/* Return whether a line of mountinfo has a mountpoint below a path: see proc_pid_mountinfo(5). */
static bool is_below(char *line, const char *path, size_t length) {
    char *rest = line, *mountpoint = NULL;

    for (int field = 0; field < 5; field++)
        mountpoint = strsep(&rest, " ");
    return mountpoint != NULL && strncmp(mountpoint, path, length) == 0 && mountpoint[length] == '/';
}

/* Return whether a mountpoint may be in the tree: true if that is not known, as with a path that mountinfo escapes. */
static bool looked_for_mounts(struct names *names) {
    char place[32], path[PATH_MAX + 1], *line = NULL;
    size_t room = 0;
    ssize_t length;
    bool found = false;
    FILE *file;

    names_proc_path(place, names->directory);
    length = readlink(place, path, sizeof path - 1);
    if (length < 0 || length == sizeof path - 1)
        return true;
    path[length] = '\0';
    if (strpbrk(path, " \t\n\\") != NULL || (file = fopen("/proc/self/mountinfo", "re")) == NULL)
        return true;
    while (!found && getline(&line, &room, file) >= 0)
        found = is_below(line, path, length == 1 ? 0 : (size_t)length);
    free(line);
    fclose(file);
    return found;
}

/* The file reports a change of the mounts once for each open of it: proc_pid_mounts(5). The first look comes before any
 * report, and is why the names begin with `has_mounts`. */
void names_watch_mounts(struct names *names) {
    struct pollfd change = {names->mountinfo, POLLPRI, 0};

    if (names->mountinfo < 0)
        return;
    if (poll(&change, 1, 0) > 0 || !atomic_exchange(&names->looked, true))
        atomic_store(&names->has_mounts, looked_for_mounts(names));
}

bool names_is_mountpoint(struct names *names, int directory, const char *name) {
    struct statx status;

    if (!atomic_load(&names->has_mounts))
        return false;
    return statx(directory, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, 0, &status) == 0 &&
           (status.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}
