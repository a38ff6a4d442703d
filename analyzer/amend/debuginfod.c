/* debuginfod.c - see debuginfod.h */
#include "amend/debuginfod.h"

#include <elfutils/libdwfl.h>
#include <errno.h>
#include <libelf.h>
#include <stdlib.h>
#include <unistd.h>

struct debuginfod {
    Dwfl *dwfl;
};

#ifdef HEAPSAKE_HAS_DEBUGINFOD

/* No folders: those were searched before. */
static char no_path[] = "";
static char *path = no_path;
static const Dwfl_Callbacks callbacks = {
    .find_elf = dwfl_build_id_find_elf,
    .find_debuginfo = dwfl_standard_find_debuginfo,
    .section_address = dwfl_offline_section_address,
    .debuginfo_path = &path,
};

int debuginfod_open(struct debuginfod **result, struct error *error)
{
    const char *urls = getenv("DEBUGINFOD_URLS");
    if (!urls || !*urls)
        return error_set(error, -ENOTSUP,
                         "--debuginfod: DEBUGINFOD_URLS names no server: set it, for instance to "
                         "https://debuginfod.elfutils.org/");
    if (isatty(STDERR_FILENO))
        setenv("DEBUGINFOD_PROGRESS", "1", 0); /* the library tells how far it is */
    struct debuginfod *servers = calloc(1, sizeof *servers);
    if (!servers || !(servers->dwfl = dwfl_begin(&callbacks))) {
        free(servers);
        return error_set(error, -ENOMEM, "out of memory");
    }
    if (!dwfl_get_debuginfod_client(servers->dwfl)) {
        debuginfod_close(servers);
        return error_set(error, -ENOTSUP, "--debuginfod: libdebuginfod cannot be loaded: install it (libdebuginfod1)");
    }
    *result = servers;
    return 0;
}

int debuginfod_fetch(struct debuginfod *servers, const uint8_t *build_id, size_t length, enum debuginfod_kind kind)
{
    /* libdw asks for modules, so there is one; where it lies does not matter. */
    dwfl_report_begin(servers->dwfl);
    Dwfl_Module *module = dwfl_report_module(servers->dwfl, "module", 0x1000, 0x2000);
    if (!module || dwfl_module_report_build_id(module, build_id, length, 0x1000) != 0) {
        dwfl_report_end(servers->dwfl, NULL, NULL);
        return -ENOMEM;
    }
    char *name = NULL;
    Elf *elf = NULL;
    int fd = kind == DEBUGINFOD_EXECUTABLE
                 ? dwfl_build_id_find_elf(module, NULL, "module", 0x1000, &name, &elf)
                 : dwfl_standard_find_debuginfo(module, NULL, "module", 0x1000, NULL, NULL, 0, &name);
    elf_end(elf);
    free(name);
    dwfl_report_end(servers->dwfl, NULL, NULL);
    return fd >= 0 ? fd : fd == -1 ? -ENOENT : fd;
}

void debuginfod_close(struct debuginfod *servers)
{
    if (!servers)
        return;
    dwfl_end(servers->dwfl);
    free(servers);
}

#else

int debuginfod_open(struct debuginfod **servers, struct error *error)
{
    (void)servers;
    return error_set(error, -ENOTSUP, "--debuginfod: this heapsake was built with a libdw that does not know it");
}

int debuginfod_fetch(struct debuginfod *servers, const uint8_t *build_id, size_t length, enum debuginfod_kind kind)
{
    (void)servers, (void)build_id, (void)length, (void)kind;
    return -ENOTSUP;
}

void debuginfod_close(struct debuginfod *servers)
{
    (void)servers;
}

#endif
