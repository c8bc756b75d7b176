/* The pages of all tables of a plane: their number is bounded, and the oldest one goes when a new one is needed.
 *
 * A page that leaves its table may still be read by a thread that found it before. It is used again when each reader has
 * ended the turn in which it was, if any (quiescent-state-based reclamation).
 *
 * Owned by: the plane. pages_free frees all pages, and those that tables still have as well. */
#ifndef FUSE_BACKING_PLANE_PAGES_H
#define FUSE_BACKING_PLANE_PAGES_H

#include "table.h"

struct pages;

/* Return an empty set of at most `most` pages, for readers whose turns are in `turns`; NULL without memory. A turn is odd
 * while its reader looks at tables, and each reader adds 1 when it begins and when it ends. */
struct pages *pages_new(size_t most, const atomic_uint_fast64_t *const *turns, unsigned readers);
void pages_free(struct pages *pages);

/* Give a page, with nothing known, to a place of a table that has none; it may take the oldest one from any table.
 * NULL without memory, or while readers may still see every page that could be taken. */
struct table_page *pages_give(struct pages *pages, struct table *table, size_t place);

/* Take the page of a place away, if there is one. */
void pages_drop(struct pages *pages, struct table *table, size_t place);

/* Return the number of pages that exist. */
size_t pages_used(const struct pages *pages);

#endif
