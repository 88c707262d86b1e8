#include "parallel.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

typedef struct {
  int64_t count;
  void (*task)(void *, int64_t);
  void *context;
  atomic_llong next, done;
  atomic_int owners; /* who may still read this; the last of them frees it */
} Loop;

static void work(Loop *loop) {
  for (int64_t i; (i = atomic_fetch_add(&loop->next, 1)) < loop->count;) {
    loop->task(loop->context, i);
    atomic_fetch_add(&loop->done, 1);
  }
}

static void release(Loop *loop) {
  if (atomic_fetch_sub(&loop->owners, 1) == 1) free(loop);
}

static void help(void *loop) {
  work(loop);
  release(loop);
}

static void ask_for_help(XLA_FFI_CallFrame *frame, Loop *loop) {
  XLA_FFI_ThreadPool_Schedule_Args asked = {
      .struct_size = XLA_FFI_ThreadPool_Schedule_Args_STRUCT_SIZE,
      .ctx = frame->ctx,
      .task = help,
      .data = loop,
  };
  atomic_fetch_add(&loop->owners, 1);
  XLA_FFI_Error *error = frame->api->XLA_FFI_ThreadPool_Schedule(&asked);
  if (error == NULL) return;
  XLA_FFI_Error_Destroy_Args destroyed = {
      .struct_size = XLA_FFI_Error_Destroy_Args_STRUCT_SIZE,
      .error = error,
  };
  frame->api->XLA_FFI_Error_Destroy(&destroyed);
  release(loop);
}

void parallel_for(const Threads *threads, int64_t count, void (*task)(void *, int64_t),
                  void *context) {
  int64_t workers = threads->count < count ? threads->count : count;
  Loop *loop = workers > 1 ? malloc(sizeof(Loop)) : NULL;
  if (loop == NULL) {
    for (int64_t i = 0; i < count; i++) task(context, i);
    return;
  }
  *loop = (Loop){.count = count, .task = task, .context = context, .owners = 1};
  for (int64_t i = 1; i < workers; i++) ask_for_help(threads->frame, loop);
  /* All threads may be busy, or wait in a loop like this one: who calls does what nobody else has
     begun, and so waits only for those who are at work. */
  work(loop);
  while (atomic_load(&loop->done) < count) sched_yield();
  release(loop);
}
