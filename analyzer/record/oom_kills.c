/* oom_kills.c - see oom_kills.h */
#include "record/oom_kills.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/grow.h"
#include "internal/compiler.h"
#include "record/cgroup.h"

#define SECOND_NS UINT64_C(1000000000)
#define LOOK_NS (15 * SECOND_NS)   /* a victim may take as long to die                              */
#define VICTIM_NS (60 * SECOND_NS) /* victims are remembered so long: longer than two looks           */
#define LOG_SLACK_NS SECOND_NS     /* the log's clock is CLOCK_MONOTONIC's, but not to the microsecond */
#define RECORD_BYTES 8192          /* of the log                                                       */
#define UNLIMITED (UINT64_C(1) << 62)

/* The first namespace of pids, whose numbers the log has, is known by a constant of the kernel. */
#define FIRST_PIDS "pid:[4026531836]"

/* A cgroup, or one that it lies in. */
struct level {
    char *folder;
    bool counted;                 /* kills_before was read */
    uint64_t kills_before, kills; /* oom_kill              */
    uint64_t ooms_before, ooms;   /* times that its limit was met and nothing could be given up; v2 */
};

struct oom_group {
    struct oom_group *next;
    uint32_t references;
    uint64_t looked_ns, before_ns; /* when `kills` and `ooms` were read, and those before */
    size_t level_count;
    struct level levels[]; /* from the cgroup itself up to the mount */
};

struct victim {
    pid_t pid;
    uint64_t ns;                   /* CLOCK_MONOTONIC                                          */
    const struct oom_group *group; /* NULL: only the log has named it; not to be looked into   */
    uint64_t counter;              /* that group's, when the death was seen                    */
};

struct oom_kills {
    pthread_mutex_t lock;
    char *proc;
    bool has_v1, has_v2; /* hierarchies of memory that are mounted */
    struct cgroup_mount v1, v2;
    int log_fd; /* -1: not for us */
    struct oom_group *groups;
    struct victim *victims;
    size_t victim_count, victim_capacity;
};

/* ---- cgroups ---- */

static bool read_kills(const char *folder, uint64_t *kills)
{
    return cgroup_counter(folder, "memory.events", "oom_kill", kills) ||
           cgroup_counter(folder, "memory.oom_control", "oom_kill", kills);
}

static uint64_t read_ooms(const char *folder)
{
    uint64_t ooms = 0;
    cgroup_counter(folder, "memory.events", "oom", &ooms);
    return ooms;
}

static void find_mounts(struct oom_kills *kills)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/self/mountinfo", kills->proc);
    kills->has_v1 = cgroup_mount_find(&kills->v1, path, "memory");
    kills->has_v2 = cgroup_mount_find(&kills->v2, path, NULL);
}

/* The folder of the process' memory cgroup. False: none is known. */
static bool find_folder(const struct oom_kills *kills, pid_t pid, char folder[PATH_MAX], size_t *mount_length)
{
    char file[PATH_MAX], path[PATH_MAX];
    const struct cgroup_mount *mount = NULL;
    snprintf(file, sizeof file, "%s/%d/cgroup", kills->proc, (int)pid);
    /* where v1 has the controller, v2 has not */
    if (kills->has_v1 && cgroup_path(path, AT_FDCWD, file, "memory"))
        mount = &kills->v1;
    else if (kills->has_v2 && cgroup_path(path, AT_FDCWD, file, NULL))
        mount = &kills->v2;
    if (!mount || !cgroup_folder(folder, mount, path))
        return false;
    *mount_length = strlen(mount->point);
    return true;
}

static void look(struct oom_group *group, uint64_t now)
{
    for (size_t i = 0; i < group->level_count; i++) {
        struct level *level = &group->levels[i];
        level->kills_before = level->kills;
        level->ooms_before = level->ooms;
        if (!read_kills(level->folder, &level->kills))
            level->counted = false;
        level->ooms = read_ooms(level->folder);
    }
    group->before_ns = group->looked_ns;
    group->looked_ns = now;
}

static void free_group(struct oom_group *group)
{
    for (size_t i = 0; i < group->level_count; i++)
        free(group->levels[i].folder);
    free(group);
}

/* The group of a folder, new or known, with a reference for the caller; NULL when memory runs out. */
static struct oom_group *take_group(struct oom_kills *kills, const char *folder, size_t mount_length, uint64_t now)
{
    for (struct oom_group *group = kills->groups; group; group = group->next)
        if (strcmp(group->levels[0].folder, folder) == 0) {
            group->references++;
            return group;
        }
    size_t count = 1;
    for (const char *at = folder + mount_length; (at = strchr(at, '/')); at++)
        count++;
    struct oom_group *group = calloc(1, sizeof *group + count * sizeof group->levels[0]);
    if (!group)
        return NULL;
    group->level_count = count;
    size_t length = strlen(folder);
    for (size_t i = 0; i < count; i++) {
        struct level *level = &group->levels[i];
        level->folder = strndup(folder, length);
        if (!level->folder) {
            free_group(group);
            return NULL;
        }
        level->counted = read_kills(level->folder, &level->kills);
        level->ooms = read_ooms(level->folder);
        level->kills_before = level->kills;
        level->ooms_before = level->ooms;
        while (length > mount_length && folder[--length] != '/')
            ;
    }
    group->before_ns = group->looked_ns = now;
    group->references = 1;
    group->next = kills->groups;
    kills->groups = group;
    return group;
}

static void release_group(struct oom_kills *kills, struct oom_group *group)
{
    if (!group || --group->references > 0)
        return;
    for (struct oom_group **at = &kills->groups; *at; at = &(*at)->next)
        if (*at == group) {
            *at = group->next;
            break;
        }
    free_group(group);
}

/* The first level that counts; NULL: none does. */
static struct level *counting_level(struct oom_group *group)
{
    for (size_t i = 0; i < group->level_count; i++)
        if (group->levels[i].counted)
            return &group->levels[i];
    return NULL;
}

/* The limit in bytes of the cgroup whose memory had run out; 0: none had, or it has gone. */
static uint64_t limit_met(const struct oom_group *group)
{
    for (size_t i = 0; i < group->level_count; i++) {
        const struct level *level = &group->levels[i];
        uint64_t limit, most;
        if (cgroup_number(level->folder, "memory.max", &limit)) {
            if (read_ooms(level->folder) > level->ooms_before)
                return limit;
        } else if (cgroup_number(level->folder, "memory.limit_in_bytes", &limit) && limit < UNLIMITED &&
                   cgroup_number(level->folder, "memory.max_usage_in_bytes", &most) && most >= limit) {
            return limit; /* v1 tells no more than that it was met once */
        }
    }
    return 0;
}

/* ---- victims ---- */

/* The victim of that pid since then, NULL: there is none. */
static struct victim *find_victim(const struct oom_kills *kills, pid_t pid, uint64_t since_ns)
{
    for (size_t i = 0; i < kills->victim_count; i++)
        if (kills->victims[i].pid == pid && kills->victims[i].ns + LOG_SLACK_NS >= since_ns)
            return &kills->victims[i];
    return NULL;
}

static void forget_victims(struct oom_kills *kills, uint64_t now)
{
    size_t kept = 0;
    for (size_t i = 0; i < kills->victim_count; i++)
        if (kills->victims[i].ns + VICTIM_NS > now)
            kills->victims[kept++] = kills->victims[i];
    kills->victim_count = kept;
}

static void add_victim(struct oom_kills *kills, struct victim victim)
{
    if (grow((void **)&kills->victims, kills->victim_count, &kills->victim_capacity, sizeof victim))
        kills->victims[kills->victim_count++] = victim;
}

/*
 * A line of the log: PRIORITY,NUMBER,MICROSECONDS,FLAGS[,...];MESSAGE. Priorities below 8 are the kernel's own: others
 * are what somebody has written there. The message ends with the victim's name, which it chose itself: only its begin
 * counts.
 */
static void take_line(struct oom_kills *kills, const char *line)
{
    static const char *const beginnings[] = {"Out of memory", "Memory cgroup out of memory", "Killed process "};
    static const char mark[] = "Killed process ";
    char *end;
    unsigned long long priority = strtoull(line, &end, 10), microseconds = 0;
    const char *at = *end == ',' ? strchr(end + 1, ',') : NULL, *message = strchr(line, ';');
    if (priority >= 8 || !at || !message)
        return;
    microseconds = strtoull(at + 1, NULL, 10);
    message++;
    bool begins = false;
    for (size_t i = 0; i < HS_COUNT_OF(beginnings); i++)
        begins |= strncmp(message, beginnings[i], strlen(beginnings[i])) == 0;
    const char *killed = begins ? strstr(message, mark) : NULL;
    long pid = killed ? strtol(killed + sizeof mark - 1, NULL, 10) : 0;
    uint64_t ns = microseconds * 1000;
    if (pid > 0 && !find_victim(kills, (pid_t)pid, ns)) /* its death may have been seen first */
        add_victim(kills, (struct victim){.pid = (pid_t)pid, .ns = ns});
}

/* What the log has said since it was last read. A read gives one record; from a plain file, some lines. */
static void read_log(struct oom_kills *kills)
{
    char text[RECORD_BYTES + 1];
    while (kills->log_fd >= 0) {
        ssize_t got = read(kills->log_fd, text, RECORD_BYTES);
        if (got < 0 && (errno == EINTR || errno == EPIPE)) /* EPIPE: some were overwritten before we came */
            continue;
        if (got <= 0)
            break;
        text[got] = '\0';
        char *save;
        for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
            take_line(kills, line);
    }
}

static void open_log(struct oom_kills *kills, const char *log)
{
    char path[PATH_MAX], pids[64];
    kills->log_fd = -1;
    snprintf(path, sizeof path, "%s/self/ns/pid", kills->proc);
    ssize_t length = readlink(path, pids, sizeof pids - 1);
    if (length <= 0)
        return;
    pids[length] = '\0';
    if (strcmp(pids, FIRST_PIDS) != 0)
        return;
    kills->log_fd = open(log, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (kills->log_fd >= 0)
        lseek(kills->log_fd, 0, SEEK_END);
}

/* ---- for the recorder ---- */

struct oom_kills *oom_kills_new(const char *proc, const char *log)
{
    struct oom_kills *kills = calloc(1, sizeof *kills);
    if (!kills)
        return NULL;
    kills->proc = strdup(proc);
    if (!kills->proc) {
        free(kills);
        return NULL;
    }
    pthread_mutex_init(&kills->lock, NULL);
    find_mounts(kills);
    open_log(kills, log);
    return kills;
}

void oom_kills_free(struct oom_kills *kills)
{
    if (!kills)
        return;
    while (kills->groups) {
        struct oom_group *next = kills->groups->next;
        free_group(kills->groups);
        kills->groups = next;
    }
    if (kills->log_fd >= 0)
        close(kills->log_fd);
    free(kills->victims);
    free(kills->proc);
    pthread_mutex_destroy(&kills->lock);
    free(kills);
}

void oom_process_begin(struct oom_kills *kills, struct oom_process *process, pid_t pid)
{
    char folder[PATH_MAX];
    size_t mount_length;
    if (!kills)
        return;
    pthread_mutex_lock(&kills->lock);
    struct oom_group *former = process->group;
    *process = (struct oom_process){.begin_ns = monotonic_ns()};
    if (find_folder(kills, pid, folder, &mount_length))
        process->group = take_group(kills, folder, mount_length, process->begin_ns);
    struct level *level = process->group ? counting_level(process->group) : NULL;
    if (level && !read_kills(level->folder, &process->kills))
        process->kills = level->kills;
    release_group(kills, former);
    pthread_mutex_unlock(&kills->lock);
}

void oom_process_look(struct oom_kills *kills, const struct oom_process *process, uint64_t now)
{
    if (!kills)
        return;
    pthread_mutex_lock(&kills->lock);
    if (process->group && now >= process->group->looked_ns + LOOK_NS)
        look(process->group, now);
    pthread_mutex_unlock(&kills->lock);
}

/* Deaths that explain a rise of the group's counter from `before`, which it was at since_ns. */
static uint64_t others_since(const struct oom_kills *kills, const struct oom_group *group, pid_t pid, uint64_t before,
                             uint64_t since_ns)
{
    uint64_t others = 0;
    for (size_t i = 0; i < kills->victim_count; i++) {
        const struct victim *victim = &kills->victims[i];
        if (victim->pid == pid)
            continue;
        /* The counter rises before the victim dies: what it was at its death says whether that was in it before. */
        if (victim->group == group)
            others += victim->counter > before;
        else if (!victim->group)
            others += victim->ns >= since_ns;
    }
    return others;
}

/* Has the counter risen more often than others' deaths explain? */
static bool is_counted(const struct oom_kills *kills, const struct oom_process *process, pid_t pid)
{
    struct oom_group *group = process->group;
    const struct level *own = counting_level(group);
    for (size_t i = 0; i < group->level_count; i++) {
        const struct level *level = &group->levels[i];
        uint64_t kills_now;
        if (!level->counted || !read_kills(level->folder, &kills_now))
            continue; /* the cgroup may have gone with its last process: those above counted, too */
        bool since_begin = level == own && process->kills >= level->kills_before;
        uint64_t before = since_begin ? process->kills : level->kills_before;
        uint64_t since_ns = since_begin ? process->begin_ns : group->before_ns;
        return kills_now > before + others_since(kills, group, pid, before, since_ns);
    }
    return false;
}

bool oom_process_killed(struct oom_kills *kills, const struct oom_process *process, pid_t pid, uint64_t *limit)
{
    *limit = 0;
    if (!kills || process->begin_ns == 0)
        return false;
    pthread_mutex_lock(&kills->lock);
    uint64_t now = monotonic_ns();
    forget_victims(kills, now);
    read_log(kills);
    struct victim *named = find_victim(kills, pid, process->begin_ns);
    bool killed = named || (process->group && is_counted(kills, process, pid));
    if (killed && process->group) {
        struct level *level = counting_level(process->group);
        struct victim victim = {.pid = pid, .ns = now, .group = process->group};
        if (level)
            read_kills(level->folder, &victim.counter);
        if (named)
            *named = victim;
        else
            add_victim(kills, victim);
        *limit = limit_met(process->group);
    }
    pthread_mutex_unlock(&kills->lock);
    return killed;
}

void oom_process_end(struct oom_kills *kills, struct oom_process *process)
{
    if (!kills)
        return;
    pthread_mutex_lock(&kills->lock);
    release_group(kills, process->group);
    *process = (struct oom_process){0};
    pthread_mutex_unlock(&kills->lock);
}

void oom_spare_self(void)
{
    char text[32] = "";
    int fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return;
    if (read(fd, text, sizeof text - 1) > 0 && strtol(text, NULL, 10) > -900 && lseek(fd, 0, SEEK_SET) == 0) {
        ssize_t written = write(fd, "-900", 4);
        (void)written; /* not allowed: then it stays as it was */
    }
    close(fd);
}
