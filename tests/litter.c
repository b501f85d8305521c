#include "litter.h"

#include <dirent.h>
#include <ftw.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support.h"

#define ROOM "/dev/shm"
#define PATHS 256

static pid_t run; /* the suite's */
static char given[PATHS][PATH_ROOM];
static unsigned count;

void litter_begin(void)
{
    run = getpid();
}

void new_path(char path[PATH_ROOM])
{
    ck_assert_uint_lt(count, PATHS);
    snprintf(path, PATH_ROOM, ROOM "/cachify-test-%d-%d-%u", (int)run, (int)getpid(), count);
    memcpy(given[count++], path, PATH_ROOM);
}

void new_directory(char path[PATH_ROOM])
{
    new_path(path);
    ck_assert_int_eq(mkdir(path, 0700), 0);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st, (void)kind, (void)at;
    return remove(path);
}

/* "PATH", or "PATH.BOOT" of this boot. */
static bool asked_for(const char *path)
{
    uint8_t boot[16];
    uint64_t half;
    char agreed[PATH_ROOM + 20];
    cf_boot_id(boot);
    memcpy(&half, boot, sizeof half);
    for (unsigned i = 0; i < count; i++) {
        snprintf(agreed, sizeof agreed, "%s.%016llx", given[i], (unsigned long long)half);
        if (strcmp(path, given[i]) == 0 || strcmp(path, agreed) == 0)
            return true;
    }
    return false;
}

/* Removes what begins with prefix; how many there were, and of them not asked for. */
static unsigned sweep(const char *prefix, unsigned *strange, char last[PATH_ROOM])
{
    unsigned found = 0;
    DIR *directory = opendir(ROOM);
    if (directory == NULL)
        return 0;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        char path[300];
        if (strncmp(entry->d_name, prefix, strlen(prefix)) != 0)
            continue;
        snprintf(path, sizeof path, ROOM "/%s", entry->d_name);
        found++;
        if (!asked_for(path)) {
            ++*strange;
            snprintf(last, PATH_ROOM, "%.120s", path);
        }
        nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    }
    closedir(directory);
    return found;
}

void litter_check(void)
{
    char prefix[64], last[PATH_ROOM] = "";
    unsigned strange = 0;
    snprintf(prefix, sizeof prefix, "cachify-test-%d-%d-", (int)run, (int)getpid());
    sweep(prefix, &strange, last);
    count = 0;
    ck_assert_msg(strange == 0, "%u files were left that nobody asked for, such as %s", strange,
                  last);
}

unsigned litter_sweep(void)
{
    char prefix[64], last[PATH_ROOM];
    unsigned strange = 0;
    snprintf(prefix, sizeof prefix, "cachify-test-%d-", (int)run);
    return sweep(prefix, &strange, last);
}

unsigned count_entries(const char *directory)
{
    unsigned n = 0;
    DIR *entries = opendir(directory);
    ck_assert_ptr_nonnull(entries);
    while (readdir(entries) != NULL)
        n++;
    closedir(entries);
    return n - 2; /* . and .. */
}

unsigned count_descriptors(void)
{
    return count_entries("/proc/self/fd") - 1; /* the directory's own */
}

unsigned count_mappings(void)
{
    unsigned n = 0;
#if SANITIZED
    return 0;
#endif
    if (under_valgrind())
        return 0;
    char line[512];
    FILE *maps = fopen("/proc/self/maps", "r");
    ck_assert_ptr_nonnull(maps);
    while (fgets(line, sizeof line, maps) != NULL) {
#ifdef __GLIBC__
        n++;
#else /* whose allocator maps and unmaps as it goes */
        n += strstr(line, "/dev/shm/") != NULL || strstr(line, "memfd:") != NULL;
#endif
    }
    fclose(maps);
    return n;
}
