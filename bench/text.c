/* The size of the library's program text, as size(1) counts it: what is loaded and not written. */
#include "cachify_bench.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <math.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static double text_of(const char *file)
{
    const ElfW(Ehdr) *const header = (const void *)file;
    const ElfW(Shdr) *const section = (const void *)(file + header->e_shoff);
    double bytes = 0;
    for (unsigned i = 0; i < header->e_shnum; i++)
        if ((section[i].sh_flags & SHF_ALLOC) != 0 && (section[i].sh_flags & SHF_WRITE) == 0)
            bytes += (double)section[i].sh_size;
    return bytes;
}

/* Of the file that the library was loaded from. */
double library_text_bytes(long n)
{
    Dl_info library;
    struct stat status;
    (void)n;
    /* A constant of the library's: the address of a function may be the program's own for it. */
    if (dladdr(cachify_strerror(CACHIFY_OK), &library) == 0)
        fail("the library's file is not known");
    if (strstr(library.dli_fname, "libcachify") == NULL) {
        leave_out("binary_size", "the shared library (this program has it in itself)");
        return NAN;
    }
    int fd = open(library.dli_fname, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) != 0)
        fail("cannot read %s: %s", library.dli_fname, strerror(errno));
    size_t size = (size_t)status.st_size;
    const char *file = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (file == MAP_FAILED)
        fail("cannot map %s: %s", library.dli_fname, strerror(errno));
    double bytes = text_of(file);
    munmap((void *)file, size);
    return bytes;
}
