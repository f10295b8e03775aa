/* What a static program takes from glibc for the sake of other languages, wide characters and shared
 * libraries, in the little that is left of it here: a quarter of a megabyte less.
 *
 * The linker finds these before those of libc.a, and so leaves out what theirs would bring along: the
 * catalogues of messages and their conversions, printf and scanf with every number there is, the
 * resolver, dlopen. All of it lies idle in this program: it sets no locale, prints and resolves by
 * itself and loads nothing. What it does rely on works as before: the texts of errors, the names of
 * threads, and where the stack of the first thread lies (std reads it through sscanf, to tell an
 * overflow). All are weak: where another glibc brings one along nevertheless, its own is taken. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define WEAK __attribute__((weak))

static void say(const char *text) {
  if (write(STDERR_FILENO, text, strlen(text)) < 0) return;
}

/* A failed assertion in glibc itself. */
WEAK void __assert_fail(const char *what, const char *file, unsigned line, const char *function) {
  (void)line;
  say(file);
  say(": ");
  say(function ? function : "?");
  say(": failed: ");
  say(what);
  say("\n");
  abort();
}

/* An array of glibc's own, read beyond its end. */
WEAK void __libc_dynarray_at_failure(size_t size, size_t index) {
  (void)size;
  (void)index;
  say("glibc: an array was read beyond its end\n");
  abort();
}

/* All texts are as they were written: in English. */
WEAK char *__dcgettext(const char *domain, const char *text, int category) {
  (void)domain;
  (void)category;
  return (char *)text;
}

WEAK char *__strerror_r(int number, char *out, size_t room) {
  (void)out;
  (void)room;
  const char *text = strerrordesc_np(number);
  return (char *)(text ? text : "Unknown error");
}

WEAK int __xpg_strerror_r(int number, char *out, size_t room) {
  const char *text = __strerror_r(number, out, room);
  if (room == 0) return ERANGE;
  size_t len = strlen(text) < room ? strlen(text) : room - 1;
  memcpy(out, text, len);
  out[len] = '\0';
  return 0;
}

/* Reads what glibc looks for in /proc/self/maps, "%lx-%lx", and nothing else. */
WEAK int __isoc99_sscanf(const char *text, const char *format, ...) {
  if (strcmp(format, "%lx-%lx") != 0) abort();
  va_list places;
  va_start(places, format);
  char *end = (char *)text;
  *va_arg(places, unsigned long *) = strtoul(text, &end, 16);
  int count = end > text;
  if (count == 1 && *end == '-') {
    char *second = end + 1;
    *va_arg(places, unsigned long *) = strtoul(second, &end, 16);
    count += end > second;
  }
  va_end(places);
  return count;
}

/* A thread names itself and no other. */
WEAK int pthread_setname_np(pthread_t thread, const char *name) {
  if (!pthread_equal(thread, pthread_self())) return ENOSYS;
  return prctl(PR_SET_NAME, name) == 0 ? 0 : errno;
}

/* Nothing prints through these but reports nobody asks for. */
WEAK int fprintf(void *stream, const char *format, ...) {
  (void)stream;
  (void)format;
  return -1;
}
WEAK int __asprintf(char **out, const char *format, ...) {
  (void)out;
  (void)format;
  return -1;
}

/* Streams are of bytes, in no other character set. */
WEAK int _IO_fwide(void *stream, int mode) {
  (void)stream;
  (void)mode;
  return -1;
}
WEAK int __wcsmbs_named_conv(void *out, const char *name) {
  (void)out;
  (void)name;
  return 1;
}
WEAK void *__wcsmbs_gconv_fcts_c[4];
WEAK int __gconv_lock;
WEAK void __wcsmbs_load_conv(void) { abort(); }
WEAK void __gconv_release_step(void) { abort(); }
WEAK void __libio_codecvt_out(void) { abort(); }
WEAK void __libio_codecvt_in(void) { abort(); }
WEAK void __libio_codecvt_encoding(void) { abort(); }
WEAK void __libio_codecvt_length(void) { abort(); }

/* Each thread would have the state of a resolver. */
WEAK __thread void *__libc_resp;

/* There is one program and no library beside it, and its stacks never become executable. */
WEAK void *_dl_find_dso_for_object(const void *address) {
  (void)address;
  return NULL;
}
WEAK int __stack_prot;
WEAK void _dl_init_paths(void) {}
WEAK void _dl_reloc_bad_type(void) { abort(); }
WEAK int _dl_make_stack_executable(void) { return ENOSYS; }
