#include "pages.h"

#include <stdlib.h>
#include <string.h>

#include "plane.h"

struct owned_page {
    struct table_page *page; /* NULL before its first use */
    struct table *table;     /* NULL while the page is free or retired */
    size_t place;
    bool retired;
    uint64_t turns[PLANE_MOST_READERS]; /* the readers' turns when the page was retired */
};

struct pages {
    size_t most, hand;
    const atomic_uint_fast64_t *const *turns;
    unsigned readers;
    size_t used;
    struct owned_page owned[];
};

struct pages *pages_new(size_t most, const atomic_uint_fast64_t *const *turns, unsigned readers) {
    struct pages *pages = calloc(1, sizeof *pages + most * sizeof *pages->owned);

    if (pages == NULL)
        return NULL;
    pages->most = most;
    pages->turns = turns;
    pages->readers = readers;
    return pages;
}

void pages_free(struct pages *pages) {
    for (size_t i = 0; i < pages->most; i++)
        free(pages->owned[i].page);
    free(pages);
}

size_t pages_used(const struct pages *pages) {
    return pages->used;
}

/* Return whether no reader can see a retired page any more. */
static bool is_quiet(const struct pages *pages, const struct owned_page *owned) {
    for (unsigned i = 0; i < pages->readers; i++) {
        uint64_t then = owned->turns[i];

        if ((then & 1) && atomic_load(pages->turns[i]) == then)
            return false;
    }
    return true;
}

static void retire(struct pages *pages, struct owned_page *owned) {
    atomic_store(&owned->table->pages[owned->place], NULL);
    owned->table = NULL;
    owned->retired = true;
    /* Both accesses are sequentially consistent: a reader whose turn begins after this finds no page in the table. */
    for (unsigned i = 0; i < pages->readers; i++)
        owned->turns[i] = atomic_load(pages->turns[i]);
}

/* Return a free page, or NULL; make one if there may be more. */
static struct owned_page *find_free(struct pages *pages) {
    for (size_t i = 0; i < pages->most; i++) {
        struct owned_page *owned = &pages->owned[(pages->hand + i) % pages->most];

        if (owned->table != NULL || (owned->retired && !is_quiet(pages, owned)))
            continue;
        if (owned->page == NULL) {
            owned->page = malloc(sizeof *owned->page);
            if (owned->page == NULL)
                return NULL;
            pages->used++;
        }
        owned->retired = false;
        pages->hand = (pages->hand + i + 1) % pages->most;
        return owned;
    }
    return NULL;
}

/* Return the oldest page that a table has. NULL if there is none, or if a retired page is not free yet: it is enough to
 * wait for that one, however long its readers take. */
static struct owned_page *find_oldest(struct pages *pages) {
    struct owned_page *oldest = NULL;

    /* Pages are given in the order of their numbers, so the first from the hand on is the oldest. */
    for (size_t i = pages->most; i-- > 0;) {
        struct owned_page *owned = &pages->owned[(pages->hand + i) % pages->most];

        if (owned->retired)
            return NULL;
        if (owned->table != NULL)
            oldest = owned;
    }
    return oldest;
}

struct table_page *pages_give(struct pages *pages, struct table *table, size_t place) {
    struct owned_page *owned = find_free(pages);

    if (owned == NULL) {
        struct owned_page *oldest = find_oldest(pages);

        if (oldest == NULL)
            return NULL;
        retire(pages, oldest);
        owned = find_free(pages);
    }
    if (owned == NULL)
        return NULL;
    for (size_t i = 0; i < TABLE_PAGE_ENTRIES; i++)
        atomic_store_explicit(&owned->page->entries[i], TABLE_UNKNOWN, memory_order_relaxed);
    owned->table = table;
    owned->place = place;
    atomic_store(&table->pages[place], owned->page);
    return owned->page;
}

void pages_drop(struct pages *pages, struct table *table, size_t place) {
    if (atomic_load(&table->pages[place]) == NULL)
        return;
    for (size_t i = 0; i < pages->most; i++)
        if (pages->owned[i].table == table && pages->owned[i].place == place) {
            retire(pages, &pages->owned[i]);
            return;
        }
}
