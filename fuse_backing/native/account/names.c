/* The names of an account's files. A file without events has its index only while it is in use. */
#include "account_state.h"

#include <stdlib.h>
#include <string.h>

static uint32_t *place_of(struct account *account, const char *name) {
    uint32_t hash = 2166136261u;

    for (; *name != '\0'; name++)
        hash = (hash ^ (unsigned char)*name) * 16777619u;
    return &account->named[(hash ^ hash >> 16) % NAME_PLACES];
}

static uint32_t found(struct account *account, const char *name) {
    uint32_t index = *place_of(account, name);

    while (index != NO_FILE && strcmp(account->files[index]->name, name) != 0)
        index = account->files[index]->next;
    return index;
}

/* Give a free or a new index to a name. */
static uint32_t named(struct account *account, const char *name) {
    uint32_t index = account->first_free, *place = place_of(account, name);
    char *copy = strdup(name);

    if (copy == NULL)
        return NO_FILE;
    if (index != NO_FILE)
        account->first_free = account->files[index]->next;
    else
        index = account_added(account);
    if (index == NO_FILE) {
        free(copy);
        return NO_FILE;
    }
    account->files[index]->name = copy;
    account->files[index]->next = *place;
    *place = index;
    return index;
}

static uint32_t index_of(struct account *account, const char *name) {
    uint32_t index = found(account, name);

    if (index != NO_FILE)
        return index;
    if (account->first_free == NO_FILE && account->nr_files >= ACCOUNT_MOST_FILES - 1) {
        name = ACCOUNT_OTHER_FILES;
        index = found(account, name);
    }
    return index != NO_FILE ? index : named(account, name);
}

uint32_t account_index(struct account *account, const char *name) {
    uint32_t index;

    pthread_mutex_lock(&account->lock);
    index = index_of(account, name);
    pthread_mutex_unlock(&account->lock);
    return index;
}

uint32_t account_find(struct account *account, const char *name) {
    uint32_t index;

    pthread_mutex_lock(&account->lock);
    index = found(account, name);
    pthread_mutex_unlock(&account->lock);
    return index;
}

uint32_t account_begin_use(struct account *account, const char *name) {
    uint32_t index;

    pthread_mutex_lock(&account->lock);
    index = index_of(account, name);
    if (index != NO_FILE)
        account->files[index]->uses++;
    pthread_mutex_unlock(&account->lock);
    return index;
}

/* Take the name from a file, and make its index free. */
static void unname(struct account *account, uint32_t index) {
    struct account_file_sums *file = account->files[index];
    uint32_t *place = place_of(account, file->name);

    while (*place != index)
        place = &account->files[*place]->next;
    *place = file->next;
    free(file->name);
    file->name = NULL;
    file->next = account->first_free;
    account->first_free = index;
}

void account_end_use(struct account *account, uint32_t index) {
    pthread_mutex_lock(&account->lock);
    if (index < account->nr_files && account->files[index]->uses > 0) {
        struct account_file_sums *file = account->files[index];

        file->uses--;
        if (file->uses == 0 && file->totals.events == 0 && strcmp(file->name, ACCOUNT_OTHER_FILES) != 0)
            unname(account, index);
    }
    pthread_mutex_unlock(&account->lock);
}

char *account_name(struct account *account, uint32_t index) {
    char *copy = NULL;

    pthread_mutex_lock(&account->lock);
    if (index < account->nr_files && account->files[index]->name != NULL)
        copy = strdup(account->files[index]->name);
    pthread_mutex_unlock(&account->lock);
    return copy;
}

uint32_t account_nr_files(struct account *account) {
    uint32_t count;

    pthread_mutex_lock(&account->lock);
    count = account->nr_files;
    pthread_mutex_unlock(&account->lock);
    return count;
}
