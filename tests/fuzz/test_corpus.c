/* Every input of the corpus, what the fuzzers found to be new or once crashed by, through the
 * targets as they are built for every other test. */
#include <check.h>
#include <dirent.h>
#include <string.h>

#include "../support.h"
#include "fuzz.h"

#define LARGEST 65536u

static size_t read_input(const char *path, uint8_t *data)
{
    FILE *file = fopen(path, "rb");
    ck_assert_msg(file != NULL, "%s cannot be read", path);
    size_t size = fread(data, 1, LARGEST, file);
    fclose(file);
    return size;
}

START_TEST(no_input_of_the_corpus_does_harm)
{
    static uint8_t data[LARGEST];
    char directory[PATH_ROOM * 8], path[PATH_ROOM * 16];
    unsigned inputs = 0;
    const char *source = getenv("srcdir");
    snprintf(directory, sizeof directory, "%s/tests/fuzz/corpus/%s", source != NULL ? source : ".",
             fuzz_names[_i]);
    DIR *d = opendir(directory);
    ck_assert_msg(d != NULL, "%s cannot be read; expected $srcdir to be the source's directory",
                  directory);
    for (struct dirent *entry; (entry = readdir(d)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        fuzz_target_of(fuzz_names[_i])(data, read_input(path, data));
        inputs++;
    }
    closedir(d);
    ck_assert_uint_gt(inputs, 5);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("corpus");
    tcase_add_loop_test(group(s, "corpus", NULL, fuzz_end), no_input_of_the_corpus_does_harm, 0, 4);
    return run_suite(s);
}
