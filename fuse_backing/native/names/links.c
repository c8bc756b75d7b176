#include "names_state.h"

#include <stdlib.h>
#include <string.h>

#define MOST_LINKS 65 /* that are kept of one file */
#define DEEPEST 4096  /* directories that the host moved into each other can make a circle */

static bool is_link(const struct name_link *link, const struct name_node *parent, const char *name) {
    return link->parent == parent && strcmp(link->name, name) == 0;
}

static void free_link(struct names *names, struct name_link *link) {
    struct name_node *parent = link->parent;

    free(link);
    parent->children--;
    names_free_if_unused(names, parent);
}

/* Remove the link at a place of the list. */
static void remove_at(struct names *names, struct name_link **place) {
    struct name_link *link = *place;

    *place = link->next;
    free_link(names, link);
}

static void remove_from(struct names *names, struct name_link **place, const struct name_node *parent,
                        const char *name) {
    while (*place != NULL)
        if (is_link(*place, parent, name))
            remove_at(names, place);
        else
            place = &(*place)->next;
}

static bool add_first(struct name_node *node, struct name_node *parent, const char *name) {
    size_t size = strlen(name) + 1;
    struct name_link *link = malloc(sizeof *link + size);

    if (link == NULL)
        return false;
    link->next = node->links;
    link->parent = parent;
    memcpy(link->name, name, size);
    node->links = link;
    parent->children++;
    return true;
}

void names_free_links(struct names *names, struct name_node *node, struct name_link *kept) {
    struct name_link **place = &node->links;

    while (*place != NULL)
        if (*place == kept)
            place = &(*place)->next;
        else
            remove_at(names, place);
}

int names_link(struct names *names, struct name_node *node, struct name_node *parent, const char *name,
               unsigned links) {
    struct name_link **place;
    bool first = node->links == NULL;

    if (node == names->root || (!first && is_link(node->links, parent, name)))
        return 0;
    if (!add_first(node, parent, name))
        return -1;
    if (links <= 1 || node->kind == S_IFDIR) {
        names_free_links(names, node, node->links);
        return !first;
    }
    remove_from(names, &node->links->next, parent, name);
    place = &node->links;
    for (unsigned i = 0; i < MOST_LINKS && *place != NULL; i++)
        place = &(*place)->next;
    while (*place != NULL)
        remove_at(names, place);
    return !first;
}

bool names_unlink(struct names *names, struct name_node *node, struct name_node *parent, const char *name) {
    bool changed = false;

    if (node->links == NULL)
        return false;
    remove_from(names, &node->links->next, parent, name);
    if (is_link(node->links, parent, name) && node->links->next != NULL) { /* the only one is kept */
        remove_at(names, &node->links);
        changed = true;
    }
    return changed;
}

int names_move(struct names *names, struct name_node *node, struct name_node *parent, const char *name,
               struct name_node *new_parent, const char *new_name) {
    if (node->links == NULL)
        return 0;
    if (!add_first(node, new_parent, new_name))
        return -1;
    if (node->kind == S_IFDIR) {
        names_free_links(names, node, node->links);
        return 1;
    }
    remove_from(names, &node->links->next, parent, name);
    remove_from(names, &node->links->next, new_parent, new_name);
    return 1;
}

char *names_path_of(const struct name_node *node) {
    const struct name_node *each = node;
    unsigned depth = 0;
    size_t size = 1;
    char *path, *end;

    for (; each->links != NULL && depth < DEEPEST; each = each->links->parent, depth++)
        size += strlen(each->links->name) + 1;
    path = malloc(size);
    if (path == NULL)
        return NULL;
    end = path + (size > 1 ? size - 2 : 0);
    *end = '\0';
    for (each = node; depth > 0; each = each->links->parent, depth--) {
        size_t length = strlen(each->links->name);

        end -= length;
        memcpy(end, each->links->name, length);
        if (depth > 1)
            *--end = '/';
    }
    return path;
}
