#include "memory.h"

#include <stdlib.h>
#include <string.h>

static uint8_t *segment, *other;
static size_t segment_size, other_size;
static uint8_t *kept;
static uint8_t *is_dirty; /* a byte a word */
static uint32_t *dirty;
static uint32_t dirty_count;

void memory_share(void *base, size_t size, void *more, size_t more_size)
{
    segment = base;
    segment_size = size;
    other = more;
    other_size = more_size;
    kept = malloc(size);
    is_dirty = calloc(size / 8, 1);
    dirty = calloc(size / 8, sizeof *dirty);
    if (kept == NULL || is_dirty == NULL || dirty == NULL)
        abort();
}

bool memory_find(const volatile void *p, uint32_t *word)
{
    uintptr_t at = (uintptr_t)p;
    if (at - (uintptr_t)segment < segment_size) {
        *word = (uint32_t)((at - (uintptr_t)segment) / 8);
        return true;
    }
    if (at - (uintptr_t)other < other_size) {
        *word = (uint32_t)(segment_size / 8 + (at - (uintptr_t)other) / 8);
        return true;
    }
    return false;
}

uint32_t memory_words(void)
{
    return (uint32_t)((segment_size + other_size) / 8);
}

void *memory_at(uint32_t word)
{
    size_t at = (size_t)word * 8;
    return at < segment_size ? segment + at : other + (at - segment_size);
}

uint64_t memory_value(uint32_t word)
{
    uint64_t value;
    memcpy(&value, memory_at(word), sizeof value);
    return value;
}

void memory_dirty(uint32_t word)
{
    if (word >= segment_size / 8 || is_dirty[word])
        return;
    is_dirty[word] = 1;
    dirty[dirty_count++] = word;
}

void memory_keep(void)
{
    memcpy(kept, segment, segment_size);
    memset(is_dirty, 0, segment_size / 8);
    dirty_count = 0;
}

void memory_restore(void)
{
    for (; dirty_count > 0; dirty_count--) {
        size_t word = dirty[dirty_count - 1];
        is_dirty[word] = 0;
        memcpy(segment + word * 8, kept + word * 8, 8);
    }
}

bool memory_differs(void)
{
    return memcmp(segment, kept, segment_size) != 0;
}
