/* UNLINK, RMDIR and RENAME. A file that may lose its last name keeps its descriptor for as long as the kernel knows it:
 * a handle of a file without a name is stale (open_by_handle_at(2)). */
#include "names_state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

/* Return the known file of an entry, pinned, or NULL. A failure shows in the host's operation as well. */
static struct name_node *known_entry(struct names *names, struct name_node *parent, const char *name, int *error) {
    struct name_node *node;
    struct stat status;

    *error = names_find_entry(names, parent, name, false, &node, &status);
    if (*error == ENOENT)
        *error = 0;
    return node;
}

/* Undo the pin of a file that still has a name, or keep it. */
static void put_named(struct names *names, struct name_node *node) {
    struct stat status;

    if (node != NULL && (fstat(node->fd, &status) != 0 || status.st_nlink > 0))
        names_put(names, node);
}

enum names_outcome names_serve_unlink(struct names_request *request) {
    struct names *names = request->names;
    bool directory = request->header->opcode == PROTOCOL_RMDIR;
    struct name_node *parent, *node;
    size_t offset = 0;
    const char *name = names_string(request, &offset);
    int error;

    if (name == NULL || !names_is_name(name))
        return names_answer_error(request, EINVAL);
    parent = names_take(names, request->header->nodeid);
    if (parent == NULL)
        return names_answer_error(request, errno);
    node = known_entry(names, parent, name, &error);
    if (error == 0 && unlinkat(parent->fd, name, directory ? AT_REMOVEDIR : 0) != 0)
        error = errno;
    if (error == 0 && node != NULL) {
        pthread_mutex_lock(&names->lock);
        if (directory)
            node->pins++; /* for good: not every host shows 0 links of a removed directory */
        if (names_unlink(names, node, parent, name))
            names_moved(names, node);
        pthread_mutex_unlock(&names->lock);
    }
    put_named(names, node);
    names_put(names, parent);
    return names_answer_error(request, error);
}

/* Record a rename that the host has done. */
static int moved(struct names *names, struct name_node *parents[2], const char *in_names[2],
                 struct name_node *nodes[2], bool exchange) {
    struct name_node *node = nodes[0], *replaced = nodes[1];
    int changed = 0, exchanged = 0;

    if (node != NULL && node == replaced)
        return 0; /* both are links of one file: nothing happens */
    if (!exchange && replaced != NULL && names_unlink(names, replaced, parents[1], in_names[1]))
        names_moved(names, replaced);
    if (node != NULL)
        changed = names_move(names, node, parents[0], in_names[0], parents[1], in_names[1]);
    if (exchange && replaced != NULL)
        exchanged = names_move(names, replaced, parents[1], in_names[1], parents[0], in_names[0]);
    if (changed > 0)
        names_moved(names, node);
    if (exchanged > 0)
        names_moved(names, replaced);
    return changed < 0 || exchanged < 0 ? ENOMEM : 0;
}

static int renamed(struct names *names, struct name_node *parents[2], const char *in_names[2], unsigned flags) {
    struct name_node *nodes[2] = {NULL, NULL};
    int error;

    nodes[0] = known_entry(names, parents[0], in_names[0], &error);
    if (error == 0)
        nodes[1] = known_entry(names, parents[1], in_names[1], &error);
    if (error == 0 && renameat2(parents[0]->fd, in_names[0], parents[1]->fd, in_names[1], flags) != 0)
        error = errno;
    if (error == 0) {
        pthread_mutex_lock(&names->lock);
        error = moved(names, parents, in_names, nodes, (flags & RENAME_EXCHANGE) != 0);
        pthread_mutex_unlock(&names->lock);
    }
    if (nodes[0] != NULL)
        names_put(names, nodes[0]);
    put_named(names, nodes[1]);
    return error;
}

enum names_outcome names_serve_rename(struct names_request *request) {
    bool extended = request->header->opcode == PROTOCOL_RENAME2;
    const struct protocol_rename2_in *in = (const void *)request->body;
    size_t offset = extended ? sizeof *in : sizeof(struct protocol_rename_in);
    const char *in_names[2];
    struct names *names = request->names;
    struct name_node *parents[2];
    unsigned flags;
    int error;

    in_names[0] = names_string(request, &offset);
    in_names[1] = in_names[0] == NULL ? NULL : names_string(request, &offset);
    if (in_names[1] == NULL || !names_is_name(in_names[0]) || !names_is_name(in_names[1]))
        return names_answer_error(request, EINVAL);
    flags = extended ? in->flags : 0;
    if ((flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE)) != 0)
        return names_answer_error(request, EINVAL);
    parents[0] = names_take(names, request->header->nodeid);
    if (parents[0] == NULL)
        return names_answer_error(request, errno);
    parents[1] = names_take(names, in->newdir);
    error = parents[1] == NULL ? errno : renamed(names, parents, in_names, flags);
    names_put(names, parents[0]);
    if (parents[1] != NULL)
        names_put(names, parents[1]);
    return names_answer_error(request, error);
}
