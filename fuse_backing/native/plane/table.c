#include "table.h"

#include <stdlib.h>

struct table *table_new(uint64_t blocks) {
    struct table *table = calloc(1, sizeof *table);

    if (table == NULL)
        return NULL;
    table->blocks = blocks;
    table->nr_pages = (size_t)((blocks + TABLE_PAGE_ENTRIES - 1) / TABLE_PAGE_ENTRIES);
    table->pages = calloc(table->nr_pages ? table->nr_pages : 1, sizeof *table->pages);
    if (table->pages == NULL) {
        free(table);
        return NULL;
    }
    return table;
}

void table_free(struct table *table) {
    free(table->pages);
    free(table);
}
