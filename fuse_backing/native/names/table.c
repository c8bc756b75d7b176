#include "names_state.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_PLACES 1024
#define FIRST_OWN_NUMBER (1ULL << 62)

static size_t spread(uint64_t number) {
    return (size_t)((number * 0x9E3779B97F4A7C15ULL) >> 20);
}

static struct name_node **number_place(struct names *names, uint64_t number) {
    return &names->by_number[spread(number) & (names->nr_places - 1)];
}

static struct name_node **identity_place(struct names *names, uint64_t device, uint64_t host_number) {
    return &names->by_identity[spread(host_number ^ device << 40) & (names->nr_places - 1)];
}

static void insert(struct names *names, struct name_node *node) {
    struct name_node **place = number_place(names, node->number);

    node->next_number = *place;
    *place = node;
    place = identity_place(names, node->device, node->host_number);
    node->next_identity = *place;
    *place = node;
}

/* Make room for more nodes; without memory, the chains just get longer. False if no table exists yet. */
static bool grown(struct names *names) {
    size_t places = names->nr_places == 0 ? FIRST_PLACES : 2 * names->nr_places, before = names->nr_places;
    struct name_node **numbers = calloc(places, sizeof *numbers), **identities = calloc(places, sizeof *identities);
    struct name_node **old = names->by_number;

    if (numbers == NULL || identities == NULL) {
        free(numbers);
        free(identities);
        return before > 0;
    }
    free(names->by_identity);
    names->by_number = numbers;
    names->by_identity = identities;
    names->nr_places = places;
    for (size_t i = 0; i < before; i++) {
        for (struct name_node *node = old[i], *next; node != NULL; node = next) {
            next = node->next_number;
            insert(names, node);
        }
    }
    free(old);
    return true;
}

struct name_node *names_known(struct names *names, uint64_t number) {
    struct name_node *node = *number_place(names, number);

    while (node != NULL && node->number != number)
        node = node->next_number;
    return node;
}

struct name_node *names_same(struct names *names, const struct file_identity *identity) {
    uint64_t device = identity->status.st_dev, host_number = identity->status.st_ino;
    struct name_node *node = *identity_place(names, device, host_number);

    for (; node != NULL; node = node->next_identity) {
        if (node->device != device || node->host_number != host_number)
            continue;
        if (node == names->root ||
            (node->handle_size == identity->handle_size && node->handle_kind == identity->handle_kind &&
             memcmp(node->handle, identity->handle, node->handle_size) == 0))
            return node;
    }
    return NULL;
}

struct name_node *names_same_open(struct names *names, const struct file_identity *identity) {
    uint64_t device = identity->status.st_dev, host_number = identity->status.st_ino;
    struct name_node *node = *identity_place(names, device, host_number);

    while (node != NULL && (node->fd < 0 || node->device != device || node->host_number != host_number))
        node = node->next_identity;
    return node;
}

struct name_node *names_added(struct names *names, const struct file_identity *identity, int fd) {
    struct name_node *node;
    uint64_t number = identity->status.st_ino;

    if (names->count >= names->nr_places && !grown(names))
        return NULL;
    /* It is taken if another subvolume of btrfs has it, or a removed file that the kernel still knows. */
    if (names->root == NULL)
        number = NAMES_ROOT;
    else if (number <= NAMES_ROOT || number >= FIRST_OWN_NUMBER || names_known(names, number) != NULL)
        number = FIRST_OWN_NUMBER + ++names->next_own_number;
    node = calloc(1, sizeof *node + identity->handle_size);
    if (node == NULL)
        return NULL;
    node->number = number;
    node->device = identity->status.st_dev;
    node->host_number = identity->status.st_ino;
    node->kind = identity->status.st_mode & S_IFMT;
    node->fd = fd;
    node->known = true;
    node->handle_kind = identity->handle_kind;
    node->handle_size = identity->handle_size;
    memcpy(node->handle, identity->handle, identity->handle_size);
    if (node->handle_size == 0)
        node->pins = 1; /* it could not be opened again */
    insert(names, node);
    names->count++;
    return node;
}

int names_taken_out(struct names *names, struct name_node *node) {
    struct name_node **place = number_place(names, node->number);
    int fd = node->fd;

    while (*place != node)
        place = &(*place)->next_number;
    *place = node->next_number;
    place = identity_place(names, node->device, node->host_number);
    while (*place != node)
        place = &(*place)->next_identity;
    *place = node->next_identity;
    names->count--;
    names_uncache(names, node);
    names_forget_opened(names, node);
    node->fd = -1;
    node->known = false;
    return fd;
}

void names_free_if_unused(struct names *names, struct name_node *node) {
    if (node->known || node->children > 0)
        return;
    names_free_links(names, node, NULL);
    free(node);
}
