/* The slot word, the record's state word and the owner: packing, and their limits. */
#include "support.h"

static const uint64_t generations[] = {
    0, 1, 2, CF_GENERATION_MASK / 2, CF_GENERATION_MASK - 1, CF_GENERATION_MASK};
static const uint32_t records[] = {0, 1, 255, (1u << CF_RECORD_BITS) - 2,
                                   (1u << CF_RECORD_BITS) - 1};
static const enum cf_word_state states[] = {CF_EMPTY, CF_INSERTING, CF_HELD, CF_IDLE};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

START_TEST(a_word_gives_back_what_was_packed)
{
    for (unsigned s = 0; s < COUNT(states); s++)
        for (unsigned g = 0; g < COUNT(generations); g++)
            for (unsigned r = 0; r < COUNT(records); r++)
                for (uint64_t tag = 0; tag <= CF_TAG_MASK; tag++) {
                    uint64_t hash = tag | UINT64_C(0xabcdef0123456780) << CF_TAG_BITS;
                    cf_word w = cf_word_make(states[s], hash, generations[g], records[r]);
                    ck_assert_int_eq(cf_word_state(w), states[s]);
                    ck_assert_uint_eq(cf_word_generation(w), generations[g]);
                    ck_assert_uint_eq(cf_word_record(w), records[r]);
                    ck_assert(cf_word_tag_matches(w, hash));
                    ck_assert(!cf_word_tag_matches(w, hash + 1));
                }
}
END_TEST

START_TEST(random_words_survive_packing)
{
    uint64_t state = seed();
    for (unsigned i = 0; i < rounds(100000); i++) {
        uint64_t hash = chance(&state), generation = chance(&state) & CF_GENERATION_MASK;
        uint32_t record = (uint32_t)(chance(&state) & (CF_RECORDS_LIMIT - 1));
        enum cf_word_state s = states[chance(&state) % COUNT(states)];
        cf_word w = cf_word_make(s, hash, generation, record);
        ck_assert_uint_eq(cf_word_generation(w), generation);
        ck_assert_uint_eq(cf_word_record(w), record);
        ck_assert_int_eq(cf_word_state(w), s);
        enum cf_word_state next = states[chance(&state) % COUNT(states)];
        cf_word changed = cf_word_with_state(w, next);
        ck_assert_uint_eq(changed, cf_word_make(next, hash, generation, record));
    }
}
END_TEST

START_TEST(only_an_empty_slot_is_zero)
{
    for (unsigned s = 1; s < COUNT(states); s++)
        ck_assert_uint_ne(cf_word_make(states[s], 0, 0, 0), 0);
    ck_assert_int_eq(cf_word_state(0), CF_EMPTY);
}
END_TEST

/* pitfall 6: the generation runs round within its own bits. */
START_TEST(a_released_word_is_idle_in_the_next_generation)
{
    for (unsigned g = 0; g < COUNT(generations); g++) {
        cf_word w = cf_word_make(CF_HELD, 0x15, generations[g], 77);
        cf_word released = cf_word_released(w);
        ck_assert_uint_eq(released, cf_word_make(CF_IDLE, 0x15, generations[g] + 1, 77));
        ck_assert_uint_eq(cf_word_record(released), 77);
        ck_assert(cf_word_tag_matches(released, 0x15));
    }
}
END_TEST

/* pitfall 29: record, generation and state are in the one word that is compared. */
START_TEST(words_of_two_generations_or_records_differ)
{
    cf_word w = cf_word_make(CF_HELD, 3, 5, 7);
    ck_assert_uint_ne(w, cf_word_make(CF_HELD, 3, 6, 7));
    ck_assert_uint_ne(w, cf_word_make(CF_HELD, 3, 5, 8));
    ck_assert_uint_ne(w, cf_word_make(CF_IDLE, 3, 5, 7));
}
END_TEST

START_TEST(an_owner_gives_back_entry_and_generation)
{
    const uint64_t most = (UINT64_C(1) << CF_OWNER_GENERATION_BITS) - 1;
    const uint64_t values[] = {0, 1, 0xffff, 0x10000, most - 1, most};
    for (uint32_t entry = 0; entry < CF_ENTRIES_LIMIT; entry += 819)
        for (unsigned i = 0; i < COUNT(values); i++) {
            cf_owner owner = cf_owner_make(entry, values[i]);
            ck_assert_uint_eq(cf_owner_entry(owner), entry);
            ck_assert_uint_eq(cf_owner_generation(owner), values[i]);
        }
}
END_TEST

START_TEST(a_state_word_gives_back_what_was_packed)
{
    for (unsigned g = 0; g < COUNT(generations); g++)
        for (uint32_t entry = 0; entry < CF_ENTRIES_LIMIT; entry += 819) {
            cf_state s = cf_state_taken(generations[g], cf_owner_make(entry, 0xabc1234));
            ck_assert(cf_state_is_taken(s));
            ck_assert_uint_eq(cf_state_generation(s), generations[g]);
            ck_assert_uint_eq(cf_state_entry(s), entry);
            ck_assert(cf_state_of_generation(s, 0x1234));
            ck_assert(!cf_state_of_generation(s, 0x1235));
        }
}
END_TEST

START_TEST(a_free_record_keeps_its_generation)
{
    for (unsigned g = 0; g < COUNT(generations); g++) {
        cf_state s = cf_state_free(generations[g]);
        ck_assert(!cf_state_is_taken(s));
        ck_assert_uint_eq(cf_state_generation(s), generations[g]);
    }
    ck_assert_uint_eq(cf_state_free(CF_GENERATION_MASK + 1), cf_state_free(0));
}
END_TEST

START_TEST(the_limits_fit_the_bits)
{
    ck_assert_uint_lt(CF_LOCKS_LIMIT + CF_LOCKS_LIMIT / 16, CF_RECORDS_LIMIT);
    ck_assert_uint_le(4096, CF_ENTRIES_LIMIT);
}
END_TEST

/* pitfall 61, pitfall 63: fixed widths, 64 bits at most, free of locks and of addresses. */
START_TEST(the_layout_is_what_the_protocol_page_draws)
{
    ck_assert_uint_eq(offsetof(struct cf_group, control), 0);
    ck_assert_uint_eq(offsetof(struct cf_group, token), 8);
    ck_assert_uint_eq(offsetof(struct cf_group, wait), 16);
    ck_assert_uint_eq(offsetof(struct cf_group, slot), 24);
    ck_assert_uint_eq(offsetof(struct cf_record, hash), 8);
    ck_assert_uint_eq(offsetof(struct cf_record, deadline), 16);
    ck_assert_uint_eq(offsetof(struct cf_record, token), 24);
    ck_assert_uint_eq(offsetof(struct cf_record, owner), 32);
    ck_assert_uint_eq(offsetof(struct cf_record, acquired), 40);
    ck_assert_uint_eq(offsetof(struct cf_record, thread), 48);
    ck_assert_uint_eq(offsetof(struct cf_record, slot), 56);
    ck_assert_uint_eq(offsetof(struct cf_record, key_len), 60);
    ck_assert_uint_eq(offsetof(struct cf_record, value_len), 62);
    ck_assert_uint_eq(offsetof(struct cf_record, text), 64);
    ck_assert_uint_eq(offsetof(struct cf_process, seen_alive), 48);
    ck_assert_uint_eq(offsetof(struct cf_process, intent), 64);
    _Atomic uint64_t wide = 0;
    _Atomic uint32_t narrow = 0;
    ck_assert(atomic_is_lock_free(&wide) && atomic_is_lock_free(&narrow));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("word");
    TCase *t = group(s, "slot word", NULL, NULL);
    tcase_add_test(t, a_word_gives_back_what_was_packed);
    tcase_add_test(t, random_words_survive_packing);
    tcase_add_test(t, only_an_empty_slot_is_zero);
    tcase_add_test(t, a_released_word_is_idle_in_the_next_generation);
    tcase_add_test(t, words_of_two_generations_or_records_differ);
    t = group(s, "owner and state", NULL, NULL);
    tcase_add_test(t, an_owner_gives_back_entry_and_generation);
    tcase_add_test(t, a_state_word_gives_back_what_was_packed);
    tcase_add_test(t, a_free_record_keeps_its_generation);
    t = group(s, "layout", NULL, NULL);
    tcase_add_test(t, the_limits_fit_the_bits);
    tcase_add_test(t, the_layout_is_what_the_protocol_page_draws);
    return run_suite(s);
}
