/* New files without a name (O_TMPFILE). Such a file may get a name later: LINK. */
#include "names_state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

struct nameless_file {
    int directory, flags, fd;
    mode_t mode;
};

static int make(void *what) {
    struct nameless_file *new = what;

    new->fd = openat(new->directory, ".", new->flags | O_TMPFILE, new->mode);
    return new->fd < 0 ? -1 : 0;
}

/* Add the file to the table, with one lookup and pinned: its handle is stale while it has no name. The ledger names it by
 * its directory and its number on the host. */
static int added(struct names *names, struct name_node *parent, int fd, struct name_node **node) {
    struct file_identity identity;
    char path[32], name[32];
    int place, error;

    names_proc_path(path, fd);
    place = open(path, O_PATH | O_CLOEXEC);
    if (place < 0)
        return errno;
    error = names_identify(names, place, &identity);
    if (error == 0) {
        snprintf(name, sizeof name, "#%llu", (unsigned long long)identity.status.st_ino);
        pthread_mutex_lock(&names->lock);
        *node = names_added(names, &identity, place);
        if (*node == NULL || names_link(names, *node, parent, name, 0) < 0)
            error = ENOMEM;
        if (*node != NULL) {
            (*node)->lookups = 1;
            (*node)->pins += 2; /* the second until names_put */
        }
        pthread_mutex_unlock(&names->lock);
    }
    if (error != 0 && *node == NULL)
        close(place);
    return error;
}

static int opened(struct names_request *request, struct name_node *parent, int fd) {
    char *content = request->answer->content;
    struct names *names = request->names;
    struct name_node *node = NULL;
    struct stat status;
    int error = fstat(fd, &status) == 0 ? names_own(request, fd, &status) : errno;

    if (error == 0)
        error = added(names, parent, fd, &node);
    if (error != 0) {
        close(fd);
    } else {
        names_answer_entry(request, node, &status);
        error = names_opened(names, node, fd, (void *)(content + PROTOCOL_ENTRY_OUT_SIZE));
    }
    if (node != NULL) {
        names_put(names, node);
        if (error != 0)
            names_subtract_lookups(names, node->number, 1);
    }
    request->answer->size = error != 0 ? 0 : PROTOCOL_ENTRY_OUT_SIZE + sizeof(struct protocol_open_out);
    return error;
}

enum names_outcome names_serve_tmpfile(struct names_request *request) {
    const struct protocol_create_in *in = (const void *)request->body;
    struct nameless_file new = {.fd = -1};
    struct name_node *parent;
    int error;

    if (request->size < sizeof *in)
        return names_answer_error(request, EINVAL);
    parent = names_take(request->names, request->header->nodeid);
    if (parent == NULL)
        return names_answer_error(request, errno);
    new.directory = parent->fd;
    new.flags = names_host_flags(in->flags) | ((int)in->flags & O_EXCL); /* with O_EXCL it never gets a name */
    new.mode = in->mode & 07777;
    error = names_make_as_caller(request, in->umask & 0777, make, &new);
    if (error == 0)
        error = opened(request, parent, new.fd);
    names_put(request->names, parent);
    return names_answer_error(request, error);
}
