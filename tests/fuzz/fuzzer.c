/* libFuzzer's way in: CACHIFY_FUZZ names the target. */
#include "fuzz.h"

static fuzz_target *target;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    const char *name = getenv("CACHIFY_FUZZ");
    (void)argc, (void)argv;
    target = name != NULL ? fuzz_target_of(name) : NULL;
    if (target == NULL) {
        fprintf(stderr, "CACHIFY_FUZZ is \"%s\"; expected header, open, iterator or keys\n",
                name != NULL ? name : "");
        exit(2);
    }
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    target(data, size);
    return 0;
}
