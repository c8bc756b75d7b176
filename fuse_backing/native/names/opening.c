/* Open files: the channel serves their data and punches, and the account has their paths. */
#include "names_state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Without O_APPEND: the kernel sends the offset, which Linux's pwrite would ignore. Without O_DIRECT: buffers are not
 * aligned. Without O_TRUNC: truncation is separate, since the ledger must record the bytes that it frees. */
int names_host_flags(uint32_t flags) {
    return ((int)flags & (O_ACCMODE | O_SYNC | O_DSYNC)) | O_CLOEXEC;
}

/* Make room for a handle in the tables, with the lock held; false without memory. */
static bool has_room(struct names *names, struct opened_node *opened, size_t handle) {
    if (handle >= names->nr_handles) {
        size_t room = 2 * handle + 64;
        struct name_node **handles = realloc(names->handles, room * sizeof *handles);

        if (handles == NULL)
            return false;
        memset(handles + names->nr_handles, 0, (room - names->nr_handles) * sizeof *handles);
        names->handles = handles;
        names->nr_handles = room;
    }
    if (opened->nr_handles == opened->room) {
        unsigned room = 2 * opened->room + 1;
        int *handles = realloc(opened->handles, room * sizeof *handles);

        if (handles == NULL)
            return false;
        opened->handles = handles;
        opened->room = room;
    }
    return true;
}

static struct opened_node *state_of(struct names *names, struct name_node *node) {
    if (node->opened != NULL)
        return node->opened;
    node->opened = calloc(1, sizeof *node->opened);
    if (node->opened == NULL)
        return NULL;
    if (names->nr_free_gates > 0)
        node->opened->gate = names->free_gates[--names->nr_free_gates];
    else
        node->opened->gate = names->door.gate(names->door.channel);
    if (node->opened->gate < 0) {
        free(node->opened);
        node->opened = NULL;
    }
    return node->opened;
}

/* Begin the use of a file that no handle is open of, with the lock held; false without memory. */
static bool began(struct names *names, struct name_node *node, int fd) {
    struct opened_node *opened = node->opened;
    char *path = names_path_of(node);

    opened->account = path == NULL ? UINT32_MAX : account_begin_use(names->account, path);
    if (opened->account == UINT32_MAX) {
        free(path);
        return false;
    }
    /* All opens of the file must name the same backing file (fs/fuse/iomode.c), which the kernel opens again for each
     * with its own flags (fs/fuse/passthrough.c). Where it refuses that, the channel serves the data. */
    opened->backing = atomic_load(&names->passthrough) ? names->door.backing_open(names->door.channel, fd) : 0;
    if (opened->backing < 0) {
        opened->backing = 0;
        names->door.note(names->door.channel, NAMES_NOTE_REFUSED, -1, path);
    }
    free(path);
    opened->next = names->open_nodes;
    opened->previous = NULL;
    if (opened->next != NULL)
        opened->next->opened->previous = node;
    names->open_nodes = node;
    return true;
}

static void ended(struct names *names, struct name_node *node) {
    struct opened_node *opened = node->opened;

    if (opened->previous != NULL)
        opened->previous->opened->next = opened->next;
    else
        names->open_nodes = opened->next;
    if (opened->next != NULL)
        opened->next->opened->previous = opened->previous;
    account_end_use(names->account, opened->account);
    if (opened->backing != 0)
        names->door.backing_close(names->door.channel, opened->backing);
    opened->backing = 0;
}

/* With the lock held. */
static int announced(struct names *names, struct name_node *node, int fd, struct protocol_open_out *out) {
    struct opened_node *opened = names->door.channel == NULL ? NULL : state_of(names, node);
    int error;

    if (opened == NULL || !has_room(names, opened, (size_t)fd))
        return ENOMEM;
    if (opened->nr_handles == 0 && !began(names, node, fd))
        return ENOMEM;
    error = names->door.announce(names->door.channel, fd, opened->gate, opened->account, atomic_load(&names->unit));
    if (error != 0 && opened->nr_handles == 0)
        ended(names, node);
    if (error != 0)
        return error;
    opened->handles[opened->nr_handles++] = fd;
    names->handles[fd] = node;
    node->pins++;
    /* Passthrough allows few other flags (fs/fuse/iomode.c). Nothing is to be flushed at a close: data is never cached. */
    *out = (struct protocol_open_out){
        (uint64_t)fd,
        (opened->backing > 0 ? PROTOCOL_FOPEN_PASSTHROUGH : PROTOCOL_FOPEN_DIRECT_IO) | PROTOCOL_FOPEN_NOFLUSH,
        opened->backing};
    return 0;
}

int names_opened(struct names *names, struct name_node *node, int fd, struct protocol_open_out *out) {
    int error;

    pthread_mutex_lock(&names->lock);
    error = announced(names, node, fd, out);
    pthread_mutex_unlock(&names->lock);
    if (error != 0)
        close(fd);
    return error;
}

enum names_outcome names_serve_open(struct names_request *request) {
    const struct protocol_open_in *in = (const void *)request->body;
    struct name_node *node;
    int fd, error;

    if (request->size < sizeof *in)
        return names_answer_error(request, EINVAL);
    if ((in->flags & O_TRUNC) && !request->resumed)
        return NAMES_LEFT; /* Python truncates, since the ledger has what that frees */
    node = names_take(request->names, request->header->nodeid);
    if (node == NULL)
        return names_answer_error(request, errno);
    fd = names_reopen(request->names, node, names_host_flags(in->flags));
    error = fd < 0 ? errno : names_opened(request->names, node, fd, (void *)request->answer->content);
    if (error == 0)
        request->answer->size = sizeof(struct protocol_open_out);
    names_put(request->names, node);
    return names_answer_error(request, error);
}

/* Remove a handle, which is announced no longer; with the lock held. */
static struct name_node *removed(struct names *names, uint64_t handle) {
    struct name_node *node = handle < names->nr_handles ? names->handles[handle] : NULL;
    struct opened_node *opened = node == NULL ? NULL : node->opened;

    if (opened == NULL)
        return NULL;
    names->handles[handle] = NULL;
    for (unsigned i = 0; i < opened->nr_handles; i++) {
        if ((uint64_t)opened->handles[i] == handle) {
            opened->handles[i] = opened->handles[--opened->nr_handles];
            break;
        }
    }
    if (opened->nr_handles == 0)
        ended(names, node);
    return node;
}

enum names_outcome names_serve_release(struct names_request *request) {
    const struct protocol_release_in *in = (const void *)request->body;
    struct names *names = request->names;
    struct name_node *node;

    if (request->size < sizeof *in || names_of_handle(names, in->fh) == 0)
        return names_answer_error(request, 0);
    names->door.forget(names->door.channel, (int)in->fh); /* waits for a running punch */
    pthread_mutex_lock(&names->lock);
    node = removed(names, in->fh);
    pthread_mutex_unlock(&names->lock);
    if (node != NULL) {
        close((int)in->fh);
        names_put(names, node);
    }
    return names_answer_error(request, 0);
}

static void renamed(struct names *names, struct name_node *node) {
    struct opened_node *opened = node->opened;
    char *path = names_path_of(node);
    uint32_t before = opened->account, after;

    if (path == NULL)
        return;
    after = account_begin_use(names->account, path);
    free(path);
    if (after == UINT32_MAX)
        return;
    opened->account = after;
    for (unsigned i = 0; after != before && i < opened->nr_handles; i++)
        names->door.announce(names->door.channel, opened->handles[i], opened->gate, after, atomic_load(&names->unit));
    account_end_use(names->account, before);
}

void names_moved(struct names *names, struct name_node *node) {
    if (node->kind == S_IFDIR)
        for (struct name_node *each = names->open_nodes; each != NULL; each = each->opened->next)
            renamed(names, each);
    else if (node->opened != NULL && node->opened->nr_handles > 0)
        renamed(names, node);
}

void names_forget_opened(struct names *names, struct name_node *node) {
    if (node->opened == NULL)
        return;
    if (names->nr_free_gates == names->room_free_gates) {
        size_t room = 2 * names->room_free_gates + 16;
        int *gates = realloc(names->free_gates, room * sizeof *gates);

        if (gates != NULL) {
            names->free_gates = gates;
            names->room_free_gates = room;
        }
    }
    if (names->nr_free_gates < names->room_free_gates)
        names->free_gates[names->nr_free_gates++] = node->opened->gate;
    free(node->opened->handles);
    free(node->opened);
    node->opened = NULL;
}

uint64_t names_of_handle(struct names *names, uint64_t handle) {
    uint64_t number = 0;

    pthread_mutex_lock(&names->lock);
    if (handle < names->nr_handles && names->handles[handle] != NULL)
        number = names->handles[handle]->number;
    pthread_mutex_unlock(&names->lock);
    return number;
}

int names_gate(struct names *names, uint64_t number) {
    struct name_node *node;
    int gate = -1;

    pthread_mutex_lock(&names->lock);
    node = names_known(names, number);
    if (node != NULL && node->opened != NULL)
        gate = node->opened->gate;
    pthread_mutex_unlock(&names->lock);
    return gate;
}

void names_close_handles(struct names *names) {
    for (size_t i = 0; i < names->nr_handles; i++)
        if (names->handles[i] != NULL)
            close((int)i);
}
