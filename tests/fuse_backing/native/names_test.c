/* These tests ask the names as the kernel does, and check the host's directory, the answers and the calls of the door. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "names/names.h"
#include "native_test.h"
#include "protocol/protocol.h"

#define ENTRIES 300

/* A tree of the host with its names, and the last calls of the door. */
struct asked_tree {
    char path[4096];
    int host;
    struct names *names;
    struct account *account;
    uint32_t announced; /* the account's file of the last announcement */
    atomic_int closes;
    int registered, notes;
    char note[64];
    int noted_fd;
};

static int gate(void *tree) {
    (void)tree;
    return 0;
}

static int announce(void *tree, int handle, int number, uint32_t file, uint64_t unit) {
    CHECK(handle >= 0 && number == 0 && unit == BLOCK);
    ((struct asked_tree *)tree)->announced = file;
    return 0;
}

static void forget(void *tree, int handle) {
    (void)handle;
    atomic_fetch_add(&((struct asked_tree *)tree)->closes, 1);
}

static int backing_open(void *tree, int fd) {
    CHECK(fd >= 0);
    ((struct asked_tree *)tree)->registered++;
    return 7;
}

static void backing_close(void *tree, int id) {
    CHECK(id == 7);
    ((struct asked_tree *)tree)->registered--;
}

static void note(void *tree, enum names_note kind, int fd, const char *path) {
    struct asked_tree *asked = tree;

    CHECK(kind == NAMES_NOTE_RELEASED && fd >= 0);
    asked->notes++;
    asked->noted_fd = fd;
    snprintf(asked->note, sizeof asked->note, "%s", path);
}

static struct asked_tree *tree_new(unsigned descriptors) {
    struct asked_tree *tree = calloc(1, sizeof *tree);
    struct names_door door = {tree, gate, announce, forget, backing_open, backing_close, note};

    snprintf(tree->path, sizeof tree->path, "%s/names-XXXXXX", directory);
    CHECK(mkdtemp(tree->path) != NULL);
    tree->host = open(tree->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    tree->names = names_new(tree->host, true, descriptors);
    tree->account = account_new(16);
    CHECK(tree->names != NULL && tree->account != NULL);
    names_set_door(tree->names, &door, tree->account);
    names_set_opening(tree->names, true, BLOCK);
    return tree;
}

static void tree_free(struct asked_tree *tree) {
    char command[4200];

    names_free(tree->names);
    account_free(tree->account);
    close(tree->host);
    snprintf(command, sizeof command, "rm -rf '%s'", tree->path);
    CHECK(system(command) == 0);
    free(tree);
}

/* Ask for something: the body is `fixed`, then up to two names. Return the errno, or -1 if the request is left. */
static int ask(struct asked_tree *tree, uint32_t opcode, uint64_t node, const void *fixed, size_t size, const char *first,
               const char *second, struct names_answer *answer) {
    static __thread char content[1 << 17];
    struct {
        struct protocol_in_header header;
        char body[1024];
    } request = {.header = {.opcode = opcode, .nodeid = node, .unique = 2}};

    memcpy(request.body, fixed, size);
    for (int i = 0; i < 2; i++) {
        const char *name = i == 0 ? first : second;

        if (name == NULL)
            continue;
        strcpy(request.body + size, name);
        size += strlen(name) + 1;
    }
    request.header.len = (uint32_t)(sizeof request.header + size);
    *answer = (struct names_answer){.content = content, .capacity = sizeof content};
    switch (names_serve(tree->names, &request, request.header.len, answer)) {
    case NAMES_LEFT:
        return -1;
    case NAMES_SILENT:
        return 0;
    case NAMES_ANSWERED:
        break;
    }
    return answer->error;
}

static uint64_t look_up(struct asked_tree *tree, uint64_t parent, const char *name) {
    struct names_answer answer;
    int error = ask(tree, PROTOCOL_LOOKUP, parent, "", 0, name, NULL, &answer);

    CHECK(error == 0 || error == ENOENT);
    return error != 0 ? 0 : ((const struct protocol_entry_out *)(void *)answer.content)->nodeid;
}

static uint64_t make_directory(struct asked_tree *tree, uint64_t parent, const char *name) {
    struct protocol_mkdir_in in = {0755, 022};
    struct names_answer answer;

    CHECK(ask(tree, PROTOCOL_MKDIR, parent, &in, sizeof in, name, NULL, &answer) == 0);
    return ((const struct protocol_entry_out *)(void *)answer.content)->nodeid;
}

static uint64_t create(struct asked_tree *tree, uint64_t parent, const char *name, uint64_t *handle) {
    struct protocol_create_in in = {O_RDWR | O_CREAT | O_EXCL, 0666, 022, 0};
    struct names_answer answer;
    const struct protocol_open_out *out;

    CHECK(ask(tree, PROTOCOL_CREATE, parent, &in, sizeof in, name, NULL, &answer) == 0);
    out = (const void *)(answer.content + sizeof(struct protocol_entry_out));
    CHECK(answer.size == sizeof(struct protocol_entry_out) + sizeof *out);
    CHECK(out->open_flags == (PROTOCOL_FOPEN_PASSTHROUGH | PROTOCOL_FOPEN_NOFLUSH) && out->backing_id == 7);
    *handle = out->fh;
    return ((const struct protocol_entry_out *)(void *)answer.content)->nodeid;
}

static void release(struct asked_tree *tree, uint64_t node, uint64_t handle) {
    struct protocol_release_in in = {.fh = handle};
    struct names_answer answer;

    CHECK(ask(tree, PROTOCOL_RELEASE, node, &in, sizeof in, NULL, NULL, &answer) == 0);
}

static void forget_node(struct asked_tree *tree, uint64_t node, uint64_t count) {
    struct names_answer answer;

    CHECK(ask(tree, PROTOCOL_FORGET, node, &count, sizeof count, NULL, NULL, &answer) == 0);
}

static int rename_entry(struct asked_tree *tree, uint64_t from, const char *name, uint64_t to, const char *new_name) {
    struct protocol_rename2_in in = {to, 0, 0};
    struct names_answer answer;

    return ask(tree, PROTOCOL_RENAME2, from, &in, sizeof in, name, new_name, &answer);
}

static bool has_path(struct asked_tree *tree, uint64_t node, const char *expected) {
    char *path = names_path(tree->names, node);
    bool same = path != NULL && strcmp(path, expected) == 0;

    free(path);
    return same;
}

static void test_a_file_keeps_its_number_until_it_is_forgotten(void) {
    struct asked_tree *tree = tree_new(2);
    uint64_t number, other, handle;
    struct names_answer answer;

    number = create(tree, NAMES_ROOT, "a", &handle);
    release(tree, number, handle);
    CHECK(tree->registered == 0 && atomic_load(&tree->closes) == 1);
    for (int i = 0; i < 10; i++) {
        char name[32];

        snprintf(name, sizeof name, "f%d", i);
        other = create(tree, NAMES_ROOT, name, &handle);
        release(tree, other, handle);
    }
    CHECK(names_count(tree->names) == 11 && names_open_descriptors(tree->names) <= 2);
    CHECK(look_up(tree, NAMES_ROOT, "a") == number && look_up(tree, NAMES_ROOT, "missing") == 0);
    CHECK(ask(tree, PROTOCOL_GETATTR, number, "", 0, NULL, NULL, &answer) == 0);
    CHECK(((const struct protocol_attr_out *)(void *)answer.content)->attr.mode == (S_IFREG | 0644));
    forget_node(tree, number, 1);
    CHECK(ask(tree, PROTOCOL_GETATTR, number, "", 0, NULL, NULL, &answer) == 0);
    forget_node(tree, number, 1);
    CHECK(ask(tree, PROTOCOL_GETATTR, number, "", 0, NULL, NULL, &answer) == ESTALE);
    CHECK(names_count(tree->names) == 10 && tree->notes == 0);
    tree_free(tree);
}

static void test_no_request_leaves_the_tree(void) {
    static const char *const others[] = {"", ".", "..", "../x", "a/b", "/etc"};
    struct asked_tree *tree = tree_new(16);
    struct names_answer answer;
    uint64_t link;

    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        CHECK(ask(tree, PROTOCOL_LOOKUP, NAMES_ROOT, "", 0, others[i], NULL, &answer) == EINVAL);
        CHECK(ask(tree, PROTOCOL_UNLINK, NAMES_ROOT, "", 0, others[i], NULL, &answer) == EINVAL);
        CHECK(rename_entry(tree, NAMES_ROOT, others[i], NAMES_ROOT, "x") == EINVAL);
    }
    for (uint32_t opcode = 1; opcode < 64; opcode++) /* a request that ends too early is an error and no more */
        if (names_serve_opcode(opcode) && opcode != PROTOCOL_GETATTR && opcode != PROTOCOL_OPENDIR)
            ask(tree, opcode, NAMES_ROOT, "x", 1, NULL, NULL, &answer);
    CHECK(ask(tree, PROTOCOL_SYMLINK, NAMES_ROOT, "", 0, "link", "/etc", &answer) == 0);
    link = look_up(tree, NAMES_ROOT, "link");
    CHECK(ask(tree, PROTOCOL_LOOKUP, link, "", 0, "passwd", NULL, &answer) == ENOTDIR);
    CHECK(ask(tree, PROTOCOL_READLINK, link, "", 0, NULL, NULL, &answer) == 0);
    CHECK(answer.size == 4 && memcmp(answer.content, "/etc", 4) == 0);
    tree_free(tree);
}

static void test_an_open_file_has_its_path_at_the_time(void) {
    struct asked_tree *tree = tree_new(16);
    uint64_t first = make_directory(tree, NAMES_ROOT, "d"), second = make_directory(tree, NAMES_ROOT, "e"), handle;
    uint64_t number = create(tree, first, "a", &handle);
    uint32_t before = tree->announced;
    struct names_answer answer;
    struct protocol_link_in link = {number};

    CHECK(has_path(tree, number, "d/a") && names_of_handle(tree->names, handle) == number);
    CHECK(account_find(tree->account, "d/a") == before);
    CHECK(rename_entry(tree, NAMES_ROOT, "d", second, "new") == 0);
    CHECK(has_path(tree, number, "e/new/a") && account_find(tree->account, "e/new/a") == tree->announced);
    CHECK(account_find(tree->account, "d/a") == UINT32_MAX); /* without events, its index is free */
    CHECK(ask(tree, PROTOCOL_LINK, second, &link, sizeof link, "hard", NULL, &answer) == 0);
    CHECK(has_path(tree, number, "e/hard"));
    CHECK(ask(tree, PROTOCOL_UNLINK, second, "", 0, "hard", NULL, &answer) == 0);
    CHECK(has_path(tree, number, "e/new/a"));
    CHECK(ask(tree, PROTOCOL_UNLINK, first, "", 0, "a", NULL, &answer) == 0);
    CHECK(pwrite((int)handle, "x", 1, 0) == 1);
    CHECK(ask(tree, PROTOCOL_RMDIR, second, "", 0, "new", NULL, &answer) == 0);
    forget_node(tree, first, 1); /* the file still needs the directory for its path */
    release(tree, number, handle);
    CHECK(ask(tree, PROTOCOL_GETATTR, number, "", 0, NULL, NULL, &answer) == 0 && tree->notes == 0);
    forget_node(tree, number, 2);
    CHECK(tree->notes == 1 && strcmp(tree->note, "e/new/a") == 0);
    close(tree->noted_fd);
    tree_free(tree);
}

static void test_truncations_are_left_and_then_answered(void) {
    struct asked_tree *tree = tree_new(16);
    struct protocol_setattr_in in = {.valid = PROTOCOL_SETATTR_SIZE | PROTOCOL_SETATTR_MODE, .mode = 0600};
    struct protocol_open_in open_in = {O_WRONLY | O_TRUNC, 0};
    struct {
        struct protocol_in_header header;
        struct protocol_setattr_in in;
    } request = {.header = {.opcode = PROTOCOL_SETATTR, .len = sizeof request}, .in = in};
    char content[NAMES_LEAST_CAPACITY];
    struct names_answer answer;
    uint64_t handle, number = create(tree, NAMES_ROOT, "a", &handle);

    CHECK(ask(tree, PROTOCOL_SETATTR, number, &in, sizeof in, NULL, NULL, &answer) == -1);
    CHECK(ask(tree, PROTOCOL_OPEN, number, &open_in, sizeof open_in, NULL, NULL, &answer) == -1);
    request.header.nodeid = number;
    answer = (struct names_answer){.content = content, .capacity = sizeof content};
    CHECK(names_resume(tree->names, &request, sizeof request, &answer) == NAMES_ANSWERED && answer.error == 0);
    CHECK(((const struct protocol_attr_out *)(void *)content)->attr.mode == (S_IFREG | 0600));
    release(tree, number, handle);
    tree_free(tree);
}

/* Read a directory in small pieces; return the number of its entries without dots. */
static unsigned listed(struct asked_tree *tree, uint32_t opcode, uint32_t *flags) {
    struct protocol_open_in open_in = {0, 0};
    struct protocol_release_in release_in = {0};
    struct protocol_read_in in = {.size = 1000};
    struct names_answer answer;
    unsigned count = 0;

    CHECK(ask(tree, PROTOCOL_OPENDIR, NAMES_ROOT, &open_in, sizeof open_in, NULL, NULL, &answer) == 0);
    in.fh = release_in.fh = ((const struct protocol_open_out *)(void *)answer.content)->fh;
    *flags = ((const struct protocol_open_out *)(void *)answer.content)->open_flags;
    do {
        CHECK(ask(tree, opcode, NAMES_ROOT, &in, sizeof in, NULL, NULL, &answer) == 0 && answer.size <= in.size);
        for (size_t at = 0; at < answer.size;) {
            size_t before = opcode == PROTOCOL_READDIRPLUS ? sizeof(struct protocol_entry_out) : 0;
            const struct protocol_entry_out *entry = (const void *)(answer.content + at);
            const struct protocol_dirent *each = (const void *)(answer.content + at + before);
            bool dots = ((const char *)(each + 1))[0] == '.';

            CHECK(before == 0 || (entry->nodeid == 0) == dots);
            count += !dots;
            in.offset = each->off;
            at += (before + sizeof *each + each->namelen + 7) / 8 * 8;
        }
    } while (answer.size > 0);
    CHECK(ask(tree, PROTOCOL_RELEASEDIR, NAMES_ROOT, &release_in, sizeof release_in, NULL, NULL, &answer) == 0);
    return count;
}

static void test_a_list_has_each_entry_once(void) {
    static const struct timespec nap = {.tv_nsec = 200000000};
    struct asked_tree *tree = tree_new(16);
    uint64_t handle;
    uint32_t flags;

    for (int i = 0; i < ENTRIES; i++) {
        char name[32];
        int fd;

        snprintf(name, sizeof name, "entry-%d", i);
        fd = openat(tree->host, name, O_CREAT | O_WRONLY, 0600);
        CHECK(fd >= 0 && close(fd) == 0);
    }
    CHECK(listed(tree, PROTOCOL_READDIRPLUS, &flags) == ENTRIES && names_count(tree->names) == ENTRIES);
    CHECK(listed(tree, PROTOCOL_READDIR, &flags) == ENTRIES && names_count(tree->names) == ENTRIES);
    nanosleep(&nap, NULL); /* beyond the time in which two changes may look like one */
    listed(tree, PROTOCOL_READDIR, &flags);
    CHECK((flags & PROTOCOL_FOPEN_KEEP_CACHE) == 0);
    listed(tree, PROTOCOL_READDIR, &flags);
    CHECK(flags == 0 || flags == (PROTOCOL_FOPEN_KEEP_CACHE | PROTOCOL_FOPEN_CACHE_DIR)); /* 0 beside other mounts */
    release(tree, create(tree, NAMES_ROOT, "new", &handle), handle);
    CHECK(listed(tree, PROTOCOL_READDIR, &flags) == ENTRIES + 1 && (flags & PROTOCOL_FOPEN_KEEP_CACHE) == 0);
    tree_free(tree);
}

/* Use the tree as one of several clients, each in a directory of its own. */
static void *use(void *argument) {
    struct asked_tree *tree = argument;
    struct protocol_link_in link;
    struct names_answer answer;
    static atomic_uint clients;
    char name[32], other[32];
    uint64_t own, number, handle, seen;

    snprintf(name, sizeof name, "d%u", atomic_fetch_add(&clients, 1));
    own = make_directory(tree, NAMES_ROOT, name);
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "f%d", i);
        snprintf(other, sizeof other, "g%d", i);
        number = create(tree, own, name, &handle);
        CHECK(pwrite((int)handle, "x", 1, 0) == 1);
        CHECK(rename_entry(tree, own, name, own, other) == 0);
        link.oldnodeid = number;
        CHECK(ask(tree, PROTOCOL_LINK, own, &link, sizeof link, name, NULL, &answer) == 0);
        release(tree, number, handle);
        seen = look_up(tree, own, other);
        CHECK(seen == number);
        CHECK(ask(tree, PROTOCOL_UNLINK, own, "", 0, name, NULL, &answer) == 0);
        if (i % 2 == 0)
            CHECK(ask(tree, PROTOCOL_UNLINK, own, "", 0, other, NULL, &answer) == 0);
        if (i % 2 == 0)
            CHECK(ask(tree, PROTOCOL_GETATTR, number, "", 0, NULL, NULL, &answer) == 0);
        else
            forget_node(tree, number, 3);
    }
    return NULL;
}

static void test_several_threads_share_the_names(void) {
    struct asked_tree *tree = tree_new(3);
    pthread_t threads[4];

    for (int i = 0; i < 4; i++)
        CHECK(pthread_create(&threads[i], NULL, use, tree) == 0);
    for (int i = 0; i < 4; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(names_count(tree->names) == 4 + 4 * 50 && tree->registered == 0);
    tree_free(tree);
}

void test_the_names(void) {
    test_a_file_keeps_its_number_until_it_is_forgotten();
    test_no_request_leaves_the_tree();
    test_an_open_file_has_its_path_at_the_time();
    test_truncations_are_left_and_then_answered();
    test_a_list_has_each_entry_once();
    test_several_threads_share_the_names();
}
