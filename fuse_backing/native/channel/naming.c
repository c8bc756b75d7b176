/* Requests about names: the names serve them, and leave to Python what needs the ledger first. */
#include "channel_state.h"

#include <errno.h>
#include <stdlib.h>

static int gate(void *channel) {
    return channel_gate(channel);
}

static int announce(void *channel, int handle, int number, uint32_t file, uint64_t unit) {
    return channel_announce(channel, handle, number, file, unit);
}

static void forget(void *channel, int handle) {
    channel_forget(channel, handle);
}

static int backing_open(void *channel, int fd) {
    return channel_backing_open(channel, fd);
}

static void backing_close(void *channel, int id) {
    channel_backing_close(channel, id);
}

static void note(void *channel, enum names_note note, int fd, const char *path) {
    channel_queue_note(channel, note, fd, path);
}

void channel_serve_names(struct channel *channel, struct names *names) {
    struct names_door door = {channel, gate, announce, forget, backing_open, backing_close, note};

    channel->names = names;
    names_set_door(names, &door, channel->account);
}

void channel_serve_name(struct channel_reader *reader, size_t size, const struct awaited_reply *awaited) {
    struct channel *channel = reader->channel;
    struct names_answer answer = {.capacity = BUFFER_SIZE - PAGE};

    if (reader->answer == NULL)
        reader->answer = malloc(BUFFER_SIZE);
    answer.content = reader->answer;
    if (reader->answer == NULL) {
        channel_answer(reader, awaited->unique, ENOMEM);
        return;
    }
    switch (names_serve(channel->names, reader->buffer, size, &answer)) {
    case NAMES_LEFT:
        channel_queue(reader, size, awaited);
        return;
    case NAMES_SILENT:
        return;
    case NAMES_ANSWERED:
        break;
    }
    if (awaited->kind != LATENCY_NONE)
        atomic_fetch_add(&channel->served, 1);
    if (answer.error != 0)
        channel_answer(reader, awaited->unique, answer.error);
    else
        channel_answer_with(reader, awaited->unique, answer.content, answer.size);
    latency_record(channel->latencies, awaited->kind, (uint64_t)(channel_now() - awaited->began), true);
}

void channel_resume(struct channel *channel, const struct channel_request *request) {
    const struct protocol_in_header *header = (const void *)(request->body - sizeof *header);
    struct names_answer answer = {.error = ENOMEM, .content = malloc(NAMES_LEAST_CAPACITY),
                                  .capacity = NAMES_LEAST_CAPACITY};

    if (answer.content != NULL)
        names_resume(channel->names, header, sizeof *header + request->size, &answer);
    if (answer.error == ENOSYS) /* the kernel would no longer send the operation, for any file */
        answer.error = EOPNOTSUPP;
    channel_reply(channel, request, answer.error, answer.content, answer.error == 0 ? answer.size : 0);
    free(answer.content);
}
