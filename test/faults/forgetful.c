/*
 * A file layer that forgets. Preloaded into a process (LD_PRELOAD), it keeps beside the real files below $FORGET_DIR a second
 * picture of them in $FORGET_SHADOW: what a disk is sure to hold if the power goes now. A file's bytes get there by fsync or
 * fdatasync of the file, a name (made, renamed or removed) by fsync of its folder; nothing else counts. The page cache
 * survives SIGKILL, so without this a killed process loses nothing that it merely wrote, and no missing fsync is ever seen.
 *
 * The rule is stricter than ext4, which makes a new file's name durable with the file's own fsync: POSIX promises only what
 * is kept here. One leniency: what is written to a file while its fsync runs may be kept as well, as on a real disk.
 *
 *   $FORGET_SHADOW/files/<inode>   the durable bytes of that inode
 *   $FORGET_SHADOW/folders/<inode> the durable names in that folder: "<f|d|l> <inode> <name>\0" ...
 *   $FORGET_SHADOW/graves/         hard links to removed files, so that their inode numbers are not used again
 *
 * $FORGET_SKIP: a pattern (fnmatch, on the whole path); fsyncs of files that match it are not counted, to show that a test
 * which relies on them then fails. The shadow must be on the same file system as the folder. Memory maps are not followed
 * (SQLite maps only its -shm file, which it rebuilds). Linux, 64 bit.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define MAX_FDS 65536
#define MAX_DIRTY 65536
#define COPY_BYTES (256 * 1024)

static char root[PATH_MAX], shadow[PATH_MAX], skip[PATH_MAX];
static size_t root_length;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t graves;

/* What is open below the root: 0 none, 1 file, 2 folder; and whether every write is a sync (O_DSYNC). */
static struct { unsigned char kind, counted, sync; uint64_t inode; } fds[MAX_FDS];

/* Bytes of an inode written since its last fsync, as one range: more than was written is harmless, the rest is equal. */
static struct { uint64_t inode; int64_t from, to; } dirty[MAX_DIRTY];

#define REAL(type, name, ...) \
  static type (*real)(__VA_ARGS__); \
  if (!real) real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

static void die(const char *what) {
  fprintf(stderr, "forgetful: %s: %s\n", what, strerror(errno));
  abort();
}

static int raw_open(const char *path, int flags, mode_t mode) {
  REAL(int, "open64", const char *, int, ...);
  return real(path, flags, mode);
}
static int raw_close(int fd) { REAL(int, "close", int); return real(fd); }
static ssize_t raw_pwrite(int fd, const void *bytes, size_t count, off_t at) {
  REAL(ssize_t, "pwrite64", int, const void *, size_t, off_t);
  return real(fd, bytes, count, at);
}
static int raw_truncate(int fd, off_t size) { REAL(int, "ftruncate64", int, off_t); return real(fd, size); }
static int raw_rename(const char *a, const char *b) { REAL(int, "rename", const char *, const char *); return real(a, b); }

__attribute__((constructor)) static void start(void) {
  const char *folder = getenv("FORGET_DIR"), *where = getenv("FORGET_SHADOW"), *pattern = getenv("FORGET_SKIP");
  if (!folder || !where) return;
  if (!realpath(folder, root)) die(folder);
  if (!realpath(where, shadow)) die(where);
  if (pattern) snprintf(skip, sizeof skip, "%s", pattern);
  root_length = strlen(root);
  /* Children are not followed: they would write into the same shadow without knowing of each other. */
  unsetenv("LD_PRELOAD");
  unsetenv("FORGET_DIR");
  unsetenv("FORGET_SHADOW");
  unsetenv("FORGET_SKIP");
}

static int below(const char *path) {
  return root_length && strncmp(path, root, root_length) == 0 && (path[root_length] == '/' || path[root_length] == 0);
}

static void mark(uint64_t inode, int64_t from, int64_t to) {
  size_t slot = (size_t)(inode * 0x9E3779B97F4A7C15ull >> 48) % MAX_DIRTY;
  for (size_t i = 0; i < MAX_DIRTY; i++, slot = (slot + 1) % MAX_DIRTY) {
    if (dirty[slot].inode == 0) {
      dirty[slot].inode = inode;
      dirty[slot].from = from;
      dirty[slot].to = to;
      return;
    }
    if (dirty[slot].inode != inode) continue;
    if (from < dirty[slot].from) dirty[slot].from = from;
    if (to > dirty[slot].to) dirty[slot].to = to;
    return;
  }
  errno = ENOSPC;
  die("too many files for the table of writes");
}

/* Takes the range of an inode and leaves it clean; 0 if nothing was written. The slot stays taken, so that probing works. */
static int take(uint64_t inode, int64_t *from, int64_t *to) {
  size_t slot = (size_t)(inode * 0x9E3779B97F4A7C15ull >> 48) % MAX_DIRTY;
  for (size_t i = 0; i < MAX_DIRTY && dirty[slot].inode; i++, slot = (slot + 1) % MAX_DIRTY) {
    if (dirty[slot].inode != inode) continue;
    *from = dirty[slot].from;
    *to = dirty[slot].to;
    dirty[slot].from = INT64_MAX;
    dirty[slot].to = 0;
    return *from < *to;
  }
  return 0;
}

static void keep_file(int fd, uint64_t inode) {
  char from_path[64], to_path[PATH_MAX + 64];
  static char bytes[COPY_BYTES];
  struct stat real_stat, kept_stat;
  int64_t from = 0, to = INT64_MAX;
  snprintf(from_path, sizeof from_path, "/proc/self/fd/%d", fd);
  snprintf(to_path, sizeof to_path, "%s/files/%llu", shadow, (unsigned long long)inode);
  int fresh = access(to_path, F_OK) != 0;
  if (!take(inode, &from, &to)) from = to = 0;
  if (fresh) from = 0, to = INT64_MAX;
  int in = raw_open(from_path, O_RDONLY | O_CLOEXEC, 0);
  if (in < 0) die(from_path);
  int out = raw_open(to_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (out < 0 || fstat(in, &real_stat) || fstat(out, &kept_stat)) die(to_path);
  /* Grown by other means than a write (a copy inside the kernel, fallocate). */
  if (real_stat.st_size > kept_stat.st_size && from > kept_stat.st_size) from = kept_stat.st_size;
  if (real_stat.st_size > kept_stat.st_size) to = INT64_MAX;
  if (to > real_stat.st_size) to = real_stat.st_size;
  while (from < to) {
    ssize_t got = pread(in, bytes, (size_t)(to - from < COPY_BYTES ? to - from : COPY_BYTES), from);
    if (got < 0) die("reading a file to keep");
    if (got == 0) break;
    if (raw_pwrite(out, bytes, (size_t)got, from) != got) die("keeping a file");
    from += got;
  }
  if (raw_truncate(out, real_stat.st_size)) die("cutting a kept file");
  raw_close(in);
  raw_close(out);
}

static void keep_folder(int fd, uint64_t inode) {
  char path[PATH_MAX + 64], temporary[PATH_MAX + 80];
  snprintf(path, sizeof path, "%s/folders/%llu", shadow, (unsigned long long)inode);
  snprintf(temporary, sizeof temporary, "%s.new", path);
  int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *folder = copy < 0 ? NULL : fdopendir(copy);
  FILE *out = fopen(temporary, "w");
  if (!folder || !out) die(path);
  for (struct dirent *entry; (entry = readdir(folder));) {
    struct stat found;
    if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
    if (fstatat(dirfd(folder), entry->d_name, &found, AT_SYMLINK_NOFOLLOW)) continue;
    char kind = S_ISDIR(found.st_mode) ? 'd' : S_ISREG(found.st_mode) ? 'f' : 0;
    if (kind) fprintf(out, "%c %llu %s%c", kind, (unsigned long long)found.st_ino, entry->d_name, 0);
  }
  closedir(folder);
  if (fclose(out) || raw_rename(temporary, path)) die(path);
}

static void opened(int fd, int flags) {
  char link_path[64], path[PATH_MAX];
  struct stat found;
  if (fd < 0 || fd >= MAX_FDS || !root_length) return;
  int saved = errno;
  fds[fd].kind = 0;
  snprintf(link_path, sizeof link_path, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link_path, path, sizeof path - 1);
  if (length > 0) {
    path[length] = 0;
    if (below(path) && fstat(fd, &found) == 0) {
      fds[fd].inode = found.st_ino;
      fds[fd].counted = !skip[0] || fnmatch(skip, path, 0) != 0;
      fds[fd].sync = (flags & O_DSYNC) != 0;
      fds[fd].kind = S_ISDIR(found.st_mode) ? 2 : S_ISREG(found.st_mode) ? 1 : 0;
      if (fds[fd].kind == 1 && (flags & O_TRUNC)) {
        pthread_mutex_lock(&lock);
        mark(found.st_ino, 0, INT64_MAX);
        pthread_mutex_unlock(&lock);
      }
    }
  }
  errno = saved;
}

static int kind_of(int fd) { return fd >= 0 && fd < MAX_FDS ? fds[fd].kind : 0; }

static void synced(int fd) {
  int saved = errno;
  pthread_mutex_lock(&lock);
  if (kind_of(fd) == 1 && fds[fd].counted) keep_file(fd, fds[fd].inode);
  if (kind_of(fd) == 2 && fds[fd].counted) keep_folder(fd, fds[fd].inode);
  pthread_mutex_unlock(&lock);
  errno = saved;
}

static void wrote(int fd, int64_t from, int64_t to) {
  if (kind_of(fd) != 1) return;
  pthread_mutex_lock(&lock);
  mark(fds[fd].inode, from, to);
  pthread_mutex_unlock(&lock);
  if (fds[fd].sync) synced(fd);
}

/* After a write at the file's own position: it ended where the position is now (also with O_APPEND). */
static void wrote_here(int fd, ssize_t count) {
  if (count <= 0 || kind_of(fd) != 1) return;
  int saved = errno;
  int64_t end = lseek(fd, 0, SEEK_CUR);
  wrote(fd, end - count, end);
  errno = saved;
}

/* Before a name goes: keeps the inode alive under another, so that its number keeps meaning the same file. */
static void bury(int folder, const char *name) {
  char at_path[64], where[PATH_MAX], grave[PATH_MAX + 64];
  struct stat found;
  if (!root_length) return;
  int saved = errno;
  if (fstatat(folder, name, &found, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(found.st_mode)) {
    if (name[0] == '/') snprintf(where, sizeof where, "%s", name);
    else {
      if (folder == AT_FDCWD) snprintf(at_path, sizeof at_path, "/proc/self/cwd");
      else snprintf(at_path, sizeof at_path, "/proc/self/fd/%d", folder);
      ssize_t length = readlink(at_path, where, sizeof where - 1);
      where[length < 0 ? 0 : length] = 0;
    }
    if (below(where)) {
      pthread_mutex_lock(&lock);
      snprintf(grave, sizeof grave, "%s/graves/%d-%llu", shadow, (int)getpid(), (unsigned long long)++graves);
      if (linkat(folder, name, AT_FDCWD, grave, 0) && errno != ENOENT) die(grave);
      pthread_mutex_unlock(&lock);
    }
  }
  errno = saved;
}

/* A folder that goes is moved away instead, for the same reason. It must be empty, as for rmdir. */
static int remove_folder(int at, const char *name, int (*real)(int, const char *, int)) {
  char link_path[64], path[PATH_MAX], grave[PATH_MAX + 64];
  int fd = root_length ? openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
  if (fd < 0) return real(at, name, AT_REMOVEDIR);
  snprintf(link_path, sizeof link_path, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link_path, path, sizeof path - 1);
  path[length < 0 ? 0 : length] = 0;
  int count = 0;
  if (!below(path)) {
    raw_close(fd);
    return real(at, name, AT_REMOVEDIR);
  }
  DIR *folder = fdopendir(fd);
  while (folder && readdir(folder)) count++;
  if (folder) closedir(folder);
  if (count > 2) return errno = ENOTEMPTY, -1;
  pthread_mutex_lock(&lock);
  snprintf(grave, sizeof grave, "%s/graves/%d-%llu", shadow, (int)getpid(), (unsigned long long)++graves);
  pthread_mutex_unlock(&lock);
  return raw_rename(path, grave);
}

/* ---- what is intercepted ---- */

#define MODE_OF(flags) \
  mode_t mode = 0; \
  if ((flags) & (O_CREAT | __O_TMPFILE)) { va_list list; va_start(list, flags); mode = va_arg(list, mode_t); va_end(list); }

#define OPEN(name) \
  int name(const char *path, int flags, ...) { \
    MODE_OF(flags) REAL(int, #name, const char *, int, ...); \
    int fd = real(path, flags, mode); opened(fd, flags); return fd; \
  }
OPEN(open)
OPEN(open64)

#define OPENAT(name) \
  int name(int at, const char *path, int flags, ...) { \
    MODE_OF(flags) REAL(int, #name, int, const char *, int, ...); \
    int fd = real(at, path, flags, mode); opened(fd, flags); return fd; \
  }
OPENAT(openat)
OPENAT(openat64)

#define CREAT(name) \
  int name(const char *path, mode_t mode) { \
    REAL(int, #name, const char *, mode_t); \
    int fd = real(path, mode); opened(fd, O_WRONLY | O_CREAT | O_TRUNC); return fd; \
  }
CREAT(creat)
CREAT(creat64)

int close(int fd) {
  if (fd >= 0 && fd < MAX_FDS) fds[fd].kind = 0;
  return raw_close(fd);
}

ssize_t write(int fd, const void *bytes, size_t count) {
  REAL(ssize_t, "write", int, const void *, size_t);
  ssize_t done = real(fd, bytes, count);
  wrote_here(fd, done);
  return done;
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
  REAL(ssize_t, "writev", int, const struct iovec *, int);
  ssize_t done = real(fd, parts, count);
  wrote_here(fd, done);
  return done;
}

#define PWRITE(name) \
  ssize_t name(int fd, const void *bytes, size_t count, off_t at) { \
    REAL(ssize_t, #name, int, const void *, size_t, off_t); \
    ssize_t done = real(fd, bytes, count, at); \
    if (done > 0) wrote(fd, at, at + done); \
    return done; \
  }
PWRITE(pwrite)
PWRITE(pwrite64)

#define PWRITEV(name) \
  ssize_t name(int fd, const struct iovec *parts, int count, off_t at) { \
    REAL(ssize_t, #name, int, const struct iovec *, int, off_t); \
    ssize_t done = real(fd, parts, count, at); \
    if (done > 0) wrote(fd, at, at + done); \
    return done; \
  }
PWRITEV(pwritev)
PWRITEV(pwritev64)

#define FTRUNCATE(name) \
  int name(int fd, off_t size) { \
    REAL(int, #name, int, off_t); \
    int failed = real(fd, size); \
    if (!failed) wrote(fd, size, INT64_MAX); \
    return failed; \
  }
FTRUNCATE(ftruncate)
FTRUNCATE(ftruncate64)

#define SYNC(name) \
  int name(int fd) { \
    REAL(int, #name, int); \
    int failed = real(fd); \
    if (!failed) synced(fd); \
    return failed; \
  }
SYNC(fsync)
SYNC(fdatasync)

int rename(const char *from, const char *to) {
  bury(AT_FDCWD, to);
  return raw_rename(from, to);
}
int renameat(int from_at, const char *from, int to_at, const char *to) {
  REAL(int, "renameat", int, const char *, int, const char *);
  bury(to_at, to);
  return real(from_at, from, to_at, to);
}
int renameat2(int from_at, const char *from, int to_at, const char *to, unsigned flags) {
  REAL(int, "renameat2", int, const char *, int, const char *, unsigned);
  bury(to_at, to);
  return real(from_at, from, to_at, to, flags);
}
int unlink(const char *path) {
  REAL(int, "unlink", const char *);
  bury(AT_FDCWD, path);
  return real(path);
}
int unlinkat(int at, const char *path, int flags) {
  REAL(int, "unlinkat", int, const char *, int);
  if (flags & AT_REMOVEDIR) return remove_folder(at, path, real);
  bury(at, path);
  return real(at, path, flags);
}
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }
